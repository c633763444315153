"""What ZenML's schema means for us, release by release (0.55 to 0.98), each fact in one place.

Sources: the schemas of the releases named (``zenml/zen_stores/schemas``) and live databases of nine of them. A foreign key,
resource table or ``*artifact_version*`` column that is not listed here makes marksweep refuse the database.
"""

from __future__ import annotations

import re

from marksweep.model.version import ReferenceKind

OLDEST, NEWEST = (0, 55), (0, 98)
"""The releases whose schema this module describes, both ends included."""

RELEASE = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:\.?rc\d+)?")
"""A released ZenML ends its migrations with a revision named like the release; anything else is a half-way state."""

REQUIRED = {
    "artifact": ("id", "name", "created"),
    "artifact_version": (
        "id",
        "uri",
        "version",
        "created",
        "updated",
        "artifact_id",
        "artifact_store_id",
        "materializer",
    ),
    "step_run_input_artifact": ("artifact_id", "step_id"),
    "step_run_output_artifact": ("artifact_id", "step_id"),
    "model_versions_artifacts": ("artifact_version_id",),
    "artifact_visualization": ("id", "uri", "artifact_version_id"),
    "stack_component": ("id", "name", "type", "flavor", "configuration"),
    "pipeline_run": ("id", "name", "status", "created"),
    "step_run": ("id", "name", "pipeline_run_id"),
    "tag_resource": ("resource_id", "resource_type", "tag_id"),
    "tag": ("id", "name"),
    "server_settings": ("id",),
}
"""Tables and columns that every release has, and that the rules cannot do without."""

REFERENCES = {
    ("step_run_input_artifact", "artifact_id"): ReferenceKind.STEP_INPUT,
    ("step_run_output_artifact", "artifact_id"): ReferenceKind.STEP_OUTPUT,
    ("model_versions_artifacts", "artifact_version_id"): ReferenceKind.MODEL_VERSION,
    ("pipeline_run_output", "artifact_id"): ReferenceKind.RUN_OUTPUT,
    ("hook_invocation_output_artifact", "artifact_version_id"): ReferenceKind.HOOK_OUTPUT,
}
"""Foreign keys to ``artifact_version`` that keep a version alive. The last two came with 0.94.4 and 0.95.0."""

VISUALIZATION = ("artifact_visualization", "artifact_version_id")
"""The one foreign key to ``artifact_version`` that is owned: it goes with its version."""

CURATED = ("curated_visualization", "artifact_visualization_id")
"""Somebody pinned a visualization (0.91.0): a reference at one remove."""

VERSION_OF_ARTIFACT = ("artifact_version", "artifact_id")
"""The one foreign key to ``artifact``."""

MODEL_LINKS = "model_versions_artifacts"

VERSION_COLUMNS = {key for key in (*REFERENCES, VISUALIZATION) if "artifact_version" in key[1]}
"""Columns whose name says ``artifact_version`` and that are understood."""

HARMLESS_FLAGS: frozenset[tuple[str, str]] = frozenset()
"""Columns whose name says ``artifact_version`` and that hold no id of one. None so far."""

RESOURCE_TABLES = {
    "tag_resource": True,
    "run_metadata_resource": True,
    "run_metadata": True,
    "curated_visualization": False,
    "secret_resource": False,
}
"""Tables with ``resource_id`` and ``resource_type``: True when rows of a version are its own and go with it.

``run_metadata`` has the pair up to 0.70; ``curated_visualization`` pins to pipelines, runs and the like, never to versions.
"""

SNAPSHOT_TABLES = ("pipeline_snapshot", "pipeline_deployment")
"""The compiled pipelines; renamed in 0.90.0."""

SNAPSHOT_OWNED = ("step_configuration",)
"""Tables whose foreign key to a snapshot does not make it live: they are parts of it."""

CONFIGURATIONS = {
    "pipeline_snapshot": ("pipeline_configuration",),
    "pipeline_deployment": ("pipeline_configuration", "step_configurations"),
    "step_configuration": ("config",),
    "step_run": ("step_configuration",),
}
"""Columns of JSON text that may mention a version by id or by name."""

FINISHED = ("failed", "completed", "cached", "skipped", "retried", "stopped", "cancelled")
"""``ExecutionStatus.is_finished`` of 0.98.0. A status that is not here counts as unfinished."""

REGISTERED_SAVE_TYPE = "preexisting"
REGISTERED_MATERIALIZER = "preexisting_data_materializer"
"""Either says that ZenML only registered data that was there already (``save_type`` came with 0.70)."""

RESOURCE_VERSION, RESOURCE_ARTIFACT = "artifact_version", "artifact"
"""Values of ``resource_type``."""

ENFORCES_KEYS_ON_SQLITE = (0, 91, 2)
"""From this release on ZenML itself turns on foreign keys on each SQLite connection (absent in 0.90.0)."""


def release_of(revision: str) -> tuple[int, int, int] | None:
    """The release that a schema revision names, or None for a develop build or an interrupted migration."""
    match = RELEASE.fullmatch(revision)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def dashed(hexadecimal: str) -> str:
    """A row id (32 hex digits) as ZenML shows it."""
    h = hexadecimal
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}" if len(h) == 32 else h


def row_id(shown: str) -> str:
    """The other way round: what stands in the row."""
    return shown.replace("-", "").lower()
