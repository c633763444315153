"""``python -m tests.threats [NUMBER ...]``: remove each mitigation in a copy of the tree and see its tests fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.threats.table import REMOVALS, Edit, Removal

ROOT = Path(__file__).parents[2]
FAILED = 1
COPIED = ("marksweep", "tests", "schemas", "docs", "pyproject.toml", "README.md", "Makefile")


def main(numbers: Sequence[str]) -> int:
    """Try the threats with these *numbers*, or all; print a line each; return how many removals no test noticed."""
    unseen = 0
    with tempfile.TemporaryDirectory(prefix="threats") as folder:
        copy = Path(folder)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy / name)
        chosen = [removal for removal in REMOVALS if not numbers or str(removal.number) in numbers]
        if (status := run(sorted({test for removal in chosen for test in removal.tests}), copy)) != 0:
            print(f"with every mitigation in place, the tests end with {status}: mend that first")
            return 1
        for removal in chosen:
            silent = passing(removal, copy)
            unseen += bool(silent)
            print(f"{removal.number:>2}  {'UNSEEN' if silent else 'seen':<6}  {removal.what}", flush=True)
            for test in silent:
                print(f"            {test} passes without it", flush=True)
    print(f"{unseen} removals that no test noticed")
    return unseen


def passing(removal: Removal, copy: Path) -> list[str]:
    """The tests of *removal* that still pass, or that cannot be run, in *copy* without its mitigation."""
    before = {edit.path: (copy / edit.path).read_text(encoding="utf-8") for edit in removal.edits}
    try:
        for edit in removal.edits:
            (copy / edit.path).write_text(
                without((copy / edit.path).read_text(encoding="utf-8"), edit), encoding="utf-8"
            )
        return [test for test in removal.tests if run([test], copy) != FAILED]
    finally:
        for path, text in before.items():
            (copy / path).write_text(text, encoding="utf-8")


def without(text: str, edit: Edit) -> str:
    """*text* after *edit*; raise ValueError unless what it replaces stands there exactly once."""
    if text.count(edit.old) != 1:
        raise ValueError(f"{edit.path} holds {edit.old!r} {text.count(edit.old)} times, expected once")
    return text.replace(edit.old, edit.new)


def run(tests: Sequence[str], copy: Path) -> int:
    """pytest's exit status for *tests* in *copy*: 1 if one failed, 2 and more if they could not be run."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
        cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        check=False, timeout=1200,
    ).returncode  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
