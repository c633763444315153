"""``marksweep keys``: create, show, trust."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marksweep.cli import options as opt
from marksweep.errors import ExitStatus, UsageError

if TYPE_CHECKING:
    from marksweep.plan.keys import SigningKey
    from marksweep.report.document import Document

keys = typer.Typer(help="Make, show and trust signing keys.", no_args_is_help=True)


@keys.command()
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
        return _result(target, key, owner), ExitStatus.DONE

    conclude(Screen(json), work)


@keys.command()
def show(key: opt.KeyFile = None, json: opt.Json = False) -> None:
    """Show the key that would sign, and the line that makes others trust it."""
    from marksweep.cli.identity import key_path, signing
    from marksweep.cli.screen import Screen, conclude
    from marksweep.plan.keys import SIGNING_KEY_VARIABLE

    screen = Screen(json)

    def work() -> tuple[Document, ExitStatus]:
        if key is None and SIGNING_KEY_VARIABLE not in os.environ and not key_path().exists():
            raise UsageError(f"there is no key at {key_path()} yet", "make one with `marksweep keys create`")
        signer = signing(key, screen.tell)
        return _result(Path(signer.source), signer.key), ExitStatus.DONE

    conclude(screen, work)


@keys.command()
def trust(
    line: Annotated[
        str, typer.Argument(metavar="LINE|FILE.pub", help="An allowed_signers line, or a public key file.")
    ],
    name: Annotated[str | None, typer.Option("--as", help="Whose key it is, for a public key file.")] = None,
    json: opt.Json = False,
) -> None:
    """Trust a key: append its line to this user's trust file."""
    from marksweep.cli.identity import add_trust, trusted_key
    from marksweep.cli.screen import Screen, conclude
    from marksweep.report.documents import KeyResult

    def work() -> tuple[Document, ExitStatus]:
        text = _line_for(Path(line), name) if os.path.isfile(line) else line.strip()  # noqa: PTH113 - any text may come
        found, added = trusted_key(text), str(add_trust(text))
        return (
            KeyResult(path=added, fingerprint=found.fingerprint, allowed_signers_line=text, trusted_in=added),
            ExitStatus.DONE,
        )

    conclude(Screen(json), work)


def _line_for(public_key: Path, name: str | None) -> str:
    """The line that trusts the key in a ``.pub`` file; whatever else the file holds is never shown."""
    from marksweep.cli.identity import checked_name
    from marksweep.plan.publickey import PublicKey

    if name is None:
        raise UsageError(f"{public_key} is a public key file", "say whose it is: --as alice@example.org")
    try:
        key = PublicKey.parse(public_key.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UsageError(
            f"{public_key} holds no public key that marksweep knows", "give the .pub file of an SSH key"
        ) from None
    return f'{checked_name(name)} namespaces="marksweep-*@marksweep.dev" {key.line}'


def _result(path: Path, key: SigningKey, name: str | None = None) -> Document:
    from marksweep.cli.identity import principal, trust_line, trust_path
    from marksweep.report.documents import KeyResult

    line = trust_line(name or principal(), key)
    own = trust_path()
    trusted = own.exists() and key.public.line in own.read_text(encoding="utf-8")
    return KeyResult(
        path=str(path), fingerprint=key.fingerprint, allowed_signers_line=line, trusted_in=str(own) if trusted else None
    )
