"""Commands whose help shows a flag without a value: typer 0.29 writes ``--yes <bool>``, though ``--yes true`` is an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from typer._click.core import Context, Parameter


class FlagCommand(TyperCommand):
    """A command whose flags take no value in its help."""

    def get_params(self, ctx: Context) -> list[Parameter]:
        """The parameters, ``--help`` among them; a flag with an empty metavar is shown without its type."""
        return _bare(super().get_params(ctx))


class FlagGroup(TyperGroup):
    """The same for a command that has commands."""

    def get_params(self, ctx: Context) -> list[Parameter]:
        """The parameters, ``--help`` among them; a flag with an empty metavar is shown without its type."""
        return _bare(super().get_params(ctx))


def _bare(parameters: list[Parameter]) -> list[Parameter]:
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    return parameters
