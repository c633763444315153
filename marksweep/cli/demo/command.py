"""``marksweep demo``: the whole main job on a real ZenML 0.98.0 catalog that ships with the program."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marksweep.errors import ExitStatus, UsageError

if TYPE_CHECKING:
    from marksweep.cli.screen import Screen

REVIEWER = "reviewer@example.org"
STEPS: tuple[tuple[str, str], ...] = (
    (
        "Mark: read the catalog, write a signed plan. It deletes nothing. (--no-grace, because the demo's catalog has two "
        "pipeline runs that were killed; leave it out at home.)",
        "mark --no-grace --out plan.json",
    ),
    ("Show: what people review, in a pull request or here.", "show plan.json --entries 3"),
    ("A reviewer has a key of their own, and you trust it.", f"keys create --out reviewer_key --as {REVIEWER}"),
    ("", f"keys trust reviewer_key.pub --as {REVIEWER}"),
    (
        "Approve: a small file beside the plan, signed by the reviewer.",
        "approve plan.json --key reviewer_key --as reviewer --yes",
    ),
    ("Sweep: recheck every entry, claim it, delete its bytes.", "sweep plan.json --approvals 1 --yes"),
    ("A second sweep finds nothing left to do.", "sweep plan.json --approvals 1 --yes"),
    ("Explain: why was this one kept?", "explain model_only_weights"),
)


def demo(
    keep: Annotated[
        Path | None,
        typer.Option("--keep", metavar="DIR", help="Leave everything in this new folder, to look around in."),
    ] = None,
) -> None:
    """Mark, show, approve, sweep and explain on a real ZenML catalog in a scratch folder. Touches nothing of yours."""
    from marksweep.cli.demo import DEMO_ARCHIVE
    from marksweep.cli.demo.unpack import unpack
    from marksweep.cli.screen import Screen, conclude

    screen = Screen()

    def work() -> tuple[None, ExitStatus]:
        if keep is not None and keep.exists():
            raise UsageError(f"{keep} exists", "name a new folder")
        with tempfile.TemporaryDirectory(prefix="marksweep-demo-") as scratch:
            home = (keep or Path(scratch) / "demo").absolute()
            home.mkdir(parents=True)
            unpack(DEMO_ARCHIVE, home / "zenml")
            screen.out.print(f"A ZenML 0.98.0 catalog with its files, in {home}/zenml", highlight=False, soft_wrap=True)
            return None, _play(screen, home)

    conclude(screen, work)


def _play(screen: Screen, home: Path) -> ExitStatus:
    """Run each step as a user would, in a process of its own; stop at the first that fails."""
    environ = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("ZENML_", "MARKSWEEP_"))},
        "ZENML_CONFIG_PATH": str(home / "zenml" / "cfg"),
        "MARKSWEEP_CONFIG_DIR": str(home / "config"),
        "CI": "",
    }
    if screen.out.is_terminal:
        environ.setdefault("FORCE_COLOR", "1")
    for words, command in STEPS:
        if words:
            screen.out.print(f"\n[bold]# {words}[/]", highlight=False)
        screen.out.print(f"[bold cyan]$ marksweep {command}[/]", highlight=False, soft_wrap=True)
        sys.stdout.flush()
        ended = subprocess.run(  # noqa: S603 - our own commands, from the list above
            [sys.executable, "-m", "marksweep", *shlex.split(command)], cwd=home, env=environ, check=False
        )
        if ended.returncode:
            return ExitStatus.BUG
    return ExitStatus.DONE
