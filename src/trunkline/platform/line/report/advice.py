"""The verdict in one sentence, what the model may be used for, and what to do next."""

from __future__ import annotations

import math

from trunkline.core.types.gate import NOTHING_ASKED, GateCheck, GateReport
from trunkline.core.types.scenario import Limit
from trunkline.platform.line.report import words
from trunkline.platform.line.report.data import ReportData

_Z = 1.959964  # two-sided 95 %
_MOST = 1_000_000
_OF_ALL = ("accuracy", "exact_match", "unsure_rate")
_DATA_ADVICE = {
    "label-likely-wrong": "Check the labels under “Label likely wrong” below: a wrong label teaches a wrong answer.",
    "same-picture-two-labels": "Decide which label is right for the pictures that have two.",
    "split-leak": "Mend the test split: some of its pictures were learned from as well, so the figures may flatter.",
    "frozen-leak": "Mend the test split: pictures that the champion was tested on are learned from.",
    "large-group": "Bring a split by day or by camera: frames of one scene are on both sides, and flatter the figures.",
    "too-few": "Add pictures of the classes that have too few to measure.",
    "imbalance": "Add pictures of the rare classes.",
    "unreadable": "Copy the unreadable files again, or leave them out.",
}


def headline(data: ReportData) -> str:
    """The verdict in one sentence."""
    verdict = {"passed": "Passed", "failed": "Failed", "measured": NOTHING_ASKED.capitalize()}[data.status]
    return f"{verdict}: {_result(data)}"


def _result(data: ReportData) -> str:
    gate, pictures = data.gate, words.plural(data.test_images, "test picture")
    if data.task == "anomaly" and {"recall", "false_reject_rate"} <= gate.metrics.keys():
        caught, rejected = gate.metrics["recall"], gate.metrics["false_reject_rate"]
        kept = f"{words.percent(rejected)} of the good rejected{_brackets(gate, 'false_reject_rate')}"
        found = f"{words.percent(caught)} of the flawed caught{_brackets(gate, 'recall')}"
        if math.isnan(caught):
            return f"{kept}, on {pictures}; how many of the flawed it catches was not measured: no flawed picture"
        if math.isnan(rejected):
            return f"{found}, on {pictures}; how many of the good it rejects was not measured: no good picture"
        return f"{found}, {kept}, on {pictures}"
    if data.task == "detect" and not math.isnan(gate.metrics.get("recall", math.nan)):
        found = f"{words.percent(gate.metrics['recall'])} of the things found{_brackets(gate, 'recall')}"
        right = f"{words.percent(gate.metrics['precision'])} of the boxes right{_brackets(gate, 'precision')}"
        return f"{found}, {right}, on {pictures}"
    for name in ("accuracy", "f1_macro", "auroc"):
        if math.isnan(gate.metrics.get(name, math.nan)):
            continue
        value = gate.metrics[name]
        if name == "accuracy":
            return f"{words.percent(value)} of {pictures} right{_brackets(gate, name)}"
        unit = words.unit_of(name)
        called = "F1 over all labels" if name == "f1_macro" else "good told from flawed with an AUROC of"
        text = words.amount(value, unit)
        said = f"{text} {called}" if name == "f1_macro" else f"{called} {text}"
        return f"{said} on {pictures}{_brackets(gate, name)}"
    return f"measured on {pictures}"


def _brackets(gate: GateReport, name: str) -> str:
    if name not in gate.intervals:
        return ""
    low, high = gate.intervals[name]
    return f" ({words.between(low, high, words.unit_of(name))})"


def use(data: ReportData) -> str:
    """What the model may be used for."""
    if data.status == "failed":
        missed = " and ".join(f"“{words.label_of(c.name, data.task)}”" for c in data.gate.failed)
        return (
            f"Not for deciding on its own: it missed what was asked for {missed}. "
            "It may help to sort pictures for a person who looks at each."
        )
    if data.status == "measured":
        return "That is for you to say: no gate was asked for, so nothing was promised and nothing was refused."
    kinds = "good and flawed pictures" if data.task == "anomaly" else words.plural(len(data.labels), "class", "classes")
    text = f"For pictures like those it was tested on: the same kind of camera, light and parts, and the {kinds} below."
    if any(c.evidence == "thin" for c in data.gate.checks):
        text += " Let a person check samples of its answers until there is more evidence."
    share = data.gate.metrics.get("unsure_rate")
    if share:
        text += f" It leaves {words.percent(share)} of the pictures to a person as unsure."
    return text


def next_steps(data: ReportData) -> tuple[str, ...]:
    """What to do next, most useful first: the line's own steps, or those that follow from the figures."""
    if data.next_steps:
        return data.next_steps
    steps = [_mend(check, data.task) for check in data.gate.failed]
    kinds = {finding.kind for finding in data.findings if finding.severity != "info"}
    if data.mistakes:
        one = data.mistakes_total == 1
        kind = "picture with mistakes" if data.task == "detect" else "mistake"
        many = kind.replace("picture", "pictures") if data.task == "detect" else ""
        count = kind if one else words.plural(data.mistakes_total, kind, many)
        steps.append(f"Look at the {count} below: is the model wrong, or the label{'' if one else 's'}?")
    if data.unsure:
        steps.append("Label the unsure pictures first: they teach the next version most.")
    for check in data.gate.checks:
        if more := more_pictures(check, data):
            steps.append(f"Get firm evidence on “{words.label_of(check.name, data.task)}”. {more}")
    steps += [text for kind, text in _DATA_ADVICE.items() if kind in kinds]
    if data.status != "failed":
        steps.append("Try it on pictures of your own that are not in this data set.")
    return tuple(steps[:5])


def _mend(check: GateCheck, task: str) -> str:
    title = words.label_of(check.name, task)
    if math.isnan(check.value):
        return f"{title}: {check.note}."
    if check.name == "champion":
        return f"Keep the model in service: the new one does worse on the same pictures ({words.measured(check)})."
    if check.machine:
        return f"{title}: {words.measured(check)}, asked {words.asked(check)}. Try a faster machine or a smaller trunk."
    note = f" ({check.note})" if check.note else ""
    return f"{title}{note}: {words.measured(check)}, asked {words.asked(check)}. Add pictures and check their labels."


def thin_words(check: GateCheck) -> str:
    """What thin evidence means for one check, or ""."""
    if check.evidence != "thin":
        return ""
    if check.limit == "no-worse":
        return "The test pictures are too few to say which of the two models is better."
    return (
        f"The true figure may be anywhere from {words.interval(check)}, "
        f"and what was asked ({words.asked(check)}) lies inside."
    )


def more_pictures(check: GateCheck, data: ReportData) -> str:
    """How many test pictures would settle a thin check, if the figure stays as it is; "" where that is not known."""
    if check.evidence != "thin" or check.name not in _OF_ALL:
        return ""
    needed = pictures_needed(check.value, Limit.parse(check.limit))
    if needed is None or needed <= data.test_images:
        return ""
    return f"About {words.number(needed)} test pictures instead of {words.number(data.test_images)} would settle it."


def pictures_needed(value: float, limit: Limit) -> int | None:
    """Trials with which the Wilson interval of a share no longer straddles its limit, rounded up to two digits.

    The interval holds every limit that a score test at 5 % does not refuse (Wilson 1927), so the limit leaves it when
    z sqrt(l (1 - l) / n) = |value - l|.

    Args:
        value: The share, 0..1.
        limit: The limit l on it.

    Returns:
        The number, or None when the value is the limit, the limit is no share inside 0..1, or a million would not do.
    """
    bound = limit.value
    if not 0 < bound < 1 or math.isnan(value) or value == bound:
        return None
    count = math.ceil(_Z**2 * bound * (1 - bound) / (value - bound) ** 2)
    step = int(10 ** max(0, len(str(count)) - 2))
    return math.ceil(count / step) * step if count <= _MOST else None
