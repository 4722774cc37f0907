"""Figures and gates in the words of people who never heard of F1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from trunkline.core.types.gate import NOT_MEASURED, GateCheck
from trunkline.core.types.scenario import Limit

Unit = Literal["rate", "area", "ms", "kb", "minutes", "points"]

FIGURES: dict[str, tuple[str, Unit]] = {
    "accuracy": ("Pictures right", "rate"),
    "recall_min": ("Found, in the worst class", "rate"),
    "recall_macro": ("Found, mean of the classes", "rate"),
    "precision_min": ("Answers right, in the worst class", "rate"),
    "f1_macro": ("Found and right in one figure, mean of the classes (F1)", "rate"),
    "f1_micro": ("Found and right in one figure, all labels together (F1)", "rate"),
    "accuracy_sure": ("Right, of those that it was sure of", "rate"),
    "log_loss": ("Doubt about the true answers (log loss, 0 is none)", "area"),
    "ece": ("Distance between its confidence and its share of right answers (calibration error)", "rate"),
    "unsure_rate": ("Left to a person as unsure", "rate"),
    "exact_match": ("Pictures with every label right", "rate"),
    "average_precision": ("What is there ranked before what is not (average precision, 1 is best)", "area"),
    "auroc": ("Good told from flawed (AUROC)", "area"),
    "recall": ("Flawed pictures caught", "rate"),
    "false_reject_rate": ("Good pictures rejected", "rate"),
    "balanced_accuracy": ("Right, the good and the flawed counting alike (balanced accuracy)", "rate"),
    "latency_ms_p50": ("Time a picture, median", "ms"),
    "latency_ms_p95": ("Time a picture, 95 % are faster", "ms"),
    "bundle_kb": ("Size of the model", "kb"),
    "cpu_minutes": ("CPU time to make it", "minutes"),
    "champion": ("Against the model in service", "points"),
}
"""What a figure is called, and what it is counted in."""
_OF_TASK: dict[str, dict[str, tuple[str, Unit]]] = {
    "detect": {
        "map50": ("Boxes on things, from sure to unsure (mAP50, 1 is best)", "area"),
        "map": ("The same, the closer the boxes lie the better (mAP50-95)", "area"),
        "map75": ("The same, of boxes that lie closely (mAP75)", "area"),
        "map_small": ("The same, of things under 32 x 32 pixels", "area"),
        "map_medium": ("The same, of things of 32 x 32 to 96 x 96 pixels", "area"),
        "map_large": ("The same, of things over 96 x 96 pixels", "area"),
        "ap50_min": ("mAP50 of the worst class", "area"),
        "recall": ("Things found", "rate"),
        "precision": ("Boxes right", "rate"),
        "f1": ("Found and right in one figure (F1)", "rate"),
        "recall_min": ("Things found, in the worst class", "rate"),
        "precision_min": ("Boxes right, in the worst class", "rate"),
    },
}
"""Where a task means something else by a name."""
_OPERATORS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_NB = "\u00a0"  # a number never parts from its unit at the end of a line


def percent(value: float, digits: int = 1) -> str:
    """A share of 1 as percent; only what is exactly 0 or 1 is written as 0 % or 100 %."""
    return NOT_MEASURED if math.isnan(value) else f"{_percent(value, digits)}{_NB}%"


def _percent(value: float, digits: int) -> str:
    if value in (0.0, 1.0):
        return f"{100 * value:.0f}"
    while digits < 6:
        text = f"{100 * value:.{digits}f}"
        if float(text) not in (0.0, 100.0):
            return text
        digits += 1
    return "over 99.999" if value > 0.5 else "under 0.001"


def percent_range(low: float, high: float) -> str:
    """An interval of shares, as "99.0 to 100 %"."""
    if math.isnan(low) or math.isnan(high):
        return NOT_MEASURED
    ends = _ends(100 * low, 100 * high, 1)
    return " to ".join(f"{float(end):.0f}" if float(end) in (0.0, 100.0) else end for end in ends) + f"{_NB}%"


def _ends(low: float, high: float, digits: int) -> tuple[str, str]:
    """Both ends of an interval, with digits enough that they do not read as one number (up to six)."""
    while low < high and digits < 6 and f"{low:.{digits}f}" == f"{high:.{digits}f}":
        digits += 1
    return f"{low:.{digits}f}", f"{high:.{digits}f}"


def apart(values: Sequence[float]) -> list[str]:
    """Thresholds as text, with digits enough (four to seven) to tell them apart, and from 1 what is no 1."""
    for digits in range(4, 8):
        texts = [f"{value:.{digits}g}" for value in values]
        if len(set(texts)) == len(set(values)) and all(
            (t == "1") == (v == 1) for t, v in zip(texts, values, strict=True)
        ):
            break
    return texts


def amount(value: float, unit: Unit, digits: int = 1) -> str:
    """A figure in its unit."""
    if math.isnan(value):
        return NOT_MEASURED
    match unit:
        case "rate":
            return percent(value, digits)
        case "area":
            return _area(value, digits + 2)
        case "points":
            return f"{100 * value:+.{digits}f}{_NB}points"
        case "ms":
            return f"{value:.{digits}f}{_NB}ms"
        case "kb":
            return f"{value:.{digits}f}{_NB}KB"
        case "minutes":
            return f"{value:.{digits + 1}f}{_NB}min"


def _area(value: float, digits: int) -> str:
    """A plain number; only what is exactly 0 or 1 reads as 0 or 1 (to six digits)."""
    while digits < 6 and value not in (0.0, 1.0) and float(f"{value:.{digits}f}") in (0.0, 1.0):
        digits += 1
    return f"{value:.{digits}f}"


def unit_of(name: str) -> Unit:
    """What a figure is counted in; a figure that is not known here is written as a plain number."""
    others = (known[name] for known in _OF_TASK.values() if name in known)
    return FIGURES.get(name, next(others, ("", "area")))[1]


def label_of(name: str, task: str = "") -> str:
    """What a figure of a task is called."""
    known = {**FIGURES, **_OF_TASK.get(task, {})}
    return known[name][0] if name in known else name.replace("_", " ").capitalize()


def asked(check: GateCheck) -> str:
    """The limit in words, as "at least 99 %"."""
    if check.limit == "no-worse":
        return "no worse"
    limit = Limit.parse(check.limit)
    unit = unit_of(check.name)
    number = f"{100 * limit.value:.6g}{_NB}%" if unit == "rate" else f"{limit.value:.6g}"
    suffix = {"ms": "ms", "kb": "KB", "minutes": "min"}.get(unit, "")
    return f"{_OPERATORS[limit.op]} {number}" + (f"{_NB}{suffix}" if suffix else "")


def measured(check: GateCheck) -> str:
    """The value, with enough digits that it never reads like a limit that it missed."""
    unit = unit_of(check.name)
    text = amount(check.value, unit)
    if check.limit == "no-worse" or math.isnan(check.value):
        return text
    limit = Limit.parse(check.limit)
    for digits in range(1, 7):
        text = amount(check.value, unit, digits)
        scale = 100 if unit == "rate" else 1
        if text.startswith(("over", "under")):
            break
        shown = float(text.split(_NB)[0]) / scale
        if limit.holds(round(shown, 9)) == limit.holds(check.value):
            break
    return text


def interval(check: GateCheck) -> str:
    """The 95 % interval of a check, or "exact" where the figure has none."""
    if check.low == check.value == check.high:
        return "exact"
    return between(check.low, check.high, unit_of(check.name))


def between(low: float, high: float, unit: Unit) -> str:
    """An interval in its unit, as "99.0 to 100 %" or "11.9 to 13.2 ms"."""
    if unit == "rate":
        return percent_range(low, high)
    if unit == "area" and not math.isnan(low + high):
        return " to ".join(_ends(low, high, 3))
    ends = amount(low, unit), amount(high, unit)
    return NOT_MEASURED if NOT_MEASURED in ends else f"{ends[0].split(_NB)[0]} to {ends[1]}"


def size(count: float) -> str:
    """Bytes for people: 412 B, 41.2 KB, 1.3 MB (1 KB is 1,024 bytes)."""
    if count < 1024:
        return f"{count:.0f}{_NB}B"
    for unit in ("KB", "MB"):
        count /= 1024
        if count < 1024:
            return f"{count:.3g}{_NB}{unit}" if count < 1000 else f"{count:,.0f}{_NB}{unit}"
    return f"{count / 1024:.3g}{_NB}GB"


def seconds(value: float) -> str:
    """Seconds for people: 0.004 s, 0.31 s, 12.4 s, 3 min 20 s."""
    if value < 0.01:
        return f"{value:.3f}{_NB}s"
    if value < 10:
        return f"{value:.2f}{_NB}s"
    if value < 120:
        return f"{value:.1f}{_NB}s"
    return f"{int(value // 60)}{_NB}min {int(value % 60)}{_NB}s"


def number(value: int) -> str:
    """A count with its thousands apart, as 1,440."""
    return f"{value:,}"


def plural(count: int, one: str, many: str = "") -> str:
    """ "1 picture", "1,440 pictures"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
