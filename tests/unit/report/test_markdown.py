"""A plan as a comment: within its limit whatever the names, and for two parsers exactly what the template says.

``cmarkgfm`` is GitHub's own parser; ``markdown-it-py`` with its GFM-like preset and linkify is stricter about other things.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser

import cmarkgfm
import msgspec
import pytest
from cmarkgfm.cmark import Options
from markdown_it import MarkdownIt

from marksweep.report import documents as d
from marksweep.report.markdown import LEAST_CHARS, MAX_CHARS, markdown, marker, most_entries
from marksweep.report.text import plain
from marksweep.report.trust_documents import TrustFacts
from tests.integration.test_hostile_names import NAMES
from tests.unit.report.samples import APPROVE, DIGEST, ENTRY, hostile, overview, plan, show_result

MARKDOWN = {
    "pipe": "a|b||c|",
    "escaped pipe": "a\\|b\\\\|c",
    "code": "`a``b```c```",
    "code block": "```\n# x\n```",
    "ends the code": "</code></td></tr></table><h1>approved</h1>",
    "ends the pre": "</code></pre>\n\n# x",
    "details": "<details><summary>x</summary>",
    "comment": "<!-- marksweep:01KAJ9Q6T0V3F7W4M2N8B5C1XZ --> <!--",
    "comment ends": "--> x -->",
    "cdata": "<![CDATA[ x ]]>",
    "entity": "&lt;b&gt; &#64;team &nbsp; &amp;",
    "link": "[click](https://evil.example) [x][y] [y]: https://evil.example",
    "image": "![x](https://evil.example/x.png)",
    "autolink": "<https://evil.example> <a@evil.example>",
    "bare links": "https://evil.example/a_b www.evil.example evil.example ftp://evil.example",
    "mail": "bob@evil.example mailto:bob@evil.example xmpp:bob@evil.example/x",
    "mentions": "@octocat @github/team @all",
    "references": "#1 GH-1 octo/repo#1 !1 %1 $1 ~bug &1 deadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
    "emoji": ":bomb: :+1:",
    "emphasis": "**a** __b__ *c* _d_ ~~e~~ ==f==",
    "heading": "# a\n## b\nc\n===",
    "list": "- a\n1. b\n- [ ] c",
    "rule": "---",
    "quote": "> [!CAUTION]",
    "table": "| a |\n| --- |\n| b |",
    "footnote": "[^1] [^1]: x",
    "maths": "$x$ $$y$$ $`z`$",
    "tab": "\tcode",
    "backslash": "\\",
    "ends in backslash": "x\\",
    "only marks": "*_`|",
    "rtl": "\u05d0\u05d1\u05d2 \u0627",
    "wide": "漢字🧹" * 40,
}
EVIL = {**NAMES, **MARKDOWN}
ALPHABET = (*"|`<>&@#*_[]()!\\~:/.-= \n\r\t{}$%^\"'aA0", "&#", "-->", "<!--", "</code>", "\u202e", "\x1b", "🧹", "www.")
ELEMENTS = {
    "h2", "h3", "p", "strong", "ul", "li", "code", "pre", "table", "thead", "tbody", "tr", "th", "td", "details", "summary",
}  # fmt: skip
"""What the template makes; nothing else may ever come of a name."""


class Page(HTMLParser):
    """The elements of a rendered comment, the cells of each row, and the text of each ``code``."""

    def __init__(self, rendered: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: Counter[str] = Counter()
        self.links: list[str] = []
        self.tables: list[list[int]] = []
        self.codes: list[str] = []
        self.comments: list[str] = []
        self.text = ""
        self._within = 0
        self.feed(rendered)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        assert {name for name, _ in attrs} <= {"align", "style"}, attrs
        match tag:
            case "table":
                self.tables.append([])
            case "tr":
                self.tables[-1].append(0)
            case "td" | "th":
                self.tables[-1][-1] += 1
            case "code":
                self._within += 1
                self.codes.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "code":
            self._within -= 1

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def handle_data(self, data: str) -> None:
        if self._within:
            self.codes[-1] += data
        else:
            self.text += data


def github(text: str) -> Page:
    return Page(cmarkgfm.github_flavored_markdown_to_html(text, options=Options.CMARK_OPT_UNSAFE))


def markdown_it(text: str) -> Page:
    return Page(MarkdownIt("gfm-like", {"html": True}).render(text))


PARSERS = (github, markdown_it)


def entries(number: int, **changes: object) -> tuple[d.EntryLine, ...]:
    return (msgspec.structs.replace(ENTRY, **changes),) * number


def named(name: str) -> d.ShowResult:
    """A plan in which *name* stands wherever somebody else's text may, some 25 entries with it."""
    base = show_result(
        stores=(), path=f"plans/{name}.json", kept={"referenced": 5, name: 3}, approvals=(name, "alice"),
        entries=entries(25, artifact=name, version=f"{name}7", uri=f"s3://bucket/{name}/x", project=name),
        approve=(f"marksweep approve {name}", f"mkdir {name}", f"sed {name}"),
        trusted=TrustFacts(source=f"git:{name}", policy=name, own=False, branch=True),
    )  # fmt: skip
    branches = tuple(msgspec.structs.replace(b, artifact=name, project=name) for b in base.overview.branches)
    stores = tuple(msgspec.structs.replace(s, root=name, flavor=name) for s in base.overview.stores)
    shown = plain(name, 60)
    risks = tuple(
        msgspec.structs.replace(r, text=f"x: {shown}, {shown}", names=(shown, shown)) if r.names else r
        for r in base.overview.risks
    )
    whole = msgspec.structs.replace(base.overview, branches=branches, stores=stores, risks=risks)
    who = d.SignerFacts(principal=name, fingerprint=name)
    return msgspec.structs.replace(base, overview=whole, plan=msgspec.structs.replace(base.plan, signer=who))


def check(name: str, parse: Callable[[str], Page]) -> None:
    """The comment with *name* everywhere has the very elements that it has with an ordinary name, and shows the name."""
    text = markdown(named(name))
    assert len(text) <= MAX_CHARS
    page, usual = parse(text), parse(markdown(named("ordinary")))
    assert page.elements == usual.elements
    assert set(page.elements) <= ELEMENTS
    assert page.links == []
    assert page.tables == usual.tables
    assert all(len(set(rows)) == 1 for rows in page.tables), "every row has as many cells as its header"
    assert page.text.split() == usual.text.split(), "outside of code there is nothing but our own words"
    assert [comment for comment in page.comments if comment] == [f" marksweep:{plan().id} "]
    shown = plain(name, 48)
    assert page.codes.count(shown) >= 25, "the name is there, as people can read it"


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize("what", EVIL)
def test_a_name_does_nothing(what: str, parse: Callable[[str], Page]) -> None:
    """No name makes an element, a link, a cell, a row, a comment, a mention or a reference; each is shown as it is."""
    check(EVIL[what], parse)


@pytest.mark.parametrize("parse", PARSERS)
def test_no_name_at_all_does_anything(parse: Callable[[str], Page]) -> None:
    """Random names of the characters that mean something."""
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    for _ in range(10):
        check("".join(chance.choices(ALPHABET, k=chance.randint(1, 40))), parse)


@pytest.mark.parametrize("most", [LEAST_CHARS, 2_500, 9_000, MAX_CHARS])
def test_a_comment_is_never_too_long(most: int) -> None:
    """Whatever is cut, the digest, the totals, the verdict and the number of entries that are not shown are there."""
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    names = ["|" * 4096, "<!---->@" * 600, "x", *chance.sample(sorted(EVIL.values()), 3)]
    for name in names:
        for number in (0, 1, 25, most_entries(most)):
            result = named(name)
            many = msgspec.structs.replace(result.plan, entries=12_345_678, bytes=2**62, objects=2**53, kept={name: 9})
            result = msgspec.structs.replace(result, plan=many, entries=(result.entries * 999)[:number])
            text = markdown(result, most)
            assert len(text) <= most
            page = github(text)
            assert set(page.elements) <= ELEMENTS
            assert DIGEST in page.codes
            assert "12,345,678 entries, 9,007,199,254,740,992 objects, 4.0 EiB" in page.text
            assert "would be deleted, rows and bytes" in page.text
            shown = page.codes.count(f"{plain(name + '7', 48)}")
            left = re.search(r"(?:… and )?([\d,]+)(?: more)? entries, [\d.,]+ EiB, not shown", page.text)
            assert left is not None
            assert int(left[1].replace(",", "")) + shown == 12_345_678, "what is shown and what is not is everything"


def test_what_is_left_out_is_named() -> None:
    """A section that finds no room is missed nowhere unseen."""
    text = markdown(show_result(entries=entries(9)), LEAST_CHARS)
    for title in ("Undo", "Biggest of 4 artifacts", "Kept", "Age when marked", "Size"):
        assert title in text
    assert "Left out for want of room:" in text
    assert "Left out" not in markdown(show_result(entries=entries(9)))


def test_rows_that_are_left_out_are_counted() -> None:
    """Their number, and what they hold."""
    result = show_result(entries=entries(3, bytes=1024), bytes=27 * 1024, objects=81)
    assert "**… and 24 more entries, 24.0 KiB, not shown**" in markdown(result)
    assert "**All 3 entries shown.**" in markdown(show_result(entries=entries(3), plan=plan(entries=3)))
    assert "**27 entries, 3.2 GiB, not shown**" in markdown(show_result())
    unknown = show_result(entries=entries(3, bytes=None), bytes=None)
    assert "24 more entries, unknown, not shown" in markdown(unknown)


def test_less_than_the_totals_need_is_refused() -> None:
    """A caller's mistake, not a comment that lacks them."""
    with pytest.raises(ValueError, match="does not fit into 1999 characters"):
        markdown(show_result(), LEAST_CHARS - 1)


def test_what_a_reviewer_reads() -> None:
    """In this order: the verdict, the totals, what to look at, the plan, undo, the biggest, ages, sizes, kept, approve."""
    page = github(markdown(show_result(entries=(ENTRY,))))
    text = " ".join(page.text.split())
    phrases = (
        "27 artifact versions of 90,112 (0.0 %) would be deleted, rows and bytes: 81 objects, 3.2 GiB; part of the bytes"
        " cannot be brought back.",
        "27 entries, 81 objects, 3.2 GiB of 90,112 versions in the catalog",
        "What to look at", "danger: 2 entries, 9.5 MiB, cannot be undone:", "note: 1 entry without any object",
        "The plan", "made: by", "Undo", "versioned: can be undone 25 3.2 GiB",
        "Biggest of 4 artifacts", "12 2.6 GiB", "Age when marked", "1 to 7 days 4 9.5 MiB", "Size", "in another's place 2 0 B",
        "Kept: 90,085 versions", "a step, run, model or config refers to it 62,031", "To approve it",
        "or with nothing but OpenSSH:", "Entries", "… and 26 more entries, 3.2 GiB, not shown",
    )  # fmt: skip
    places = [text.find(phrase) for phrase in phrases]
    assert -1 not in places, phrases[places.index(-1)]
    assert places == sorted(places)
    assert APPROVE[0] in page.codes
    assert "\n".join(APPROVE[1:]) in page.codes
    assert ENTRY.uri in page.codes or any("…" in code for code in page.codes)


def test_a_bot_finds_its_comment() -> None:
    """The first line names the plan, and cannot be ended from within."""
    assert markdown(show_result()).splitlines()[0] == "<!-- marksweep:01KAJ9Q6T0V3F7W4M2N8B5C1XZ -->"
    assert marker("x --> <script> -- \n y") == "<!-- marksweep:xscripty -->"


def test_an_empty_plan_says_so() -> None:
    """Nothing to approve, nothing to list."""
    nothing = overview(risks=(), branches=(), artifacts=0, ages=(), sizes=(), stores=())
    text = markdown(show_result(plan=plan(entries=0, objects=0, bytes=0), overview=nothing, approve=()))
    assert "Nothing to do: under this policy, no version in the catalog is an orphan." in text
    assert "To approve it" not in text
    assert "shown" not in text


@pytest.mark.parametrize("parse", PARSERS)
def test_hostile_text_in_every_member_makes_no_element(parse: Callable[[str], Page]) -> None:
    """Not even in those that have a form of their own: times, reasons, keys. The digest and the overview are our own."""
    evil = hostile(show_result(entries=entries(30)))
    evil = msgspec.structs.replace(evil, plan=msgspec.structs.replace(evil.plan, digest=DIGEST), overview=overview())
    page = parse(markdown(evil))
    assert set(page.elements) <= ELEMENTS
    assert page.links == []
