"""The scenario file that `trunkline new` writes."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import get_args

from trunkline.core.errors import ConfigError, NotFoundError
from trunkline.core.files import write_atomic
from trunkline.core.types.scenario import Task, safe_name
from trunkline.platform.line.scenarios import read_file

_NOT_IN_YAML = re.compile(r"[\x7f-\x9f\ud800-\udfff]")  # the last range is how Python shows bytes that are not UTF-8
_GATES = {
    "classify": ('accuracy: ">= 0.95"', 'recall_min: ">= 0.90"   # the worst class'),
    "multilabel": ('f1_macro: ">= 0.85"', 'recall_min: ">= 0.70"   # the worst label'),
    "anomaly": ('auroc: ">= 0.95"', 'recall: ">= 0.90"       # share of the flawed that are found'),
    "detect": ('map50: ">= 0.60"', 'recall_min: ">= 0.50"   # share of the things of the worst class that are found'),
}
_POINT = {
    "classify": ("false_reject_rate: 0.01", "at most 1 % of the right answers are called unsure"),
    "multilabel": ("recall: 0.95", "thresholds that find 95 % of each label"),
    "anomaly": ("false_reject_rate: 0.01", "at most 1 % of the good parts are refused"),
    "detect": ("precision: 0.8", "of the boxes that are accepted, 80 % lie on a thing"),
}
_NOTE = {
    "classify": "put your images there, one folder a class",
    "multilabel": "put your images there, with their boxes (COCO, VOC, YOLO) or a CSV of labels",
    "anomaly": "put your images there: good/, and flawed ones in folders of other names",
    "detect": "put your images there, with their boxes (COCO, VOC, YOLO)",
}


def write_template(folder: Path, *, data: Path | None, task: str) -> Path:
    """Write `folder/scenario.yaml` and return its path.

    Args:
        folder: Made when missing.
        data: Folder of images; when None, the file names `images` beside itself and says that it is to be filled.
        task: The scenario's task.

    Raises:
        NotFoundError: On an unknown task.
        ConfigError: When there is a scenario already, or `data` is not there or cannot be written down in UTF-8.
        StorageError: When the folder cannot be written.
    """
    if task not in get_args(Task):
        raise NotFoundError("task", task, get_args(Task), where="--task")
    path = folder / "scenario.yaml"
    if path.exists():
        raise ConfigError(
            "there is a scenario already; it was left as it is", where=str(path), fix="name another folder"
        )
    if data is not None and not data.exists():
        raise ConfigError("expected a folder of images; there is nothing here", where=str(data))
    source = os.path.relpath(data.resolve(), folder.resolve()) if data is not None else "images"
    if _NOT_IN_YAML.search(source):
        raise ConfigError(
            "expected a path that YAML can hold (UTF-8 text)", where=repr(str(data)), fix="rename the folder"
        )
    write_atomic(path, _text(safe_name(folder.resolve().name), task, source, data is None).encode())
    read_file(path)  # what we write must be what we read
    return path


def _text(name: str, task: str, source: str, empty: bool) -> str:
    point, meaning = _POINT[task]
    gates = "\n".join(f"  {gate}" for gate in _GATES[task])
    return f"""\
# One model that is asked for. Every key is explained in docs/scenario.md.
name: {json.dumps(name, ensure_ascii=False)}
task: {task}            # classify | multilabel | anomaly | detect
data: {json.dumps(source, ensure_ascii=False)}{f"   # {_NOTE[task]}" if empty else ""}
trunk: efficientnet-lite0
split: {{test: 0.25, seed: 0}}   # kept for the gate, where the data brings no split of its own
gates:                     # a model that misses one is kept, said to have failed, and not promoted
{gates}
  # latency_ms_p95: "<= 200"   # one image, bytes to answer; a machine that is busy misses it
  champion: no-worse       # than the model in use, on that model's own frozen test images
operating_point: {{{point}}}   # {meaning}
budget: {{cpu_minutes: 10}}
"""
