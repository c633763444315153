"""Take the pictures of the report that the README shows: ``python -m tests.browser.screenshots [FOLDER]``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.browser.chromium import chromium, opened
from tests.browser.plans import realistic

IMAGES = Path(__file__).parents[2] / "docs" / "images"


def main(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, chromium() as browser:
        path = realistic(100_000).write(Path(scratch, "report.html"))
        for name, scheme in (("report.png", "light"), ("report-dark.png", "dark")):
            with opened(browser, path, color_scheme=scheme, viewport={"width": 1400, "height": 1060}) as report:
                report.page.screenshot(path=folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES)
