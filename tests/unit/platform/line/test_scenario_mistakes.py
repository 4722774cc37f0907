"""What is said of every mistake in a scenario file: file, line, field and fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from trunkline.core.errors import ConfigError
from trunkline.platform.line.scenarios import read_file

OK = "task: classify\ndata: x\n"
LISTED = "docs/scenario.md lists every key"
NEW = "`trunkline new DIR` makes a file to start from"
KNOWN = "name, task, data, labels, trunk, split, gates, operating_point, budget, plan, precision_loss, licence"
GATES = "accuracy, recall_min, recall_macro, precision_min, f1_macro, unsure_rate, latency_ms_p95, bundle_kb, champion"

WRONG: dict[str, tuple[str, str, str]] = {
    # what: text, where and message, fix
    "unknown key": ("task: classify\ndta: x\n", "2: dta: unknown key 'dta'", "did you mean 'data'?"),
    "unknown key like no other": (OK + "x: 1\n", "3: x: unknown key 'x'", f"known keys: {KNOWN}"),
    "unknown key in a block": (
        OK + "labels:\n  renam: {a: b}\n",
        "4: labels.renam: unknown key 'renam'",
        "did you mean 'rename'?",
    ),
    "unknown key in a source": (
        "task: classify\ndata:\n  - path: x\n    formt: coco\n",
        "4: data.0.formt: unknown key 'formt'",
        "did you mean 'format'?",
    ),
    "number for a key": (OK + "1: 2\n", "3: 1: unknown key '1'", f"known keys: {KNOWN}"),
    "no task": ("data: x\n", "1: task: this key is needed", "add `task: classify`"),
    "no data": ("task: classify\n", "1: data: this key is needed", "add `data: ../images`"),
    "empty budget": (OK + "budget: {}\n", "3: budget.cpu_minutes: this key is needed", "add `cpu_minutes: 10`"),
    "unknown task": (
        "task: clasify\ndata: x\n",
        "1: task: expected 'classify', 'multilabel', 'anomaly' or 'detect', got 'clasify'",
        "did you mean 'classify'?",
    ),
    "task like no other": (
        "task: locate\ndata: x\n",
        "1: task: expected 'classify', 'multilabel', 'anomaly' or 'detect', got 'locate'",
        "docs/scenario.md says what each means",
    ),
    "unknown gate": (
        OK + "gates:\n  acuracy: '>= 0.9'\n",
        "4: gates.acuracy: no such gate for classify",
        "did you mean 'accuracy'?",
    ),
    "gate of another task": (
        OK + "gates: {auroc: '>= 0.9'}\n",
        "3: gates.auroc: no such gate for classify",
        f"anomaly knows it; known here: {GATES}",
    ),
    "limit without quotes": (
        OK + "gates:\n  accuracy: >= 0.9\n",
        "4:14: not YAML: did not find expected comment or line break",
        'put the limit into quotes: ">= 0.99"',
    ),
    "limit without a sign": (
        OK + "gates: {accuracy: 0.9}\n",
        "3: gates.accuracy: expected text, got '0.9'",
        'write a limit, in quotes: ">= 0.9"',
    ),
    "bad limit": (
        OK + "gates: {accuracy: high}\n",
        "3: gates.accuracy: expected a limit such as '>= 0.99' or '<= 20', got 'high'",
        LISTED,
    ),
    "bad champion": (
        OK + "gates: {champion: better}\n",
        "3: gates.champion: expected 'no-worse', got 'better'",
        LISTED,
    ),
    "gates as a list": (OK + "gates: [accuracy]\n", "3: gates: expected a block of keys", LISTED),
    "number for a name": (OK + "name: 123\n", "3: name: expected text, got '123'", 'put it into quotes: "123"'),
    "date for a name": (
        OK + "name: 2024-01-02\n",
        "3: name: expected text, got '2024-01-02'",
        'put it into quotes: "2024-01-02"',
    ),
    "slash in a name": (
        OK + "name: a/b\n",
        '3: name: expected a name without / \\ : @ * " and without spaces at its ends, got \'a/b\'',
        LISTED,
    ),
    "long name": (
        OK + f"name: {'x' * 201}\n",
        f"3: name: expected at most 200 characters, got '{'x' * 57}...'",
        LISTED,
    ),
    "data of nothing": ("task: classify\ndata:\n", "2: data.0: expected a folder or a file", LISTED),
    "data of a number": ("task: classify\ndata: 3\n", "2: data.0: expected a folder or a file, got '3'", LISTED),
    "no data in the list": ("task: classify\ndata: []\n", "2: data: expected at least one entry", LISTED),
    "text for a list": (
        OK + "labels:\n  ignore: scrap\n",
        "4: labels.ignore: expected a list, got 'scrap'",
        "write it as a list: [scrap]",
    ),
    "number for a label": (
        OK + "labels:\n  ignore:\n    - a\n    - 0\n",
        "6: labels.ignore.1: expected text, got '0'",
        'put it into quotes: "0"',
    ),
    "number for a label's key": (
        OK + "labels: {rename: {1: one}}\n",
        "3: labels.rename.1: expected text, got '1'",
        'put it into quotes: "1"',
    ),
    "text for a number": (
        OK + "budget: {cpu_minutes: ten}\n",
        "3: budget.cpu_minutes: expected a number above 0, got 'ten'",
        LISTED,
    ),
    "number out of range": (
        OK + "operating_point: {recall: 95}\n",
        "3: operating_point.recall: expected a number from 0 to 1, got '95'",
        LISTED,
    ),
    "infinite number": (
        OK + "budget: {cpu_minutes: .inf}\n",
        "3: budget.cpu_minutes: expected a finite number above 0, got '.inf'",
        LISTED,
    ),
    "no number": (
        OK + "split: {test: .nan}\n",
        "3: split.test: expected a finite number above 0 and below 1, got '.nan'",
        LISTED,
    ),
    "huge number": (
        OK + "split: {test: 1e308}\n",
        "3: split.test: expected a number above 0 and below 1, got '1e308'",
        LISTED,
    ),
    "percent for a share": (
        OK + "gates: {accuracy: '>= 95'}\n",
        "3: gates.accuracy: expected a limit from 0 to 1, got '>= 95'",
        "95 % is 0.95",
    ),
    "label renamed to nothing": (
        OK + "labels: {rename: {scrap: ' '}}\n",
        "3: labels.rename: expected a name for 'scrap', got none",
        "to leave a label out, `ignore` it",
    ),
    "empty path": (
        "task: classify\ndata: ''\n",
        "2: data.0.path: expected a folder or a file",
        "write `.` for the scenario's own folder",
    ),
    "NUL in a trunk": (
        OK + 'trunk: "onnx:b\\0c"\n',
        "3: trunk: expected the name of a trunk",
        "`trunkline trunks ls` lists them",
    ),
    "NUL in a path": (
        'task: classify\ndata: [a, "b\\0c"]\n',
        "2: data.1.path: expected a folder or a file",
        "write `.` for the scenario's own folder",
    ),
    "yes for a number": (OK + "split: {seed: yes}\n", "3: split.seed: expected a whole number, got 'yes'", LISTED),
    "number for a block": (OK + "budget: 10\n", "3: budget: expected a block of keys, got '10'", LISTED),
    "two operating points": (
        OK + "operating_point: {recall: .9, precision: .9}\n",
        "3: operating_point: expected at most one operating point, got recall and precision",
        LISTED,
    ),
    "tab": (
        "task: classify\ngates:\n\taccuracy: '>= 1'\n",
        "3:1: not YAML: found character that cannot start any token",
        "indent with spaces, not with tabs",
    ),
    "colon": (
        OK + "name: a: b\n",
        "3:8: not YAML: mapping values are not allowed in this context",
        "put the text into quotes",
    ),
    "quote that is left open": (
        OK + 'name: "a\n',
        "4:1: not YAML: found unexpected end of stream",
        "mend the YAML at this place",
    ),
    "date that is none": (
        OK + "name: 2024-13-45\n",
        "3:7: not YAML: '2024-13-45' is no timestamp",
        "put the text into quotes",
    ),
    "tag that does not fit": (
        OK + "split: {seed: !!int x}\n",
        "3:15: not YAML: 'x' is no int",
        "put the text into quotes",
    ),
    "number of 5,000 digits": (
        OK + f"split: {{seed: {'1' * 5000}}}\n",
        f"3:15: not YAML: '{'1' * 57}...' is no int",
        "put the text into quotes",
    ),
    "name of 6,000 hexadecimal digits": (
        OK + f"name: 0x{'f' * 6000}\n",
        f"3:7: not YAML: '0x{'f' * 55}...' is no int",
        "put the text into quotes",
    ),
    "name of 200 hexadecimal digits": (
        OK + f"name: 0x{'f' * 200}\n",
        f"3: name: expected text, got '0x{'f' * 55}...'",
        f'put it into quotes: "0x{"f" * 55}..."',
    ),
    "object of Python": (
        "task: !!python/object/apply:os.system [id]\n",
        "1:7: not YAML: could not determine a constructor for the tag "
        "'tag:yaml.org,2002:python/object/apply:os.system'",
        "mend the YAML at this place",
    ),
    "alias": (
        "a: &a [x, x]\nb: &b [*a, *a]\n",
        "2:8: not YAML: aliases (*name) are not taken",
        "write the value out",
    ),
    "list for a key": ("? [a]\n: b\n", "1:3: not YAML: found unhashable key", "mend the YAML at this place"),
    "nested too deep": (
        "[" * 5000,
        "1:1001: not YAML: exceeded maximum nesting depth",
        "mend the YAML at this place",
    ),
    "key that stands twice": (OK + "task: anomaly\n", "3: task: expected each key once", "remove one of the two"),
    "key that stands twice in a block": (
        OK + "labels:\n  rename: {a: b}\n  rename: {b: c}\n",
        "5: rename: expected each key once",
        "remove one of the two",
    ),
    "key that stands twice in a list": (
        "task: classify\ndata:\n  - path: a\n    path: b\n",
        "4: path: expected each key once",
        "remove one of the two",
    ),
    "list": ("- a\n", "1: expected keys such as `name:` and `task:`, got a list", NEW),
    "text": ("hello\n", "1: expected keys such as `name:` and `task:`, got a plain value", NEW),
    "mistake in the second document": (
        f"name: a\n{OK}---\nname: b\ntask: classfy\ndata: x\n",
        "6: task: expected 'classify', 'multilabel', 'anomaly' or 'detect', got 'classfy'",
        "did you mean 'classify'?",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_every_mistake_is_said_with_its_line_and_its_fix(tmp_path: Path, what: str) -> None:
    text, message, fix = WRONG[what]
    path = tmp_path / "steel.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_file(path)
    assert str(caught.value) == f"{path}:{message}\n  fix: {fix}"


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "---\n---\n", "~\n"])
def test_a_file_without_a_scenario(tmp_path: Path, text: str) -> None:
    path = tmp_path / "steel.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_file(path)
    assert str(caught.value) == f"{path}: expected a scenario, got an empty file\n  fix: `trunkline new DIR` makes one"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (OK.encode("utf-16"), "expected UTF-8 text\n  fix: save the file as UTF-8"),
        (b"name: stahl \xe9\n", "expected UTF-8 text\n  fix: save the file as UTF-8"),
        (b"name: a\x00b\n", "not YAML: unacceptable character #x0000: control characters are not allowed\n"
                            "  fix: remove what is no text"),
        (b"#" * (10 << 20) + b"\n", "expected at most 10 MB of YAML, got more"),
    ],
)  # fmt: skip
def test_bytes_that_are_no_text(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "steel.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        read_file(path)
    assert str(caught.value) == f"{path}: {message}"
