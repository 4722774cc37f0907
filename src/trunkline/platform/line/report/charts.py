"""Charts without scripts: HTML tables and inline SVG, placed in percent so that text keeps its size on any width."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from trunkline.platform.line.report import words
from trunkline.platform.line.report.data import Curve, CurvePoint, Figure, Histogram

MATRIX_CLASSES = 100
"""The most classes that a confusion matrix shows."""
SMALL_IS_GOOD = ("false_reject_rate",)
"""Figures that do not go on an axis that ends at 1, the best."""
_SORT_FROM = 13  # from so many classes on, those with most mix-ups come first
_FLOORS = (0.99, 0.98, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.0)
_ROWS = 5  # thresholds that a table beside a curve shows, besides the model's own
_CEILINGS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def floor_of(values: Sequence[float]) -> float:
    """The start of an axis of shares that ends at 1: a round figure under all values."""
    low = min((v for v in values if not math.isnan(v)), default=0.0)
    return next(floor for floor in _FLOORS if floor <= max(0.0, low))


def interval(figure: Figure, *, floor: float, limit: float | None = None) -> Markup:
    """A share as a dot with its 95 % interval as a whisker, on an axis from `floor` to 1.

    Args:
        figure: The share and its interval.
        floor: Where the axis begins.
        limit: A limit to mark with a dashed line.
    """
    if math.isnan(figure.value):
        return Markup('<span class="iv none">not measured</span>')

    def place(value: float) -> str:
        return f"{100 * min(1.0, max(0.0, (value - floor) / (1 - floor))):.2f}%"

    low, high, at = place(figure.low), place(figure.high), place(figure.value)
    mark = ""
    if limit is not None and floor <= limit <= 1:
        mark = f'<line class="lim" x1="{place(limit)}" x2="{place(limit)}" y1="1" y2="21"/>'
    text = f"{words.percent(figure.value)}, 95 % interval {words.percent_range(figure.low, figure.high)}"
    return Markup(  # noqa: S704 (every part is a number of ours or escaped)
        f'<svg class="iv" role="img" aria-label="{escape(text)}" height="22">'
        f'<line class="axis" x1="0" x2="100%" y1="11" y2="11"/>{mark}'
        f'<line class="band" x1="{low}" x2="{high}" y1="11" y2="11"/>'
        f'<line class="cap" x1="{low}" x2="{low}" y1="6" y2="16"/>'
        f'<line class="cap" x1="{high}" x2="{high}" y1="6" y2="16"/>'
        f'<circle cx="{at}" cy="11" r="4.5"/></svg>'
    )


def shown_classes(confusion: Sequence[Sequence[int]]) -> list[int]:
    """Which classes a matrix shows, in order: all of few as they are, of many those with most mix-ups first."""
    count = len(confusion)
    if count < _SORT_FROM:
        return list(range(count))
    columns = [sum(row[i] for row in confusion) for i in range(count)]
    mixed = [sum(confusion[i]) + columns[i] - 2 * confusion[i][i] for i in range(count)]
    return sorted(range(count), key=lambda i: (-mixed[i], i))[:MATRIX_CLASSES]


def mix_ups(labels: Sequence[str], confusion: Sequence[Sequence[int]], most: int = 5) -> list[tuple[str, str, int]]:
    """The pairs most often confused: truth, said, how often."""
    pairs = [(count, i, j) for i, row in enumerate(confusion) for j, count in enumerate(row) if i != j and count]
    pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    return [(labels[i], labels[j], count) for count, i, j in pairs[:most]]


def confusion(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> Markup:
    """A confusion matrix as a table, tinted by the share of the row; scrolls inside its own box.

    Args:
        labels: The k labels.
        counts: k rows (truth) of k counts (said).
    """
    shown = shown_classes(counts)
    names = [str(escape(labels[i])) for i in shown]
    head = "".join(f'<th scope="col"><span dir="auto" title="{name}">{name}</span></th>' for name in names)
    body = []
    for name, i in zip(names, shown, strict=True):
        row, total = counts[i], sum(counts[i]) or 1
        cells = "".join(_cell(row[j], total, i == j) for j in shown)
        body.append(f'<tr><th scope="row" dir="auto" title="{name}">{name}</th>{cells}</tr>')
    many = len(shown) >= _SORT_FROM
    box, dense = ("scroll tall", " many") if many else ("scroll", "")
    return Markup(  # noqa: S704 (every part is a number of ours or escaped)
        f'<div class="{box}" tabindex="0" role="region" aria-label="Confusion matrix"><table class="matrix{dense}">'
        '<thead><tr><td class="corner"><span>said&nbsp;&rarr;</span><span>truth&nbsp;&darr;</span></td>'
        f"{head}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _cell(count: int, total: int, right: bool) -> str:
    if not count:
        return '<td class="d">0</td>' if right else "<td></td>"
    tint = max(1, math.ceil(9 * count / total))
    return f'<td class="r{tint} d">{count}</td>' if right else f'<td class="w{tint}">{count}</td>'


def curve(data: Curve) -> Markup:
    """The threshold curve with the operating point marked."""
    (left, right), (bottom, top), names = _axes(data)
    path = _steps(data.points, left, right, bottom, top)
    shape = f'<polyline points="{path}" vector-effect="non-scaling-stroke"/>'
    dot = ""
    if not math.isnan(data.operating.y):
        x, y = _scale(data.operating.x, left, right), _scale(data.operating.y, bottom, top)
        dot = f'<span class="dot" style="left:{x:.2f}%;bottom:{y:.2f}%"></span>'
    alt = f"{names[1]} against {names[0].lower()}; at the model's threshold {words.percent(data.operating.x)}"
    alt += f" and {words.percent(data.operating.y)}" if dot else ""
    return _plot(shape, alt, names=names, across=_ticks(left, right), up=_ticks(bottom, top), marks=dot)


def _axes(data: Curve) -> tuple[tuple[float, float], tuple[float, float], tuple[str, str]]:
    """Ends of the axis across, of the one up, and what they are called."""
    at = data.operating
    if data.kind == "sure":
        left = 0.5 if at.x >= 0.7 else 0.0
        bottom = floor_of([p.y for p in data.points if p.x >= left] + [at.y])
        return (left, 1.0), (0.0 if bottom == 1.0 else bottom, 1.0), ("Pictures it answers itself", "Of those, right")
    right, top = (_ceiling(max(0.05, 2 * share)) for share in (at.x, at.y))
    return (0.0, right), (0.0, top), ("Good pictures rejected", "Flawed pictures missed")


def thresholds(data: Curve) -> tuple[tuple[str, str], list[tuple[str, CurvePoint, bool]]]:
    """The curve in numbers: names of its axes, and rows by rising threshold.

    Returns:
        Names of x and y, and rows of a threshold as text, its point, and whether it is the model's own: a few points of
        the part that is drawn, evenly apart, and the model's; no rows where no single score tells.
    """
    (left, right), _, names = _axes(data)
    drawn = [p for p in data.points if math.isfinite(p.threshold) and left <= p.x <= right]
    count = min(len(drawn), _ROWS)
    picked = {round(i * (len(drawn) - 1) / max(1, count - 1)) for i in range(count)}
    rows = [(drawn[i], False) for i in picked]
    if math.isfinite(data.operating.threshold):
        rows = [row for row in rows if row[0].threshold != data.operating.threshold] + [(data.operating, True)]
    rows.sort(key=lambda row: row[0].threshold)
    texts = words.apart([point.threshold for point, _ in rows])
    return names, [(text, point, own) for text, (point, own) in zip(texts, rows, strict=True)]


def histogram(data: Histogram) -> Markup:
    """Scores of good pictures upward and of flawed ones downward, with the threshold."""
    width = 100 / len(data.good)
    most = max(1, *data.good, *data.anomaly)
    bars = []
    for i, (good, bad) in enumerate(zip(data.good, data.anomaly, strict=True)):
        x, wide = i * width + 0.08 * width, 0.84 * width
        up, down = 48 * good / most, 48 * bad / most
        if good:
            bars.append(f'<rect class="good" x="{x:.2f}" width="{wide:.2f}" y="{50 - up:.2f}" height="{up:.2f}"/>')
        if bad:
            bars.append(f'<rect class="bad" x="{x:.2f}" width="{wide:.2f}" y="50" height="{down:.2f}"/>')
    at = _scale(data.threshold, data.low, data.high)
    band = ""
    if data.unsure:
        start, end = (min(100.0, max(0.0, _scale(v, data.low, data.high))) for v in data.unsure)
        band = f'<rect class="unsure" x="{start:.2f}" width="{end - start:.2f}" y="0" height="100"/>'
    line = f'<line class="lim" x1="{at:.2f}" x2="{at:.2f}" y1="0" y2="100" vector-effect="non-scaling-stroke"/>'
    middle = '<line class="grid" x1="0" x2="100" y1="50" y2="50" vector-effect="non-scaling-stroke"/>'
    alt = f"{sum(data.good)} good and {sum(data.anomaly)} flawed pictures by score, threshold {data.threshold:.3g}"
    ticks = _round_ticks(data.low, data.high)
    sides = [(98.0, f"{most}"), (50.0, "0"), (2.0, f"{most}")]
    marks = '<span class="tag up">good &uarr;</span><span class="tag down">flawed &darr;</span>'
    names = ("Anomaly score", "Pictures")
    return _plot(band + "".join(bars) + middle + line, alt, names=names, across=ticks, up=sides, marks=marks)


def _plot(
    shape: str,
    alt: str,
    *,
    names: tuple[str, str],
    across: Sequence[tuple[float, str]],
    up: Sequence[tuple[float, str]],
    marks: str,
) -> Markup:
    """Axes with text in HTML around a drawing of 100 x 100 units that stretches."""
    grid = "".join(
        f'<line class="grid" x1="0" x2="100" y1="{100 - y:.2f}" y2="{100 - y:.2f}" vector-effect="non-scaling-stroke"/>'
        for y, _ in up
    )
    bottom = "".join(f'<span style="left:{x:.2f}%">{escape(text)}</span>' for x, text in across)
    side = "".join(f'<span style="bottom:{y:.2f}%">{escape(text)}</span>' for y, text in up)
    return Markup(  # noqa: S704 (every part is a number of ours or escaped)
        f'<div class="plot"><div class="yname">{escape(names[1])}</div>'
        f'<div class="yaxis" aria-hidden="true">{side}</div><div class="area">'
        f'<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="{escape(alt)}">'
        f'{grid}{shape}</svg>{marks}</div><div class="xaxis" aria-hidden="true">{bottom}</div>'
        f'<div class="xname">{escape(names[0])}</div></div>'
    )


def _scale(value: float, low: float, high: float) -> float:
    return 100 * (value - low) / (high - low)


def _ceiling(value: float) -> float:
    return next((ceiling for ceiling in _CEILINGS if ceiling >= value), 1.0)


def _ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Ticks of an axis of shares."""
    return [(place, f"{text} %") for place, text in _round_ticks(100 * low, 100 * high)]


def _round_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Three to six ticks at round numbers: where on the axis, in percent of its length, and their text."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in (1, 2, 5, 10) if step * power >= rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [(_scale(i * step, low, high), f"{i * step:.6g}") for i in range(first, last + 1)]


def _steps(points: Sequence[CurvePoint], left: float, right: float, bottom: float, top: float) -> str:
    """The points inside the axis, and the first one beyond each end, as SVG coordinates."""
    ordered = sorted(points, key=lambda point: (point.x, -point.y))
    inside = [i for i, point in enumerate(ordered) if left <= point.x <= right]
    if not inside:
        return ""
    kept = ordered[max(0, inside[0] - 1) : inside[-1] + 2]
    return " ".join(
        f"{_scale(p.x, left, right):.2f},{100 - _scale(p.y, bottom, top):.2f}" for p in kept if not math.isnan(p.y)
    )
