"""The HTML report of a plan, in a real browser: what it shows, how it is used, how fast it is, and what it never does."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import statistics
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from playwright.sync_api import Browser, expect

from marksweep.model.entry import Entry
from marksweep.model.instant import from_text
from marksweep.model.policy import Policy
from marksweep.report.documents import SignerFacts
from marksweep.report.text import count, plain, size
from tests.browser.chromium import Report, chromium, opened, seconds_to_filter, seconds_to_open
from tests.browser.plans import MARKED, PROJECTS, Plan, plan_of, realistic
from tests.browser.scripts import ACTIVE, CONTRAST, EACH_PROJECT, ELEMENTS, HIDDEN, KINDS, NAMELESS
from tests.integration.test_hostile_names import HOSTILE
from tests.unit.plan.support import entry, six


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def plan() -> Plan:
    return realistic(1_500)


@pytest.fixture(scope="module")
def written(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plan.write(tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="module")
def opened_once(browser: Browser, written: Path) -> Iterator[Report]:
    with opened(browser, written) as found:
        yield found


@pytest.fixture
def report(opened_once: Report) -> Iterator[Report]:
    """The report, as if just opened; when the test is over it has asked for nothing and complained of nothing."""
    page = opened_once.page
    page.emulate_media(media="screen")
    page.evaluate("document.activeElement.blur()")
    page.click("#reset")
    page.click("#crumbs button >> nth=0")
    page.evaluate("scrollTo(0, 0); document.getElementById('entries').focus(); document.activeElement.blur()")
    yield opened_once
    assert opened_once.misdeeds == []


def test_the_first_screen_says_what_goes_how_much_and_what_is_unusual(report: Report, plan: Plan) -> None:
    """Entries, bytes, share, undo, approvals and every risk are there before anything is clicked."""
    page, summary = report.page, plan.result.plan
    expect(page.locator("h1")).to_have_text(f"1,500 artifact versions, {size(summary.bytes)}, would be deleted")
    tiles = page.locator(".tiles").inner_text()
    for words in (size(summary.bytes), "1,500", "0.6 %", "Yes", "2 of 2", "grace@example.org", "2026-12-05"):
        assert words in tiles, words
    risks = page.locator(".risks li").all_inner_texts()
    assert [risk.text for risk in plan.result.overview.risks] == [shown.split("\n")[-1] for shown in risks]
    assert "marksweep approve plans/2026-11-21.plan.json" in page.locator(".overview pre").inner_text()
    assert summary.digest in page.locator("footer").inner_text()


def test_the_kept_reasons_the_filters_and_the_signer_are_shown(report: Report, plan: Plan) -> None:
    """Each reason has its count and its meaning; the policy, the stores, the key and the approvers stand beside it."""
    body = report.page.inner_text("main")
    for reason, versions in plan.result.plan.kept.items():
        assert re.search(rf"{reason}\s[^0-9]*{versions:,}", body), reason
    signer = plan.result.plan.signer
    for words in ("keep the newest 3 of each artifact", "versioned: can be undone", signer.principal, signer.fingerprint,
                  "git:origin/main at 1f9c0d2", "ssh-keygen -Y sign", "linus@example.org"):  # fmt: skip
        assert words in body, words


def test_the_distributions_hold_every_entry_once(report: Report, plan: Plan) -> None:
    """A bar that is clicked filters the table to as many entries as it says, and all bars of a kind are all entries."""
    for kind, slices in (("age", plan.result.overview.ages), ("size", plan.result.overview.sizes)):
        seen = 0
        for bar in slices:
            button = report.page.locator(f"button[data-filter='{kind}'][data-value=\"{bar.label}\"]")
            if not bar.entries:
                assert button.is_disabled()
                continue
            button.click()
            assert report.shown.startswith(f"{bar.entries:,} of 1,500 entries"), bar
            assert button.get_attribute("aria-pressed") == "true"
            seen += bar.entries
        assert seen == 1_500
        report.page.click("#reset")


def test_search_finds_every_entry_that_has_all_words_and_no_other(report: Report, plan: Plan) -> None:
    """In artifact, project, pipeline, URI, id or version; in any case; and the sum is that of what is found."""
    report.page.fill("#search", "FRAUD checkpoint")
    found = [one for one in plan.entries if "checkpoint" in one.artifact and one.project.startswith("fraud")]
    total = size(sum(one.bytes or 0 for one in found))
    assert 10 < len(found) < 1_500
    assert report.shown == f"{count(len(found))} of 1,500 entries, {total}"
    assert all(name.endswith("::checkpoint") for name in report.column(1))
    one = plan.entries[678]
    for words in (one.id, one.uri):
        report.page.fill("#search", words)
        assert report.shown.startswith("1 of 1,500")
        assert report.column(9) == [one.id]
    report.page.fill("#search", "no such thing")
    assert report.shown == "0 of 1,500 entries, 0 B"


def test_project_reason_age_and_size_filter_together(report: Report, plan: Plan) -> None:
    """Each filter leaves what fits it and the others; Reset leaves everything."""
    page = report.page
    page.select_option("#project", "vision")
    page.select_option("#reason", "unreferenced")
    page.select_option("#size", "up to 1 MiB")
    found = [one for one in plan.entries if one.project == "vision" and 1024 < (one.bytes or 0) <= 1024**2]
    assert report.shown.startswith(f"{len(found)} of 1,500")
    assert set(report.column(3)) == {"vision"}
    page.click("#reset")
    assert report.shown.startswith("All 1,500 entries")
    assert page.input_value("#project") == ""


def test_every_column_sorts_both_ways(report: Report, plan: Plan) -> None:
    """One click on a heading sorts by it, another turns the order round, and the grid says which it is."""
    keys: list[Callable[[Entry], Any]] = [
        lambda one: one.artifact, lambda one: int(one.version), lambda one: one.project,
        lambda one: (MARKED - from_text(one.created)) // timedelta(seconds=1), lambda one: one.bytes,
        lambda one: one.objects, lambda one: one.reason, lambda one: one.uri, lambda one: one.id,
    ]  # fmt: skip
    by_id = {one.id: one for one in plan.entries}
    for heading, key in enumerate(keys):
        cell = report.page.locator("#grid .head .cell").nth(heading)
        seen = set()
        for _ in range(2):
            cell.click()
            falling = cell.get_attribute("aria-sort") == "descending"
            shown = [key(by_id[found]) for found in report.column(9)]
            assert shown[0] == (max if falling else min)(map(key, plan.entries)), heading
            assert shown == sorted(shown, reverse=falling), heading
            seen.add(falling)
        assert seen == {False, True}


def test_the_map_opens_down_to_an_artifact_and_up_again(report: Report, plan: Plan) -> None:
    """A project shows its pipelines, a pipeline its artifacts, an artifact its entries in the table."""
    page = report.page
    page.click("#map .frame.level-0 >> text=fraud-detection")
    page.click("#map .frame.level-0 >> text=evaluate")
    assert page.locator("#crumbs button").all_inner_texts() == ["All projects", "fraud-detection", "evaluate"]
    found = [
        one
        for one in plan.entries
        if one.artifact == "evaluate::trainer::checkpoint" and one.project.startswith("fraud")
    ]
    area = page.locator("#map button", has_text="trainer::checkpoint")
    assert f"{len(found)} entries, {size(sum(one.bytes or 0 for one in found))}" in (
        area.get_attribute("aria-label") or ""
    )
    area.hover()
    assert page.inner_text("#map-note").startswith(f"evaluate::trainer::checkpoint: {len(found)} entries")
    area.click()
    assert report.shown.startswith(f"{len(found)} of 1,500")
    page.click("#artifact")
    assert report.shown.startswith("All 1,500")
    page.click("#crumbs >> text=All projects")
    assert {name.split("\n")[0] for name in page.locator("#map .level-0").all_inner_texts() if name} <= set(PROJECTS)


def test_the_map_measures_entries_too_and_says_what_has_no_area(browser: Browser, tmp_path: Path) -> None:
    """Entries without bytes have no area among bytes, which is said; where nothing was sized, entries are the measure."""
    empty = [msgspec.structs.replace(one, bytes=0, objects=0, artifact="nothing") for one in (entry(7), entry(8))]
    path = plan_of([*six(), *empty]).write(tmp_path / "report.html")
    with opened(browser, path) as report:
        page = report.page
        page.click("#map .frame.level-0", position={"x": 40, "y": 9})
        assert page.inner_text("#map-rest") == "2 entries have no area here: no bytes of theirs are known."
        page.click("[data-measure=entries]")
        assert page.inner_text("#map-rest") == ""
        assert report.misdeeds == []
    blind = [msgspec.structs.replace(one, bytes=None, objects=None, fingerprint=None) for one in (entry(1), entry(2))]
    with opened(browser, plan_of(blind).write(path)) as report:
        assert report.page.locator("[data-measure=entries]").get_attribute("aria-pressed") == "true"
        assert report.shown == "All 2 entries, unknown"
        assert report.column(5) == ["unknown", "unknown"]
        assert report.misdeeds == []


def test_artifacts_beyond_the_biggest_are_in_an_area_that_opens(browser: Browser, tmp_path: Path) -> None:
    """Of a hundred artifacts beside each other, each can be reached: none is left out of the map."""
    entries = [entry(at, artifact=f"train::step::output_{at:03d}") for at in range(1, 101)]
    with opened(browser, plan_of(entries).write(tmp_path / "report.html")) as report:
        page = report.page
        page.click("#map .frame.level-1", position={"x": 40, "y": 9})
        seen = set()
        for pooled in (61, 22, 0):
            labels = page.locator("#map button").evaluate_all("areas => areas.map(area => area.ariaLabel)")
            seen.update(label.partition(": ")[0] for label in labels if label.startswith("train::"))
            assert [label for label in labels if " smaller ones: " in label] == (
                [label for label in labels if label.startswith(f"{pooled} smaller ones: {pooled} entries")]
            )
            if pooled:
                page.click(f"#map >> text={pooled} smaller ones")
        assert len(seen) == 100
        assert report.misdeeds == []


def test_everything_can_be_done_with_the_keyboard(report: Report) -> None:
    """Tab reaches the map and the table once each; arrows move in them, Enter opens and sorts, Escape goes up."""
    page = report.page
    page.evaluate("document.querySelector('.skip').focus()")
    assert page.locator(".skip").is_visible()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "theme"
    page.locator("#map button[tabindex='0']").focus()
    first = page.evaluate("document.activeElement.ariaLabel")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.ariaLabel") != first
    page.keyboard.press("ArrowLeft")
    page.locator("#map .frame.level-0").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#crumbs button").count() == 2
    page.keyboard.press("Escape")
    assert page.locator("#crumbs button").count() == 1
    page.focus("#reset")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "grid"
    page.keyboard.press("ArrowDown")
    top = report.column(1)[0]
    assert report.active() == report.column(5)[0]
    assert top in page.inner_text("#detail")
    page.keyboard.press("Control+End")
    assert page.locator("#grid .row.active").get_attribute("aria-rowindex") == "1501"
    assert report.active() == report.column(9)[-1]
    page.keyboard.press("Control+Home")
    assert page.locator("#grid .row.active").get_attribute("aria-rowindex") == "2"
    page.keyboard.press("PageDown")
    page.keyboard.press("PageUp")
    page.keyboard.press("ArrowUp")
    assert report.active() == "Artifact"
    page.keyboard.press("Enter")
    assert page.locator("#grid .head .cell").first.get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") != "grid"


def test_the_grid_tells_assistive_technology_all_rows(report: Report) -> None:
    """Though few rows are in the page, their number and places are stated; every control has a name."""
    page = report.page
    assert page.locator("#grid").get_attribute("aria-rowcount") == "1501"
    assert page.locator("#grid .body .row").count() < 60
    assert page.evaluate(NAMELESS) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast_in_both_themes(browser: Browser, written: Path, scheme: str) -> None:
    """Every text stands out from its ground by 4.5 to 1 (WCAG 2.2, AA), and the toggle changes to the other theme."""
    with opened(browser, written, color_scheme=scheme) as report:
        page = report.page
        page.focus("#grid")
        page.keyboard.press("ArrowDown")
        assert page.evaluate(CONTRAST) == []
        ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        page.click("#theme")
        assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != ground
        assert page.evaluate(CONTRAST) == []


def test_paper_gets_the_facts_the_first_rows_and_the_number_of_the_others(report: Report, plan: Plan) -> None:
    """200 rows of what the screen shows, in its order, and how many are not printed; without scripts in plan order."""
    page = report.page
    page.select_option("#project", "churn")
    rows = int(report.shown.split()[0].replace(",", ""))
    pages = page.pdf(format="A4")
    assert 3 < len(re.findall(rb"/Type\s*/Page\b", pages)) < 15
    page.emulate_media(media="print")
    assert page.locator("#printed").is_visible()
    assert not page.locator("#grid").is_visible()
    caption = page.inner_text("#printed caption")
    assert caption.startswith(
        f"The first 200 of {rows:,} entries, sorted by bytes. {rows - 200:,} more are not printed."
    )
    assert f"leave out {1_500 - rows:,} of the plan's 1,500" in caption
    assert page.locator("#printed tbody tr").count() == 200


def test_without_scripts_the_facts_and_the_first_entries_are_there(browser: Browser, written: Path, plan: Plan) -> None:
    """Nothing that needs scripts is shown; the table says what it leaves out."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(written.as_uri())
    body = page.inner_text("body")
    assert "The first 200 entries in plan order. 1,300 more are not printed." in body
    assert plan.entries[0].uri in body
    assert not page.locator("#grid").is_visible()
    context.close()


def test_a_narrow_window_never_scrolls_sideways(browser: Browser, written: Path) -> None:
    """At 800 and at 380 pixels only the table scrolls, inside itself."""
    for width in (800, 380):
        with opened(browser, written, viewport={"width": width, "height": 900}) as report:
            assert report.page.evaluate("document.documentElement.scrollWidth") <= width


def test_hostile_names_do_nothing(browser: Browser, tmp_path: Path) -> None:
    """As artifact, version, project, pipeline, URI, path, principal or filter they are text: no dialog, request, console
    message or element of theirs, and what the browser holds has no character that a reader cannot see.
    """
    names = [
        *HOSTILE.values(),
        "</script><script>alert(2)</script>",
        "<!--<script>",
        "<style>*{display:none}",
        "&lt;b&amp;",
    ]
    names = [*names, *(f"{name}::{name}::{name}" for name in names)]
    places = [f"s3://bucket/zenml/{at:08d}/{name.replace('/', '|')}" for at, name in enumerate(names)]
    entries = [
        entry(at, artifact=name, version=name, project=name, uri=places[at], id=f"{at}{name}")
        for at, name in enumerate(names)
    ]
    made = plan_of(entries, approvals=names[:3])
    html = HOSTILE["html"]
    summary = msgspec.structs.replace(
        made.result.plan, path=" ".join(names), tool=html, signer=SignerFacts(principal=html, fingerprint=html),
        kept={**made.result.plan.kept, html: 3}, policy=Policy(pins=tuple(names)),
    )  # fmt: skip
    path = Plan(msgspec.structs.replace(made.result, plan=summary), entries).write(tmp_path / "report.html")
    for block in re.findall(r'class="entries">(.*?)</script>', path.read_text(encoding="utf-8"), re.S):
        columns = json.loads(block)
        for text in (*itertools.chain(*columns["artifacts"]), *columns["version"], *columns["rest"], *columns["id"]):
            assert plain(text) == text
    with opened(browser, path) as report:
        page = report.page
        assert page.evaluate("Entries.text.uri") == [plain(place) for place in places]
        assert page.evaluate("Entries.text.id") == [plain(one.id) for one in entries]
        page.evaluate(EACH_PROJECT)
        page.click("#reset")
        page.click("#grid .head .cell >> nth=0")
        page.focus("#grid")
        for _ in range(0, len(entries), 10):
            page.keyboard.press("PageDown")
            page.keyboard.press("ArrowDown")
        for area in page.locator("#map button").all()[:5]:
            area.dispatch_event("mouseenter")
        page.emulate_media(media="print")
        page.pdf()
        assert set(page.evaluate(KINDS)) <= ELEMENTS
        assert page.evaluate(ACTIVE) == [
            '<a class="skip" href="#entries">Skip to the entries</a>',
            '<a href="#approve-title">what that means, and without marksweep</a>',
        ]
        assert page.evaluate(HIDDEN) == []
        assert report.misdeeds == []


def test_the_page_may_run_and_load_nothing_but_its_own(written: Path, browser: Browser) -> None:
    """Its policy names each script and style by digest and forbids the rest; a script that is added does not run."""
    text = written.read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy is not None
    rules = policy[1].replace("&#39;", "'")
    assert rules.startswith("default-src 'none'; ")
    assert "unsafe" not in rules
    for inside in [
        *re.findall(r"<script>(.*?)</script>", text, re.S),
        *re.findall(r"<style>(.*?)</style>", text, re.S),
    ]:
        assert base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode() in rules
    assert not re.search(r"\s(style|on[a-z]+|src)=", re.sub(r"<(script|style)[^>]*>.*?</\1>", "", text, flags=re.S))
    with opened(browser, written) as report:
        page = report.page
        page.evaluate("() => { const s = document.createElement('script'); s.id = 'new'; document.body.append(s); }")
        with pytest.raises(Exception, match="Trusted"):
            page.evaluate(
                "() => { document.getElementById('new').textContent = 'alert(1)'; document.body.innerHTML = '<b>'; }"
            )
        page.evaluate("() => fetch('https://example.org').catch(() => {})")
        assert not any(misdeed.startswith("dialog") for misdeed in report.misdeeds)
        assert any("Content Security Policy" in misdeed for misdeed in report.misdeeds)


def test_a_report_has_the_same_bytes_each_time_and_names_every_entry(plan: Plan, written: Path, tmp_path: Path) -> None:
    """Two reports of one plan are equal, and every id stands in each."""
    text = written.read_bytes()
    assert plan.write(tmp_path / "again.html").read_bytes() == text
    missing = [one.id for one in plan.entries if one.id.encode() not in text]
    assert missing == []


def test_an_empty_plan_has_a_report(browser: Browser, tmp_path: Path) -> None:
    """It says that nothing goes, and its table is empty."""
    with opened(browser, plan_of([]).write(tmp_path / "report.html")) as report:
        expect(report.page.locator("h1")).to_have_text("This plan deletes nothing")
        assert report.shown == "All 0 entries, 0 B"
        assert report.misdeeds == []


def test_a_hundred_thousand_entries_open_and_filter_fast(browser: Browser, tmp_path: Path) -> None:
    """In under 20 MB; open in under 3 s; each letter typed shows its rows within 200 ms; medians of 3 and of 8."""
    path = realistic(100_000).write(tmp_path / "report.html")
    assert path.stat().st_size < 20_000_000
    openings = []
    for _ in range(2):
        with opened(browser, path) as report:
            openings.append(seconds_to_open(report))
    with opened(browser, path) as report:
        opening = statistics.median([*openings, seconds_to_open(report)])
        assert opening < 3, f"opened in {opening:.2f} s"
        filtering = statistics.median(seconds_to_filter(report, "churn tr"))
        assert filtering < 0.2, f"filtered in {filtering:.3f} s"
        report.page.click("#reset")
        report.page.focus("#grid")
        report.page.keyboard.press("Control+End")
        assert report.page.locator("#grid .row.active").get_attribute("aria-rowindex") == "100001"
        assert report.misdeeds == []
