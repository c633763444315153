"""Fixtures that tests of several kinds share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.catalogs import RELEASES, RealCatalog, unpacked


@pytest.fixture(params=RELEASES)
def real_catalog(request: pytest.FixtureRequest, tmp_path: Path) -> RealCatalog:
    """A real catalog of each release, unpacked afresh: a test may sweep it for real."""
    return unpacked(request.param, tmp_path)
