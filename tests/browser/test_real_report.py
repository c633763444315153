"""The HTML report of a plan that ``mark`` made. Apart: ``mark`` cannot run beside a browser's loop in one thread."""

from __future__ import annotations

from pathlib import Path

from tests.browser.chromium import chromium, opened
from tests.support.catalogs import unpacked
from tests.support.cli import Cli


def test_show_writes_the_report_of_a_real_plan(tmp_path: Path) -> None:
    """``show --format html --out FILE`` of a plan that ``mark`` made opens with that plan's entries."""
    catalog = unpacked("0.98.0", tmp_path)
    (tmp_path / "home").mkdir()
    cli = Cli(tmp_path / "home")
    marked = cli.json("mark", "--catalog", catalog.url, "--no-grace", "--out", tmp_path / "plan.json")
    path = tmp_path / "report.html"
    assert cli("show", tmp_path / "plan.json", "--format", "html", "--out", path).status == 0
    with chromium() as browser, opened(browser, path) as report:
        assert report.shown.startswith(f"All {marked['plan']['entries']} entries")
        assert marked["plan"]["digest"] in report.page.inner_text("footer")
        assert "--no-grace" in report.page.inner_text(".risks")
        assert report.misdeeds == []
