"""``marksweep keys``: create, show, trust, import."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marksweep.cli import options as opt
from marksweep.cli.flag_help import FlagCommand, FlagGroup
from marksweep.cli.key_roles import Role
from marksweep.errors import ExitStatus, UsageError

if TYPE_CHECKING:
    from marksweep.plan.publickey import PublicKey
    from marksweep.report.document import Document
    from marksweep.report.trust_documents import KeyResult

keys = typer.Typer(cls=FlagGroup, help="Make, show, import and trust signing keys.", no_args_is_help=True)


@keys.command(cls=FlagCommand)
def create(
    path: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where; default: this user's configuration folder.")
    ] = None,
    name: Annotated[str | None, typer.Option("--as", help="Whose key it is; default: this account.")] = None,
    json: opt.Json = False,
) -> None:
    """Make an Ed25519 key in OpenSSH's format. This user's own key is trusted by this user at once."""
    from marksweep.cli.identity import checked_name, create_own_key, key_path, principal
    from marksweep.cli.screen import Screen, conclude
    from marksweep.plan.keys import create_key

    def work() -> tuple[Document, ExitStatus]:
        target, owner = path or key_path(), principal() if name is None else checked_name(name)
        key = create_key(target, owner) if path else create_own_key(target, owner)
        return _result(str(target), key.public, owner), ExitStatus.DONE

    conclude(Screen(json), work)


@keys.command(cls=FlagCommand)
def show(key: opt.KeyFile = None, json: opt.Json = False) -> None:
    """Show the key that would sign, the line that makes others trust it, and your other keys that could sign."""
    import msgspec

    from marksweep.cli.identity import key_path, signing
    from marksweep.cli.own_keys import own_keys
    from marksweep.cli.screen import Screen, conclude
    from marksweep.plan.keys import SIGNING_KEY_VARIABLE
    from marksweep.report.trust_documents import KeyResult

    screen = Screen(json)

    def work() -> tuple[Document, ExitStatus]:
        others = own_keys()
        if key is None and SIGNING_KEY_VARIABLE not in os.environ and not key_path().exists():
            if not others:
                remedy = "make one with `marksweep keys create`, or add one of yours with `ssh-add FILE`"
                raise UsageError(f"there is no key at {key_path()} yet", remedy)
            return KeyResult(
                path=None, fingerprint=None, allowed_signers_line=None, trusted_in=None, others=others
            ), ExitStatus.DONE
        signer = signing(key, screen.tell)
        found = _result(signer.source, signer.key.public)
        others = tuple(other for other in others if other.fingerprint != found.fingerprint)
        return msgspec.structs.replace(found, others=others), ExitStatus.DONE

    conclude(screen, work)


@keys.command(cls=FlagCommand)
def trust(
    line: Annotated[
        str, typer.Argument(metavar="LINE|FILE.pub", help="An allowed_signers line, or a public key file.")
    ],
    name: Annotated[str | None, typer.Option("--as", help="Whose key it is, for a public key file.")] = None,
    json: opt.Json = False,
) -> None:
    """Trust a key in every role: append its line to this user's trust file."""
    from marksweep.cli.identity import add_trust, trusted_key
    from marksweep.cli.screen import Screen, conclude
    from marksweep.report.trust_documents import KeyResult

    def work() -> tuple[Document, ExitStatus]:
        text = _line_for(Path(line), name) if os.path.isfile(line) else line.strip()  # noqa: PTH113 - any text may come
        found, added = trusted_key(text), str(add_trust(text))
        return (
            KeyResult(path=added, fingerprint=found.fingerprint, allowed_signers_line=text, trusted_in=added),
            ExitStatus.DONE,
        )

    conclude(Screen(json), work)


@keys.command("import", cls=FlagCommand)
def import_(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE.pub", help="Public keys; default: ~/.ssh/*.pub.")
    ] = None,
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="Whose keys they are: alice@example.org.")] = "",
    role: Annotated[
        list[Role] | None,
        typer.Option(
            "--role",
            metavar="ROLE",
            help="What they may sign: plan, approve, receipt or all; may be repeated; default: approve.",
        ),
    ] = None,
    valid_after: Annotated[
        str | None, typer.Option("--valid-after", metavar="DATE", help="They count from this day on (2026-12-31).")
    ] = None,
    valid_before: Annotated[
        str | None, typer.Option("--valid-before", metavar="DATE", help="They count until this day begins.")
    ] = None,
    into: Annotated[
        Path | None, typer.Option("--into", metavar="FILE", help="The trust file; default: this user's own.")
    ] = None,
    json: opt.Json = False,
) -> None:
    """Trust keys that people have: append a line for each public key to a trust file. Private keys are never read."""
    from marksweep.cli.identity import checked_name, trust_path
    from marksweep.cli.key_import import KeyImport, import_keys
    from marksweep.cli.screen import Screen, conclude
    from marksweep.cli.wire import utc_now

    def work() -> tuple[Document, ExitStatus]:
        if not name:
            raise UsageError("whose keys they are was not said", "add --as alice@example.org")
        order = KeyImport(checked_name(name), tuple(role or (Role.APPROVE,)), valid_after, valid_before)
        return import_keys(tuple(files or ()), order, into or trust_path(), utc_now()), ExitStatus.DONE

    conclude(Screen(json), work)


def _line_for(public_key: Path, name: str | None) -> str:
    """The line that trusts the key in a ``.pub`` file; whatever else the file holds is never shown."""
    from marksweep.cli.identity import checked_name, trust_line
    from marksweep.plan.publickey import PublicKey

    if name is None:
        raise UsageError(f"{public_key} is a public key file", "say whose it is: --as alice@example.org")
    try:
        key = PublicKey.parse(public_key.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UsageError(
            f"{public_key} holds no public key that marksweep knows", "give the .pub file of an SSH key"
        ) from None
    return trust_line(checked_name(name), key)


def _result(path: str, key: PublicKey, name: str | None = None) -> KeyResult:
    from marksweep.cli.identity import principal, trust_line, trust_path
    from marksweep.report.trust_documents import KeyResult

    own = trust_path()
    trusted = own.exists() and key.line in own.read_text(encoding="utf-8")
    return KeyResult(
        path=path, fingerprint=key.fingerprint, allowed_signers_line=trust_line(name or principal(), key),
        trusted_in=str(own) if trusted else None,
    )  # fmt: skip
