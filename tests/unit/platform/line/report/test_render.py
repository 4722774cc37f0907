import dataclasses
import re
from html.parser import HTMLParser

import pytest

from trunkline.core.types.dataset import Finding
from trunkline.platform.line.report import data as d
from trunkline.platform.line.report.render import overview_summary, render, render_overview

HOSTILE = "<script>alert(1)</script>\"' onload=x 划痕 \u202e"
VOID = {"meta", "link", "img", "input", "br"}


class Page(HTMLParser):
    """Checks that tags close, and keeps headings, text, tags and attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.headings: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, text: str) -> None:
        if "style" not in self.open:
            self.words.append(text)
            if self.open[-1:] == ["h2"]:
                self.headings.append(text)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


def test_parts_come_in_the_order_in_which_they_are_read(make) -> None:
    assert Page(render(make())).headings == [
        "What was asked, and what was measured",
        "What it takes for what",
        "Class by class",
        "What another threshold would give",
        "Its most confident mistakes",
        "Where it is unsure",
        "What was seen in the data",
        "What it cost",
        "How to use it",
        "Where it comes from",
    ]


@pytest.mark.parametrize(
    "expected",
    [
        "Failed: 99.7 % of 360 test pictures right (98.5 to 100 %)",
        "The true figure may be anywhere from 98.5 to 100 %",
        "worst class: dent",
        "Found and right in one figure, mean of the classes (F1)98.0 % (97.0 to 99.0 %)",
        "0.6295.0 %99.0 %this model",
        "x.jpglabelled dent",
        "copy.jpgcopy of x.jpg",
        "odd.jpglabelled dent, the model says scratch (98.0 %)",
        "broken.jpg (truncated)",
        "trunkline predict steel IMAGE",
        "trunkline evaluate steel DATA",
        "Overview · Model report",
        "dent taken for scratch7 times",
        "It answers 95.0 % of the pictures itself and is right on 99.0 % of those",
        "1 of 7 mistakes shown.",
        "one.jpg",
        "and 1 more",
        "broken.jpg",
        "4.50 s of CPU, 2.50 s on the clock, 41.2 KB on disk. 1,000 pictures went through the trunk at 500 a second.",
        "c" * 64,
        "Apache-2.0",
        "not measured",
    ],
)
def test_what_a_report_says(make, expected: str) -> None:
    assert expected in Page(render(make())).text


def test_an_anomaly_report_shows_scores_and_no_matrix(make) -> None:
    bars = d.Histogram(0.0, 1.0, (3, 0), (0, 2), 0.5)
    headings = Page(render(make(task="anomaly", confusion=None, histogram=bars))).headings
    assert headings[1] == "How well good and flawed pictures part"
    assert "What it takes for what" not in headings


def test_an_empty_report_is_a_report(make) -> None:
    empty = {
        "per_class": (), "confusion": None, "curve": None, "mistakes": (), "unsure": (), "findings": (),
        "overview": "", "lineage": {}, "licences": {}, "versions": {}, "scenario": {}, "costs": d.Costs((), 0, 10, 0),
    }  # fmt: skip
    text = Page(render(make(**empty))).text
    assert "None on 360 test pictures." in text
    assert "Overview" not in text
    assert "Nothing that needs a look." in text
    assert "All 10 pictures had been through the trunk before" in text


def test_pictures_of_one_group_stand_side_by_side(make) -> None:
    names = ("a", "b", "c", "d", "e")
    found = Finding("near-duplicate", "info", "Five.", tuple(n * 64 for n in "12345"), names, {"ends": [2, 5]})
    html = render(make(findings=(found,), thumbnails={n * 64: b"\x89PNG" for n in "1245"}))
    groups = re.findall(r'<ul class="pics">(.*?)</ul>', html[html.index("What was seen in the data") :])
    assert [re.findall(r"<figcaption><bdi>(\w)</bdi>", group) for group in groups] == [["a", "b"], ["d", "e"]]


def test_a_model_of_which_nothing_was_asked_did_not_pass(make) -> None:
    gate = dataclasses.replace(make().gate, checks=())
    html = render(make(gate=gate))
    assert ('class="card verdict measured"' in html, 'class="badge passed"' in html) == (True, False)
    assert "Measured, nothing asked: 99.7 %" in Page(html).text


def hostile(make) -> d.ReportData:
    figure = d.Figure(0.9, 0.8, 1.0)
    picture = d.Picture(HOSTILE, HOSTILE, HOSTILE, 0.9, b"\xff\xd8", b"\xff\xd8")
    finding = Finding(HOSTILE, "warning", HOSTILE, ("1" * 64,), (HOSTILE + "\x00\udcff",))
    words = {HOSTILE: HOSTILE}
    return make(
        name=HOSTILE, model=HOSTILE, made=HOSTILE, labels=(HOSTILE, "b"), mistakes=(picture,), unsure=(picture,),
        per_class=(d.ClassFigures(HOSTILE, 3, figure, figure),), findings=(finding,), thumbnails={"1" * 64: b"\x89PNG"},
        scenario=words, lineage=words, licences=words, versions=words, next_steps=(HOSTILE,),
    )  # fmt: skip


def test_hostile_names_stay_text(make) -> None:
    html = render(hostile(make))
    page = Page(html)
    assert "<script" not in html
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert page.text.count("<script>alert(1)</script>\"' onload=x 划痕") > 15
    html.encode("utf-8")
    assert "\x00" not in html


def external(html: str) -> list[str]:
    """Whatever would be asked of the network."""
    attributes = re.findall(r"""\b(?:src|href|srcset|data|poster|action)\s*=\s*["']?([^"'\s>]+)""", html)
    styles = re.findall(r"@import[^;]*|url\((?!data:)[^)]*", html)
    return [a for a in attributes if not a.startswith(("data:", "#", "./"))] + styles


def overview_rows() -> list[d.OverviewRow]:
    figure = d.Figure(0.96, 0.9, 0.98)
    good = {"task": "classify", "measure": "accuracy", "figure": figure, "bundle_bytes": 2048, "cpu_seconds": 0.11}
    unmeasured = {"measure": "auroc", "figure": d.Figure(float("nan"), float("nan"), float("nan"))}
    return [
        d.OverviewRow("b", "passed", **good, report="b b:1.html", worst_class="dent", worst_recall=0.91),
        d.OverviewRow("a", "passed", **good, report="a.html"),
        d.OverviewRow("unasked", "measured", **(good | unmeasured)),
        d.OverviewRow("thin", "passed", **good, thin=True),
        d.OverviewRow("bad " + HOSTILE, "failed", **good, note="recall_min 0.8"),
        d.OverviewRow("none", "error", "classify", note="empty folder"),
    ]


@pytest.mark.parametrize("page", ["report", "overview"])
def test_nothing_is_asked_of_the_network(make, page: str) -> None:
    html = render(make()) if page == "report" else render_overview(overview_rows())
    assert external(html) == []
    assert external('<img src="http://x/y.png"><style>@import "x";a{b:url(//c)}</style>')
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    metas = [attrs.get("content") for tag, attrs in Page(html).tags if tag == "meta"]
    assert policy in metas
    assert "<script" not in html


def test_pictures_have_words_and_tables_have_headers(make) -> None:
    page = Page(render(make()))
    assert all(attrs.get("alt") for tag, attrs in page.tags if tag == "img")
    assert all(attrs.get("scope") in ("col", "row") for tag, attrs in page.tags if tag == "th")
    identities = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(identities) == len(set(identities))


def test_a_usual_report_is_under_a_megabyte(make) -> None:
    import numpy as np
    from PIL import Image

    from trunkline.platform.line.report.pictures import overlay, thumbnail

    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8))
    picture = d.Picture("x.jpg", "dent", "scratch", 0.9, thumbnail(noise), overlay(noise, np.ones((7, 7)), top=1.0))
    assert len(render(make(mistakes=(picture,) * 8, unsure=(picture,) * 8))) < 1_000_000


def test_the_same_data_gives_the_same_page(make) -> None:
    assert render(make()) == render(make())


def test_overview_puts_first_what_needs_a_look() -> None:
    html = render_overview(overview_rows(), title="Autumn")
    names = re.findall(r'<th scope="row"[^>]*>.*?<bdi>([^<]*)</bdi>', html)
    assert [name.split(" ")[0] for name in names] == ["none", "bad", "thin", "unasked", "a", "b"]
    assert 'href="./b%20b%3A1.html"' in html
    assert "<script" not in html
    text = Page(html).text.replace("\u00a0", " ")
    assert ("dent 91.0 % found" in text, "not measured" in text, "nan" in text) == (True, True, False)


@pytest.mark.parametrize(
    ("only", "summary"),
    [
        ("", "3 of 5 passed; 1 measured, nothing asked; 10 KB in all; 0.11 CPU s a model"),
        ("none", "0 of 1 passed"),
        ("unasked", "1 measured, nothing asked; 2 KB in all; 0.11 CPU s a model"),
    ],
)
def test_overview_in_one_sentence(only: str, summary: str) -> None:
    rows = [row for row in overview_rows() if row.name == (only or row.name)]
    assert overview_summary(rows).replace("\u00a0", " ") == summary
    Page(render_overview(rows))


def test_an_overview_of_nothing_is_a_page() -> None:
    Page(render_overview([]))


@pytest.mark.parametrize("path", ["javascript:alert(1)", "//evil.example/x", "http://evil.example"])
def test_links_stay_beside_the_overview(path: str) -> None:
    row = d.OverviewRow("a", "passed", "classify", report=path)
    hrefs = [attrs["href"] or "" for tag, attrs in Page(render_overview([row])).tags if tag == "a"]
    assert [(href[:2], ":" in href, href[2:3] == "/") for href in hrefs] == [("./", False, False)]
