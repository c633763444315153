"""Fuzzing: no change of a signed plan is accepted, and none gives another error than the plan errors."""

from __future__ import annotations

import base64
import hashlib
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from marksweep.errors import PlanExpired, PlanMalformed, SignatureRefused
from marksweep.plan.document import APPROVE_NAMESPACE, PLAN_NAMESPACE, RECEIPT_NAMESPACE
from marksweep.plan.sshsig import sign
from marksweep.plan.verify import verify
from marksweep.plan.writer import write_plan
from tests.unit.plan.support import ALICE, MALLORY, NOW, PLANNER, TRUST, body_of, draft, seal, written

ROUNDS = 60_000
RESEALED_ROUNDS = 12_000
INTERESTING = [
    b"\n",
    b"\r",
    b"\0",
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\\",
    b" ",
    b"\xff",
    b"\xed\xa0\x80",
    b"0",
    b"-",
]

Mutation = Callable[[random.Random, bytes], bytes]


def flip(rng: random.Random, plan: bytes) -> bytes:
    changed = bytearray(plan)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def insert(rng: random.Random, plan: bytes) -> bytes:
    at = rng.randrange(len(plan) + 1)
    return plan[:at] + rng.choice([*INTERESTING, rng.randbytes(rng.randrange(1, 9))]) + plan[at:]


def delete(rng: random.Random, plan: bytes) -> bytes:
    at = rng.randrange(len(plan))
    return plan[:at] + plan[at + rng.choice((1, 1, 2, 9, 99)) :]


def overwrite(rng: random.Random, plan: bytes) -> bytes:
    at = rng.randrange(len(plan))
    new = rng.choice(INTERESTING)
    return plan[:at] + new + plan[at + len(new) :]


def lines(rng: random.Random, plan: bytes) -> bytes:
    found = plan.split(b"\n")
    one, other = rng.randrange(len(found)), rng.randrange(len(found))
    match rng.randrange(5):
        case 0:
            del found[one]
        case 1:
            found.insert(other, found[one])
        case 2:
            found[one], found[other] = found[other], found[one]
        case 3:
            found.insert(other, found.pop(one))
        case _:
            found.insert(one, rng.choice([b"", b"{", b"],", b'"entries":[', b"null,", found[-2]]))
    return b"\n".join(found)


def truncate(rng: random.Random, plan: bytes) -> bytes:
    return plan[: rng.randrange(len(plan))]


def number(rng: random.Random, plan: bytes) -> bytes:
    """Change one number, or one quoted word, for another of the plan."""
    spots = list(re.finditer(rb"\d+|null|true|false|\"[a-z_]+\"", plan))
    one, other = rng.choice(spots), rng.choice(spots)
    new = rng.choice([other[0], b"0", b"-0", b"1e3", b"1.0", b"null", b"9" * 30, b"{}", b"[]"])
    return plan[: one.start()] + new + plan[one.end() :]


def tail(rng: random.Random, plan: bytes) -> bytes:
    """Edit the unsigned last line only."""
    body = body_of(plan)
    line = plan[len(body) :]
    return body + rng.choice((flip, insert, delete, overwrite, number))(rng, line)


def foreign(rng: random.Random, plan: bytes) -> bytes:
    """A well-made signature, but of another key, for another purpose, or over other bytes."""
    body = body_of(plan)
    line = plan[len(body) :]
    key, namespace = rng.choice(
        [(MALLORY, PLAN_NAMESPACE), (ALICE, PLAN_NAMESPACE), (PLANNER, APPROVE_NAMESPACE), (PLANNER, RECEIPT_NAMESPACE),
         (PLANNER, "git"), (PLANNER, PLAN_NAMESPACE)]
    )  # fmt: skip
    message = body if (key, namespace) != (PLANNER, PLAN_NAMESPACE) else flip(rng, body)
    blob = base64.b64encode(sign(key, namespace, hashlib.sha512(message).digest()))
    changed = re.sub(rb'"sshsig":"[^"]*"', b'"sshsig":"' + blob + b'"', line)
    if rng.random() < 0.5:
        changed = changed.replace(PLAN_NAMESPACE.encode(), namespace.encode())
    return body + changed


def blob(rng: random.Random, plan: bytes) -> bytes:
    """Edit the signature inside its base64."""
    body = body_of(plan)
    line = plan[len(body) :]
    start = line.index(b'"sshsig":"') + 10
    end = line.index(b'"', start)
    raw = rng.choice((flip, insert, delete, overwrite))(rng, base64.b64decode(line[start:end]))
    return body + line[:start] + base64.b64encode(raw) + line[end:]


MUTATIONS: list[Mutation] = [
    flip,
    flip,
    insert,
    delete,
    overwrite,
    lines,
    truncate,
    number,
    tail,
    tail,
    foreign,
    blob,
    blob,
]


def test_no_mutation_of_a_plan_is_accepted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each of the mutations is refused with SignatureRefused or PlanMalformed, and nothing else is ever raised."""
    seed = random.SystemRandom().randrange(2**32)
    _say(capsys, f"fuzz seed {seed}")
    rng = random.Random(seed)
    path = tmp_path / "p"
    written(path)
    plan = path.read_bytes()
    refused: dict[str, int] = {}
    started = time.perf_counter()
    done = 0
    while done < ROUNDS:
        mutation = rng.choice(MUTATIONS)
        changed = mutation(rng, plan)
        if changed == plan:
            continue
        done += 1
        path.write_bytes(changed)
        try:
            verify(path, TRUST, NOW).close()
        except (SignatureRefused, PlanMalformed) as error:
            refused[type(error).__name__] = refused.get(type(error).__name__, 0) + 1
        else:
            (tmp_path / "accepted").write_bytes(changed)
            pytest.fail(f"seed {seed}, round {done}: a plan changed by {mutation.__name__} was accepted")
    _say(capsys, f"{done} mutations refused in {time.perf_counter() - started:.1f} s: {refused}")
    assert sum(refused.values()) == ROUNDS


def test_what_is_accepted_with_a_good_signature_is_canonical(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The planner's key signs mutated bytes: either they are malformed, or writing what was read gives the same bytes."""
    seed = random.SystemRandom().randrange(2**32)
    _say(capsys, f"fuzz seed {seed} (sealed again)")
    rng = random.Random(seed)
    path, again = tmp_path / "p", tmp_path / "q"
    written(path)
    body = body_of(path.read_bytes())
    accepted = 0
    for _ in range(RESEALED_ROUNDS):
        changed = rng.choice((flip, insert, delete, overwrite, lines, number, number))(rng, body)
        path.write_bytes(seal(changed))
        try:
            plan = verify(path, TRUST, NOW)
        except (SignatureRefused, PlanMalformed, PlanExpired):
            continue
        accepted += 1
        with plan:
            entries = list(plan.entries())
            header = draft(entries, **{name: getattr(plan.header, name) for name in draft([]).__struct_fields__})
        write_plan(again, header, entries, PLANNER, overwrite=True)
        assert again.read_bytes() == path.read_bytes(), f"seed {seed}"
    _say(capsys, f"{accepted} of {RESEALED_ROUNDS} were canonical plans")


def _say(capsys: pytest.CaptureFixture[str], text: str) -> None:
    with capsys.disabled():
        print(f"\n{text}", end="")
