"""Debian's Chromium, and a page of it that remembers everything that a report must not do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

FAR = 60_000
"""Milliseconds after which something is not slow but broken."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's own, without a window."""
    path = shutil.which("chromium")
    assert path is not None, "the tests need chromium (Debian: apt-get install chromium)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Report:
    """A report that is open. ``misdeeds``: dialogs, requests other than for the file itself, and whatever the console says."""

    page: Page
    misdeeds: list[str] = field(default_factory=list)

    @property
    def shown(self) -> str:
        """How many entries the table holds, in words."""
        return self.page.inner_text("#shown")

    def column(self, number: int) -> list[str]:
        """The texts of a column (from 1) of the rows in sight, in order."""
        script = """number => [...document.querySelectorAll("#grid .body .row")]
            .sort((a, b) => a.ariaRowIndex - b.ariaRowIndex).map(row => row.children[number - 1].textContent)"""
        found: list[str] = self.page.evaluate(script, number)
        return found

    def active(self) -> str:
        """The text of the cell that the grid names as its active one."""
        name = self.page.get_attribute("#grid", "aria-activedescendant")
        return self.page.locator(f"#{name}").text_content() or ""


@contextmanager
def opened(browser: Browser, path: Path, **options: Any) -> Iterator[Report]:
    """The report at *path*, once its table can be used."""
    context = browser.new_context(**{"viewport": {"width": 1400, "height": 1000}, **options})
    try:
        report = Report(context.new_page())
        page, misdeeds, address = report.page, report.misdeeds, path.as_uri()
        page.on("dialog", lambda dialog: (misdeeds.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: request.url == address or misdeeds.append(f"request {request.url}"))
        page.on("console", lambda message: misdeeds.append(f"console {message.text}"))
        page.on("pageerror", lambda error: misdeeds.append(f"error {error}"))
        page.on("popup", lambda popup: misdeeds.append(f"popup {popup.url}"))
        page.goto(address, timeout=FAR)
        page.wait_for_selector("html[data-ready]", timeout=FAR)
        yield report
    finally:
        context.close()


def seconds_to_open(report: Report) -> float:
    """From the beginning of the navigation to a frame that shows a table that can be used, and somebody was told so: asked
    just after it was opened.
    """
    return float(report.page.evaluate(_PAINTED)) / 1000


def seconds_to_filter(report: Report, words: str) -> list[float]:
    """For each letter of *words* typed into the search: from its input event to a frame that shows the rows."""
    report.page.evaluate(_WATCH)
    for letter in words:
        report.page.locator("#search").press_sequentially(letter)
    report.page.wait_for_function("count => window.waits.length === count", arg=len(words), timeout=FAR)
    return [wait / 1000 for wait in report.page.evaluate("window.waits")]


_PAINTED = """() => new Promise(resolve => requestAnimationFrame(() => setTimeout(() => resolve(performance.now()))))"""
_WATCH = """() => {
    window.waits = [];
    document.getElementById("search").addEventListener("input", event => {
        requestAnimationFrame(() => setTimeout(() => window.waits.push(performance.now() - event.timeStamp)));
    }, true);
}"""
