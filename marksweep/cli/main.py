"""The program: every command is declared here or in a neighbour, and imports what it needs only when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marksweep import __version__
from marksweep.cli.approve_command import approve
from marksweep.cli.demo.command import demo
from marksweep.cli.diff_command import diff
from marksweep.cli.explain_command import explain
from marksweep.cli.flag_help import FlagCommand, FlagGroup
from marksweep.cli.grants_command import grants
from marksweep.cli.init_command import init
from marksweep.cli.keys import keys
from marksweep.cli.log_command import log
from marksweep.cli.log_options import CHOSEN, FILE_VARIABLE, FORMAT_VARIABLE, LogChoice, LogFormat
from marksweep.cli.mark_commands import mark
from marksweep.cli.plan_commands import status, verify
from marksweep.cli.receipt_command import verify_receipt
from marksweep.cli.restore_commands import restore
from marksweep.cli.show_command import show
from marksweep.cli.sweep_commands import prune, sweep

app = typer.Typer(
    name="marksweep",
    cls=FlagGroup,
    help="Two-phase garbage collection for ML artifact stores: [b]mark[/b] writes a signed plan that people review, "
    "[b]sweep[/b] rechecks every entry and deletes it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    mark,
    show,
    verify,
    approve,
    sweep,
    status,
    log,
    verify_receipt,
    restore,
    diff,
    explain,
    grants,
    prune,
    init,
    demo,
):
    app.command(cls=FlagCommand)(command)
app.add_typer(keys, name="keys")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"marksweep {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
    log_format: Annotated[
        LogFormat,
        typer.Option(
            "--log-format", metavar="text|json", envvar=FORMAT_VARIABLE, help="What stderr holds: words, or JSON Lines."
        ),
    ] = LogFormat.TEXT,
    log_file: Annotated[
        Path | None,
        typer.Option("--log-file", metavar="FILE", envvar=FILE_VARIABLE, help="Append JSON Lines to this file, too."),
    ] = None,
) -> None:
    """Options of every command."""
    CHOSEN.set(LogChoice(log_format, log_file, context.invoked_subcommand or ""))


def main() -> None:
    """The entry point."""
    app(prog_name="marksweep")
