"""Reports in a real browser: silent console, no request, no sideways scroll on a phone, the heat maps' switch works."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from trunkline.core.types.dataset import Finding
from trunkline.core.types.gate import GateCheck, GateReport
from trunkline.platform.line.report import data as d
from trunkline.platform.line.report import figures
from trunkline.platform.line.report.pictures import overlay, thumbnail
from trunkline.platform.line.report.render import render, render_overview

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
PHONE, DESK = (390, 844), (1280, 900)
LONG = "a_class_with_a_very_long_name_that_has_no_space_in_it_anywhere_" * 2
HOSTILE = "<script>document.title='broken'</script>划痕\"'"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev)")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Debian's chromium is not installed (packages.apt)")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield running
        running.close()


def picture(seed: int) -> d.Picture:
    pixels = np.random.default_rng(seed).integers(60, 200, (120, 120, 3), np.uint8)
    image = Image.fromarray(pixels)
    heat = np.zeros((7, 7))
    heat[seed % 7, 3] = 1.0
    return d.Picture(f"{HOSTILE}-{seed}.jpg", LONG, "scratch", 0.9, thumbnail(image), overlay(image, heat, top=1.0))


def model(task: str, classes: int) -> d.ReportData:
    """A report with all parts, of a task with so many classes."""
    labels = (LONG, HOSTILE, *(f"class {i}" for i in range(classes - 2)))
    figure = d.Figure(0.97, 0.91, 0.99)
    checks = (
        GateCheck("accuracy", 0.97, 0.91, 0.99, ">= 0.95", "passed", "thin", f"worst class: {LONG}"),
        GateCheck("champion", -0.02, -0.05, 0.01, "no-worse", "failed", "thin", "of x@2 on 360 images"),
    )
    rng = np.random.default_rng(0)
    score, flawed = rng.random(200), rng.random(200) > 0.5
    anomaly = task == "anomaly"
    return d.ReportData(
        name=LONG,
        task=task,
        gate=GateReport("a" * 64, "b" * 64, checks, {"accuracy": 0.97}, {"accuracy": (0.91, 0.99)}),
        labels=labels,
        train_images=1440,
        test_images=360,
        costs=d.Costs((d.StationCost("embed", 2.0, 4.0), d.StationCost("fit", 0.2, 0.3)), 42188, 1800, 1800),
        scenario={"Data": LONG},
        per_class=tuple(d.ClassFigures(label, 60, figure, figure) for label in labels),
        confusion=None if anomaly else tuple(map(tuple, (np.eye(classes, dtype=int) * 58 + 1).tolist())),
        curve=figures.reject_curve(score, flawed, 0.4) if anomaly else figures.sure_curve(score, ~flawed, score < 0.1),
        histogram=figures.histogram(score, flawed, 0.4, (0.35, 0.45)) if anomaly else None,
        mistakes=tuple(picture(seed) for seed in range(4)),
        mistakes_total=9,
        findings=(Finding("unreadable", "warning", LONG, (), (LONG, HOSTILE)),),
        lineage={"bundle": "c" * 64},
        versions={LONG: LONG},
    )


def overview() -> str:
    figure = d.Figure(0.97, 0.91, 0.99)
    rows = [
        d.OverviewRow(f"model {i}", "passed", "classify", "accuracy", figure, LONG, 0.9, 2048, 0.2, 0.1, f"{i}.html")
        for i in range(30)
    ]
    bad = [d.OverviewRow(LONG, "failed", "multilabel", "f1_macro", figure), d.OverviewRow(HOSTILE, "error", "classify")]
    return render_overview([*rows, *bad])


PAGES = {
    "classify": lambda: render(model("classify", 6)),
    "100 classes": lambda: render(model("classify", 100)),
    "anomaly": lambda: render(model("anomaly", 2)),
    "overview": overview,
}


def opened(browser: Browser, file: Path, size: tuple[int, int], **options: Any) -> tuple[Page, list[str]]:
    """A page, and what it said on the console or asked of anything but its own file."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, **options)
    noise: list[str] = []
    page.on("console", lambda message: noise.append(message.text))
    page.on("pageerror", lambda error: noise.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith("data:") else noise.append(request.url))
    page.goto(file.as_uri())
    return page, [entry for entry in noise if entry != file.as_uri()]


@pytest.mark.apt("chromium")
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("kind", PAGES)
def test_a_page_is_silent_and_fits(browser: Browser, tmp_path: Path, kind: str, size: tuple[int, int]) -> None:
    file = tmp_path / "report.html"
    file.write_text(PAGES[kind](), encoding="utf-8")
    page, noise = opened(browser, file, size)
    try:
        assert noise == []
        assert page.evaluate("document.documentElement.scrollWidth") == size[0]
        assert page.title() != "broken"
        cut = page.evaluate(
            "[...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll') && !e.closest('.vh')"
            " && !e.closest('thead') && e.getClientRects().length"
            " && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 120))"
        )
        assert cut == []
        wide = page.evaluate(
            "[...document.querySelectorAll('section table')].filter(e => !e.closest('.scroll')"
            " && e.getBoundingClientRect().right > e.closest('section').getBoundingClientRect().right)"
            ".map(e => e.className)"
        )
        assert wide == []
    finally:
        page.close()


@pytest.mark.apt("chromium")
def test_heat_maps_are_switched_without_a_script(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(PAGES["classify"](), encoding="utf-8")
    page, _ = opened(browser, file, PHONE, java_script_enabled=True, reduced_motion="reduce")
    shown = "[...document.querySelectorAll('img.over')].map(e => Number(getComputedStyle(e).opacity))"
    try:
        assert page.evaluate(shown) == [0, 0, 0, 0]
        page.click("label[for=all-mistakes]")
        assert page.evaluate(shown) == [1, 1, 1, 1]
        page.click("label.flip >> nth=1")
        assert page.evaluate(shown) == [1, 0, 1, 1]
        page.click("label[for=all-mistakes]")
        assert page.evaluate(shown) == [0, 1, 0, 0]
    finally:
        page.close()


@pytest.mark.apt("chromium")
def test_the_overview_is_filtered_without_a_script(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "overview.html"
    file.write_text(overview(), encoding="utf-8")
    page, _ = opened(browser, file, DESK)
    try:
        rows = page.locator("tbody tr:visible")
        assert rows.count() == 32
        page.click("label[for=f-failed]")
        assert rows.count() == 1
        page.click("label[for=f-passed]")
        assert rows.count() == 30
    finally:
        page.close()


@pytest.mark.apt("chromium")
def test_text_stands_out_from_its_ground_in_both_schemes(browser: Browser, tmp_path: Path) -> None:
    """WCAG 2.2 asks for a contrast of 4.5 for text of this size."""
    file = tmp_path / "report.html"
    file.write_text(PAGES["classify"](), encoding="utf-8")
    contrast = """
        () => { const style = getComputedStyle(document.documentElement);
        const light = name => { const probe = document.body.appendChild(document.createElement('i'));
            probe.style.color = `var(${name})`;
            const rgb = getComputedStyle(probe).color.match(/[\\d.]+/g).map(v => v / 255); probe.remove();
            const [r, g, b] = rgb.map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
        return [['--ink', '--card'], ['--soft', '--card'], ['--soft', '--page'], ['--soft', '--faint'],
            ['--good', '--good-bg'], ['--bad', '--bad-bg'], ['--thin', '--thin-bg'], ['--thin', '--card'],
            ['--link', '--card'], ['--good', '--card'], ['--bad', '--card'], ['--mark', '--card'], ['--flaw', '--card']]
            .map(([a, b]) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
                return [a, b, (x + 0.05) / (y + 0.05)]; }).filter(row => row[2] < 4.5); }"""
    for scheme in ("light", "dark"):
        page, _ = opened(browser, file, PHONE, color_scheme=scheme)
        try:
            assert page.evaluate(contrast) == [], scheme
        finally:
            page.close()
