"""The options that decide what a plan may hold, shared by mark, prune and explain, and the policy that they make."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from marksweep.errors import UsageError
from marksweep.model.outcome import Mode
from marksweep.model.policy import MIN_AGE, Policy, duration

_FILTER, _RULES, _CAPS = "Filters", "Rules", "Caps"


def _option(text: str, *names: str, panel: str = _FILTER, value: str | None = None) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, metavar=value)


@dataclass(slots=True)
class Filters:
    """Options as typed on the command line; :meth:`policy` reads them."""

    project: Annotated[list[str], _option("Only versions of this project; may be repeated.", "--project", value="NAME")]
    workspace: Annotated[list[str], _option("The same, for releases that had workspaces.", "--workspace", value="NAME")]
    older_than: Annotated[
        str | None, _option("Only versions created longer ago, such as 30d or 12h.", "--older-than", value="TIME")
    ]
    keep_latest: Annotated[
        int, _option("Keep the newest N versions of each artifact.", "--keep-latest", panel=_FILTER, value="N")
    ]
    artifact: Annotated[list[str], _option("Only artifacts whose name matches this glob.", "--artifact", value="GLOB")]
    exclude_artifact: Annotated[
        list[str], _option("Keep artifacts whose name matches this glob.", "--exclude-artifact", value="GLOB")
    ]
    tag: Annotated[list[str], _option("Only versions with a tag that matches this glob.", "--tag", value="GLOB")]
    exclude_tag: Annotated[
        list[str], _option("Keep versions with a tag that matches this glob.", "--exclude-tag", value="GLOB")
    ]
    store: Annotated[
        list[str], _option("Only versions in this artifact store (name or id).", "--store", value="NAME|ID")
    ]
    pin: Annotated[list[str], _option("Keep this id, artifact name or URI prefix.", "--pin", value="ID|NAME|URI")]
    pin_file: Annotated[Path | None, _option("The same, one a line, from a file.", "--pin-file", value="FILE")]
    ignore_model_links: Annotated[
        bool, _option("Plan versions that only model versions refer to.", "--ignore-model-links", panel=_RULES)
    ]
    include_registered: Annotated[
        bool, _option("Plan data that ZenML only registered: the user's own.", "--include-registered", panel=_RULES)
    ]
    keep_artifacts: Annotated[
        bool, _option("Leave artifacts whose last version goes.", "--keep-artifacts", panel=_RULES)
    ]
    min_age: Annotated[str, _option("Keep everything younger.", "--min-age", panel=_RULES, value="TIME")]
    no_grace: Annotated[
        bool, _option("Switch off the minimum age and the unfinished-run rule.", "--no-grace", panel=_RULES)
    ]
    only_artifact: Annotated[
        bool, _option("Delete the bytes and keep the rows.", "--only-artifact", "-a", panel=_RULES)
    ]
    only_metadata: Annotated[
        bool, _option("Delete the rows and keep the bytes.", "--only-metadata", "-m", panel=_RULES)
    ]
    all_versions: Annotated[
        bool,
        _option("Versioned buckets: delete every version of an object, for good.", "--all-versions", panel=_RULES),
    ]
    no_size: Annotated[bool, _option("Do not list the stores: no sizes, no fingerprints.", "--no-size", panel=_RULES)]
    max_entries: Annotated[
        int | None, _option("Refuse a plan with more entries (0: none).", "--max-entries", panel=_CAPS, value="N")
    ]
    max_bytes: Annotated[
        int | None, _option("Refuse a plan with more bytes (0: none).", "--max-bytes", panel=_CAPS, value="BYTES")
    ]
    max_share: Annotated[
        int | None,
        _option(
            "Refuse a plan with more per cent of the catalog (default 50 above 1,000 versions).",
            "--max-share",
            panel=_CAPS,
            value="PERCENT",
        ),
    ]

    @property
    def mode(self) -> Mode:
        """What a sweep of the plan is to delete."""
        if self.only_artifact and self.only_metadata:
            raise UsageError("--only-artifact and --only-metadata exclude each other", "leave both out to delete both")
        if self.only_artifact:
            return Mode.ONLY_ARTIFACT
        return Mode.ONLY_METADATA if self.only_metadata else Mode.BOTH

    def check(self) -> None:
        """Raise UsageError for a value that cannot be used, before anything else is looked at."""
        _ = self.mode, self.policy()

    def policy(self) -> Policy:
        """The policy that these options mean; raise UsageError for a value that cannot be used."""
        for name in ("keep_latest", "max_entries", "max_bytes", "max_share"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise UsageError(
                    f"--{name.replace('_', '-')} is {value}", "give 0 or more; 0 means none, not “no limit”"
                )
        pins = [*self.pin, *(_lines(self.pin_file) if self.pin_file else [])]
        return Policy(
            min_age=read_duration("--min-age", self.min_age), grace=not self.no_grace,
            older_than=read_duration("--older-than", self.older_than) if self.older_than is not None else None,
            keep_latest=self.keep_latest, projects=_unique([*self.project, *self.workspace]),
            artifacts=_unique(self.artifact), exclude_artifacts=_unique(self.exclude_artifact), tags=_unique(self.tag),
            exclude_tags=_unique(self.exclude_tag), stores=_unique(self.store), pins=_unique(pins),
            ignore_model_links=self.ignore_model_links, include_registered=self.include_registered,
            keep_artifacts=self.keep_artifacts, sizes=not self.no_size,
            all_versions=self.all_versions, max_entries=self.max_entries,
            max_bytes=self.max_bytes, max_share=self.max_share,
        )  # fmt: skip


_DEFAULTS: dict[str, Any] = {
    "keep_latest": 0, "min_age": f"{MIN_AGE.days}d", "older_than": None, "pin_file": None, "max_entries": None,
    "max_bytes": None, "max_share": None,
}  # fmt: skip


def with_filters(command: Callable[..., None]) -> Callable[..., None]:
    """Give *command*, which takes ``filters: Filters``, every filter option of its own."""
    hints = get_type_hints(Filters, include_extras=True)
    own = inspect.signature(command, eval_str=True)
    added = [
        inspect.Parameter(
            f.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=hints[f.name],
            default=_DEFAULTS.get(f.name, False if hints[f.name].__origin__ is bool else []),
        )
        for f in fields(Filters)
    ]

    @wraps(command)
    def wrapped(**given: Any) -> None:
        filters = Filters(**{f.name: given.pop(f.name) for f in fields(Filters)})
        command(filters=filters, **given)

    parameters = [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own.parameters.values() if p.name != "filters"
    ]
    wrapped.__signature__ = own.replace(parameters=[*parameters, *added])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in [*parameters, *added]}
    return wrapped


def read_duration(option: str, text: str) -> timedelta:
    """The duration given to *option*; raise UsageError for anything else."""
    try:
        return duration(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}", "write for example 30d, 12h, 90m or 0") from None


def _unique(values: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "check the path given to --pin-file") from None
    stripped = (line.strip() for line in text.splitlines())
    return [line for line in stripped if line and not line.startswith("#")]
