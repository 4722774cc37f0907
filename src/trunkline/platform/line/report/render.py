"""Records in, one self-contained HTML file out: no script, no request, every text from outside escaped."""

from __future__ import annotations

import bisect
import functools
import math
import re
import shlex
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from trunkline.core.types.dataset import Finding
from trunkline.core.types.gate import NOTHING_ASKED
from trunkline.core.types.scenario import Limit
from trunkline.platform.line.report import advice, charts, words
from trunkline.platform.line.report.data import ClassFigures, Figure, OverviewRow, ReportData
from trunkline.platform.line.report.pictures import data_uri

_TASKS = {
    "classify": "Classification: one class a picture",
    "multilabel": "Multi-label: any number of classes a picture",
    "anomaly": "Anomaly detection: good or flawed",
    "detect": "Detection: where things are",
}
_FINDING_PICTURES = 8  # of one finding; more would make the file heavy and teach nothing new
_FINDING_NAMES = 12
_SORT_FROM = 13
_ORDER = {"error": 0, "failed": 1, "measured": 3, "passed": 4}
_NAMES = {"passed": "Passed", "measured": "Nothing asked", "failed": "Failed", "error": "Not built"}
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("trunkline.platform.line.report"),
        autoescape=select_autoescape(default=True, default_for_string=True, enabled_extensions=("j2",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        percent=words.percent,
        percent_range=words.percent_range,
        amount=words.amount,
        between=words.between,
        unit_of=words.unit_of,
        label_of=words.label_of,
        size=words.size,
        seconds=words.seconds,
        number=words.number,
        plural=words.plural,
        interval=charts.interval,
        data_uri=data_uri,
        href=_href,
    )
    return environment


def render(data: ReportData) -> str:
    """The report of one model as one self-contained HTML file.

    Names and labels may be anything; what HTML may not hold (control characters, lone surrogates of undecodable
    file names) is replaced, so that the text can always be written as UTF-8.
    """
    classes = _classes(data.per_class)
    limits = _class_limits(data)
    return _html(
        "report.html.j2",
        data=data,
        task=_TASKS.get(data.task, data.task),
        headline=advice.headline(data),
        use=advice.use(data),
        steps=advice.next_steps(data),
        tiles=_tiles(data),
        gates=_gates(data),
        others=_others(data),
        histogram=charts.histogram(data.histogram) if data.histogram else "",
        matrix=charts.confusion(data.labels, data.confusion) if data.confusion else "",
        matrix_note=_matrix_note(len(data.labels)),
        mix_ups=charts.mix_ups(data.labels, data.confusion) if data.confusion else [],
        classes=classes,
        classes_sorted=len(classes) >= _SORT_FROM,
        floor=_floor(classes, limits),
        limits=limits,
        curve=charts.curve(data.curve) if data.curve else "",
        curve_words=_curve_words(data),
        curve_names=charts.thresholds(data.curve)[0] if data.curve else (),
        curve_rows=charts.thresholds(data.curve)[1] if data.curve else [],
        shell_name=shlex.quote(data.name),
        findings=[_finding(finding, data) for finding in data.findings],
        cost_words=_cost_words(data),
        stations=_stations(data),
        facts=_facts(data),
    )


def render_overview(rows: Sequence[OverviewRow], *, title: str = "All models", made: str = "") -> str:
    """One page over a batch of models, what needs a look first, with links to their reports.

    Args:
        rows: One row a scenario, in any order.
        title: What the page is about.
        made: When it was made, as text; empty keeps it out.
    """
    ordered = sorted(rows, key=lambda row: (_rank(row), row.name))
    built = [row for row in ordered if row.status != "error"]
    passed = sum(row.status == "passed" for row in ordered)
    unasked = sum(row.status == "measured" for row in ordered)
    filters = [("all", "All", len(ordered))]
    filters += [
        (kind, text, count)
        for kind, text, count in (
            ("error", "Not built", len(ordered) - len(built)),
            ("failed", "Failed", sum(row.status == "failed" for row in ordered)),
            ("thin", "Thin evidence", sum(row.thin for row in ordered)),
            ("measured", "Nothing asked", unasked),
            ("passed", "Passed", passed),
        )
        if count
    ]
    drawn = [row.figure for row in built if row.figure and row.measure not in charts.SMALL_IS_GOOD]
    figures = [v for figure in drawn for v in (figure.low, figure.value)]
    return _html(
        "overview.html.j2",
        title=title,
        made=made,
        status=_status(len(ordered) - unasked, passed),
        summary=overview_summary(ordered),
        tiles=[
            ("Passed", f"{passed:,} of {len(ordered) - unasked:,}"),
            ("All models together", words.size(sum(row.bundle_bytes for row in built))),
            ("CPU time in all", words.seconds(sum(row.cpu_seconds for row in built))),
            ("Clock time in all", words.seconds(sum(row.seconds for row in built))),
        ],
        filters=filters,
        rows=ordered,
        names=_NAMES,
        small_is_good=charts.SMALL_IS_GOOD,
        floor=charts.floor_of(figures),
    )


def overview_summary(rows: Sequence[OverviewRow]) -> str:
    """A batch in one sentence, as "196 of 200 passed; 412 KB in all; 0.11 CPU s a model".

    Models of which nothing was asked are counted by themselves: there was nothing to pass.
    """
    built = [row for row in rows if row.status != "error"]
    asked = [row for row in rows if row.status != "measured"]
    counts = [f"{sum(row.status == 'passed' for row in asked):,} of {len(asked):,} passed"] if asked else []
    if len(asked) < len(rows):
        counts.append(f"{len(rows) - len(asked):,} {NOTHING_ASKED}")
    text = "; ".join(counts)
    if not built:
        return text
    each = sum(row.cpu_seconds for row in built) / len(built)
    return f"{text}; {words.size(sum(row.bundle_bytes for row in built))} in all; {each:.2g} CPU s a model"


def _status(asked: int, passed: int) -> str:
    if not asked:
        return "measured"
    return "passed" if passed == asked else "warning" if passed else "failed"


def _html(template: str, **values: Any) -> str:
    html = _environment().get_template(template).render(**values)
    return _CONTROL.sub("\ufffd", html) if _CONTROL.search(html) else html


def _rank(row: OverviewRow) -> int:
    return 2 if row.status == "passed" and row.thin else _ORDER[row.status]


def _href(path: str) -> str:
    """A relative path as an address: no scheme, no host and no absolute path comes through."""
    return "./" + quote(path.lstrip("/").encode("utf-8", "surrogateescape"), safe="/")


def _tiles(data: ReportData) -> list[tuple[str, str]]:
    tiles = [
        ("Pictures learned from", words.number(data.train_images)),
        ("Pictures tested on", words.number(data.test_images)),
        ("Size of the model", words.size(data.costs.bundle_bytes)),
        ("CPU time to make it", words.seconds(data.costs.cpu_seconds)),
    ]
    latency = data.gate.metrics.get("latency_ms_p50")
    return [*tiles, ("Time a picture", words.amount(latency, "ms"))] if latency is not None else tiles


def _gates(data: ReportData) -> list[dict[str, Any]]:
    return [
        {
            "check": check,
            "title": words.label_of(check.name, data.task),
            "asked": words.asked(check),
            "measured": words.measured(check),
            "interval": words.interval(check),
            "thin": " ".join(filter(None, (advice.thin_words(check), advice.more_pictures(check, data)))),
        }
        for check in data.gate.checks
    ]


def _others(data: ReportData) -> list[tuple[str, str]]:
    """Figures that were measured and not gated, in words."""
    gated = {check.name for check in data.gate.checks}
    rows = []
    for name, value in data.gate.metrics.items():
        if name in gated:
            continue
        text = words.amount(value, words.unit_of(name))
        if name in data.gate.intervals and not math.isnan(value):
            low, high = data.gate.intervals[name]
            text += f" ({words.between(low, high, words.unit_of(name))})"
        rows.append((words.label_of(name, data.task), text))
    return rows


def _matrix_note(count: int) -> str:
    if count > charts.MATRIX_CLASSES:
        return f"The {charts.MATRIX_CLASSES} classes with most mix-ups of {count:,} are shown."
    return "The classes with most mix-ups come first." if count >= _SORT_FROM else ""


def _classes(rows: Sequence[ClassFigures]) -> list[ClassFigures]:
    """Few classes as they are; of many the worst found first, those not measured last."""
    if len(rows) < _SORT_FROM:
        return list(rows)
    return sorted(rows, key=lambda row: (math.isnan(row.recall.value), row.recall.value, row.label))


def _class_limits(data: ReportData) -> dict[str, float | None]:
    wanted: dict[str, float | None] = {"recall": None, "precision": None}
    for check in data.gate.checks:
        if check.name in ("recall_min", "precision_min"):
            wanted[check.name.removesuffix("_min")] = Limit.parse(check.limit).value
    return wanted


def _floor(rows: Sequence[ClassFigures], limits: dict[str, float | None]) -> float:
    lows = [f.low for row in rows for f in (row.recall, row.precision) if _measured(f)]
    return charts.floor_of([*lows, *(limit for limit in limits.values() if limit is not None)])


def _measured(figure: Figure) -> bool:
    return not math.isnan(figure.value)


def _curve_words(data: ReportData) -> str:
    if data.curve is None:
        return ""
    at = data.curve.operating
    if data.curve.kind == "sure":
        text = f"It answers {words.percent(at.x)} of the pictures itself"
        if not math.isnan(at.y):
            text += f" and is right on {words.percent(at.y)} of those"
        return f"{text}. Asked to be surer, it leaves more of them to a person."
    return (
        f"It rejects {words.percent(at.x)} of the good pictures and misses {words.percent(at.y)} of the flawed ones. "
        "A lower threshold misses fewer and rejects more."
    )


def _finding(finding: Finding, data: ReportData) -> dict[str, Any]:
    """A finding with the pictures there are, those that belong together side by side, or with names alone."""
    there = [place for place, image in enumerate(finding.images[: len(finding.names)]) if image in data.thumbnails]
    groups: dict[int, list[tuple[str, str, str]]] = {}
    for place in there[:_FINDING_PICTURES]:
        row = (finding.names[place], data_uri(data.thumbnails[finding.images[place]]), _caption(finding, place))
        groups.setdefault(bisect.bisect_right(finding.detail.get("ends", ()), place), []).append(row)
    names = [] if there else [(name, _caption(finding, i)) for i, name in enumerate(finding.names[:_FINDING_NAMES])]
    shown = sum(map(len, groups.values())) or len(names)
    more = max(len(finding.images), len(finding.names)) - shown
    return {"finding": finding, "groups": list(groups.values()), "names": names, "more": more}


def _caption(finding: Finding, place: int) -> str:
    """What a finding says of one of its pictures, and how sure the model is of that."""
    text, sure = finding.caption(place), finding.detail.get("confidence", ())
    return f"{text} ({words.percent(sure[place])})" if place < len(sure) else text


def _cost_words(data: ReportData) -> str:
    costs = data.costs
    text = f"{words.seconds(costs.cpu_seconds)} of CPU, {words.seconds(costs.seconds)} on the clock, "
    text += f"{words.size(costs.bundle_bytes)} on disk."
    speed = costs.images_per_second
    if speed:
        return f"{text} {words.plural(costs.embedded, 'picture')} went through the trunk at {speed:,.0f} a second."
    return f"{text} All {words.plural(costs.images, 'picture')} had been through the trunk before; none again."


def _stations(data: ReportData) -> list[tuple[Any, float]]:
    most = max((station.cpu_seconds for station in data.costs.stations), default=0.0) or 1.0
    return [(station, 100 * station.cpu_seconds / most) for station in data.costs.stations]


def _facts(data: ReportData) -> list[tuple[str, dict[str, str], bool]]:
    groups = (
        ("What was asked for", data.scenario, False),
        ("Lineage", data.lineage, True),
        ("Licences", data.licences, False),
        ("Versions", data.versions, True),
    )
    return [(title, dict(rows), mono) for title, rows, mono in groups if rows]
