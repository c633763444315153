"""The demo: a real ZenML 0.98.0 catalog with its artifact files, shipped with the package."""

from __future__ import annotations

from pathlib import Path

DEMO_ARCHIVE: Path = Path(__file__).parent / "zenml-0.98.0.tar.gz"
"""What a real ZenML 0.98.0 wrote: its SQLite database, three local stores, and ``ground_truth.json``."""
