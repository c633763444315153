"""Run scripts under a real ZenML release, in its own virtual environment, on an unpacked catalog.

Environments are looked for in ``$MARKSWEEP_ZENML_VENVS`` (default ``<repository>/.venv-zenml``) as ``<release>`` or
``zenml-<release>``, and made there when none fits. Making one needs the network; running in one uses none.

Running ZenML may write to the catalog (its configuration file, its database): take digests of files before.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

REQUIREMENTS = {
    "0.70.0": ("zenml==0.70.0", "setuptools<81", "numpy", "pandas"),
    "0.85.0": ("zenml==0.85.0", "setuptools<81", "numpy", "pandas"),
    "0.98.0": ("zenml[local]==0.98.0", "numpy", "pandas"),
}
"""What each environment holds: the catalogs have data frames and arrays, and older releases import ``pkg_resources``.

The SQL store was part of plain ``zenml`` once and needs the extra ``local`` now.
"""
NEWEST_PYTHON = {"0.70.0": (3, 12), "0.85.0": (3, 12), "0.98.0": (3, 14)}
"""The newest Python that the release allows."""

_PROBE = "import importlib.metadata as m, numpy, pandas, zenml.zen_stores.sql_zen_store; print(m.version('zenml'))"
_REPOSITORY = Path(__file__).parent.parent.parent


class NoEnvironment(Exception):
    """No virtual environment for this release, and none could be made; the message says why."""


class ScriptFailed(Exception):
    """The script ended with an error; the message holds its end of stderr."""


@cache
def interpreter(release: str) -> Path:
    """The Python of the release's environment, which is made first if there is none. Raises :class:`NoEnvironment`."""
    home = Path(os.environ.get("MARKSWEEP_ZENML_VENVS") or _REPOSITORY / ".venv-zenml")
    home.mkdir(parents=True, exist_ok=True)
    with _lock(home / f".{release}.lock"):
        for name in (release, f"zenml-{release}"):
            python = home / name / "bin" / "python"
            if python.exists() and _fits(python, release):
                return python
        return _make(home / release, release)


def run(release: str, config: Path, script: str, given: object = None, timeout: float = 600) -> Any:
    """Run *script* with ``ZENML_CONFIG_PATH`` = *config*; return what it leaves in its variable ``result`` (as JSON).

    The script finds *given* in its variable ``given``. Raises :class:`ScriptFailed` with what it wrote to stderr.
    """
    python = interpreter(release)
    with tempfile.TemporaryDirectory(prefix="zenml-run-") as scratch:
        folder = Path(scratch)
        (folder / "given.json").write_text(json.dumps(given))
        (folder / "script.py").write_text(_PROLOGUE + script + _EPILOGUE)
        done = subprocess.run(
            [python, folder / "script.py"],
            cwd=folder, env=_environment(config, folder), capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise ScriptFailed(f"zenml {release} ended with {done.returncode}:\n{done.stderr[-4000:]}")
        return json.loads((folder / "result.json").read_text())


def load_all(release: str, config: Path, ids: Iterable[str]) -> dict[str, str | None]:
    """Load each version's data with the real client: per id None, or the exception's text."""
    return run(release, config, LOAD_ALL, sorted(ids))


def listed(release: str, config: Path) -> dict[str, list[str]]:
    """What the real client lists in all projects: ids of ``versions``, of ``unused`` ones, and of ``artifacts``."""
    return run(release, config, LIST)


_PROLOGUE = (
    "import json, sys\nfrom pathlib import Path\ngiven = json.loads(Path('given.json').read_text())\nresult = None\n"
)
_EPILOGUE = "\nPath('result.json').write_text(json.dumps(result))\n"

LOAD_ALL = """
# Registered data is "loaded" as a copy in a temporary folder that stays; $TMPDIR lies in this run's own folder.
# The copy is compared with the original, since a copy of an emptied folder would look like success.
import os
from zenml.client import Client

client = Client()
result = {}


def files(top):
    return {str(p.relative_to(top)): p.read_bytes() for p in Path(top).rglob("*") if p.is_file()}


for identifier in given:
    try:
        version = client.zen_store.get_artifact_version(identifier)
        loaded = version.load()
        if isinstance(loaded, Path) and loaded.is_dir():
            assert files(loaded) == files(version.uri), "the copy of the registered folder differs"
        elif isinstance(loaded, Path):
            assert loaded.read_bytes() == Path(version.uri).read_bytes(), "the copy of the registered file differs"
        result[identifier] = None
    except Exception as error:
        result[identifier] = f"{type(error).__name__}: {error}"
"""

LIST = """
import os
from zenml.client import Client

client = Client()
with_projects = hasattr(client, "list_projects")
spaces = client.list_projects(size=100).items if with_projects else client.list_workspaces(size=100).items


def everything(method, shared=False, **filters):
    ids = []
    for space in spaces[:1] if shared else spaces:
        scope = {"project": space.id} if with_projects else {}
        os.environ["ZENML_ACTIVE_WORKSPACE_ID"] = str(space.id)  # before projects, the only scope there is
        page, pages = 1, 1
        while page <= pages:
            found = method(page=page, size=500, **scope, **filters)
            ids += [str(listed.id) for listed in found.items]
            page, pages = page + 1, found.total_pages
    return sorted(set(ids))


result = {
    "versions": everything(client.list_artifact_versions),
    "unused": everything(client.list_artifact_versions, only_unused=True),
    # Before projects, all workspaces shared the artifacts.
    "artifacts": everything(client.list_artifacts, shared=not with_projects),
}
"""


def _environment(config: Path, scratch: Path) -> dict[str, str]:
    """No setting of the person's own ZenML, no home, no telemetry, and a proxy that nobody answers at."""
    inherited = {
        k: v for k, v in os.environ.items() if not k.startswith(("ZENML_", "PYTHON")) and "proxy" not in k.lower()
    }
    (scratch / "tmp").mkdir()
    nowhere = "http://127.0.0.1:9"
    return inherited | {
        "ZENML_CONFIG_PATH": str(config),
        "ZENML_ANALYTICS_OPT_IN": "false",
        "ZENML_LOGGING_VERBOSITY": "ERROR",
        "ZENML_ENABLE_RICH_TRACEBACK": "false",
        "ZENML_DISABLE_CLIENT_SERVER_MISMATCH_WARNING": "true",
        "HOME": str(scratch),
        "TMPDIR": str(scratch / "tmp"),
        "http_proxy": nowhere, "https_proxy": nowhere, "HTTP_PROXY": nowhere, "HTTPS_PROXY": nowhere,
    }  # fmt: skip


def _fits(python: Path, release: str) -> bool:
    done = subprocess.run([python, "-c", _PROBE], capture_output=True, text=True, check=False)
    return done.returncode == 0 and done.stdout.strip().endswith(release)


def _make(place: Path, release: str) -> Path:
    """Make the environment; one whose making was interrupted fails its probe, and is made again."""
    started = time.monotonic()
    shutil.rmtree(place, ignore_errors=True)
    beside_this_python = Path(sys.executable).parent
    python, uv = place / "bin" / "python", shutil.which("uv", path=f"{beside_this_python}:{os.environ['PATH']}")
    base = _base_python(release, uv)
    if uv:
        steps = [[uv, "venv", "--quiet", "--python", base, str(place)],
                 [uv, "pip", "install", "--quiet", "--python", str(python), *REQUIREMENTS[release]]]  # fmt: skip
    else:
        steps = [[base, "-m", "venv", str(place)],
                 [str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS[release]]]  # fmt: skip
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NoEnvironment(f"{' '.join(step)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    if not _fits(python, release):
        raise NoEnvironment(f"{place} was made, but zenml {release}, numpy and pandas cannot be imported in it")
    print(f"made {place} in {time.monotonic() - started:.0f} s", file=sys.stderr)
    return python


def _base_python(release: str, uv: str | None) -> str:
    """A Python that the release runs on: this one if it is old enough."""
    newest = NEWEST_PYTHON[release]
    if sys.version_info[:2] <= newest:
        return getattr(sys, "_base_executable", sys.executable)
    if uv:
        return f"{newest[0]}.{newest[1]}"
    for minor in range(newest[1], 9, -1):
        if found := shutil.which(f"python3.{minor}"):
            return found
    raise NoEnvironment(f"zenml {release} needs Python {newest[0]}.{newest[1]} or older, and there is none on PATH")


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """One test process at a time looks for, or makes, the environment of a release."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
