"""Scenario files and folders: what is read, and what is said of every mistake, with file, line, field and fix."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trunkline.core.errors import ConfigError
from trunkline.core.types.scenario import Budget, OperatingPoint, Scenario, Source, Split
from trunkline.platform.data import formats
from trunkline.platform.line.scenarios import from_folder, load, read_file

if TYPE_CHECKING:
    from tests.conftest import Pictures

OK = "task: classify\ndata: x\n"
LISTED = "docs/scenario.md lists every key"
NEW = "`trunkline new DIR` makes a file to start from"
KNOWN = "name, task, data, labels, trunk, split, gates, operating_point, budget, licence"
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
        "1: task: expected 'classify', 'multilabel' or 'anomaly', got 'clasify'",
        "did you mean 'classify'?",
    ),
    "task like no other": (
        "task: detect\ndata: x\n",
        "1: task: expected 'classify', 'multilabel' or 'anomaly', got 'detect'",
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
        "3: budget.cpu_minutes: expected a number, got 'ten'",
        LISTED,
    ),
    "number out of range": (
        OK + "operating_point: {recall: 95}\n",
        "3: operating_point.recall: expected a number less than or equal to 1, got '95'",
        LISTED,
    ),
    "infinite number": (
        OK + "budget: {cpu_minutes: .inf}\n",
        "3: budget.cpu_minutes: expected a finite number, got '.inf'",
        LISTED,
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
        "6: task: expected 'classify', 'multilabel' or 'anomaly', got 'classfy'",
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


def test_a_full_scenario_is_read(tmp_path: Path) -> None:
    path = tmp_path / "steel.yaml"
    path.write_text(
        """\
\ufeffname: "Stahl Fläche 😀"
task: anomaly
data:
  - images
  - {path: /data/more, format: mvtec}
labels: {rename: {schramme: scratch}, ignore: [scrap], good: [fine]}
trunk: test-trunk
split: {test: 0.5, seed: 7}
gates: {auroc: ">= 0.9", champion: no-worse}
operating_point: {false_reject_rate: 0.01}
budget: {cpu_minutes: 2}
licence: CC0-1.0
"""
    )
    made = Scenario(
        name="Stahl Fläche 😀",
        task="anomaly",
        data=(Source(path=tmp_path / "images"), Source(path=Path("/data/more"), format="mvtec")),
        labels={"rename": {"schramme": "scratch"}, "ignore": ("scrap",), "good": ("fine",)},  # type: ignore[arg-type]
        trunk="test-trunk",
        split=Split(test=0.5, seed=7),
        gates={"auroc": ">= 0.9", "champion": "no-worse"},
        operating_point=OperatingPoint(false_reject_rate=0.01),
        budget=Budget(cpu_minutes=2),
        licence="CC0-1.0",
    )
    assert read_file(path) == [made]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("steel.yaml", "steel"),
        ("line-1/scenario.yaml", "line-1"),
        ("a@b.yml", "a-b"),
        (".hidden.yaml", "hidden"),
        (os.fsdecode(b"d\xe9faut.yaml"), "d-faut"),
    ],
)
def test_a_scenario_without_a_name_has_that_of_its_file_or_folder(tmp_path: Path, file: str, name: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(OK)
    assert [(made.name, made.data) for made in read_file(path)] == [(name, (Source(path=path.parent / "x"),))]


@pytest.mark.parametrize(
    ("trunk", "resolved"),
    [
        ("efficientnet-lite0", "efficientnet-lite0"),
        ("onnx:net.onnx", "onnx:{folder}/net.onnx"),
        ("onnx:../net.onnx", "onnx:{folder.parent}/net.onnx"),
        ("onnx:/nets/net.onnx", "onnx:/nets/net.onnx"),
        ("timm:resnet18", "timm:resnet18"),
        ("not there", "not there"),  # the line tells, which knows the trunks of this home
    ],
)
def test_a_trunk_in_a_file_is_looked_for_beside_the_scenario(tmp_path: Path, trunk: str, resolved: str) -> None:
    path = tmp_path / "steel.yaml"
    path.write_text(f"{OK}trunk: {trunk!r}\n")
    assert read_file(path)[0].trunk == resolved.format(folder=tmp_path)


def test_the_home_of_the_user_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home-of-ana")
    path = tmp_path / "steel.yaml"
    path.write_text("task: classify\ndata: [~/images, '~nobody-of-this-name/images']\n")
    assert [source.path for source in read_file(path)[0].data] == [
        Path("/home-of-ana/images"),
        tmp_path / "~nobody-of-this-name/images",
    ]


def test_several_documents_and_several_files(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yml"
    one.write_text(f"---\nname: a\n{OK}---\nname: b\n{OK}---\n")
    two.write_text(OK)
    assert [made.name for made in load([one, two])] == ["a", "b", "two"]


@pytest.mark.parametrize(
    ("files", "where"),
    [({"a.yaml": f"{OK}---\n{OK}"}, "{0}/a.yaml"), ({"a.yaml": OK, "a.yml": OK}, "{0}/a.yaml and {0}/a.yml")],
)
def test_a_name_that_stands_twice(tmp_path: Path, files: dict[str, str], where: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as caught:
        load([tmp_path / name for name in files])
    assert str(caught.value) == (
        f"{where.format(tmp_path)}: expected each name once, got 'a' twice\n  fix: give one of the two another `name`"
    )


@pytest.mark.parametrize(("option", "values"), [("--task", {"task": "anomaly"}), ("--name", {"name": "x"})])
def test_options_for_folders_are_not_passed_over_in_silence(
    tmp_path: Path, option: str, values: dict[str, str]
) -> None:
    path = tmp_path / "steel.yaml"
    path.write_text(OK)
    with pytest.raises(ConfigError) as caught:
        load([path], **values)
    assert str(caught.value) == (
        f"{option}: expected a folder of images with {option}, got {path}, which says it itself\n"
        "  fix: leave the option out, or change the file"
    )


@pytest.mark.parametrize(
    ("name", "text"), [("none.yaml", "No such file or directory"), ("file.yaml/x.yaml", "Not a directory")]
)
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "file.yaml").touch()
    with pytest.raises(ConfigError) as caught:
        load([tmp_path / name])
    assert str(caught.value) == f"{tmp_path / name}: expected a scenario file: {text}"


def test_a_folder_of_images_is_a_scenario(tmp_path: Path, pictures: Pictures) -> None:
    folder = pictures.folder(tmp_path / "parts", count=2)
    made = Scenario(name="parts", task="classify", data=(Source(path=folder),))
    assert load([folder]) == load([folder], task="classify") == [made]
    assert load([folder], name="steel") == [made.model_copy(update={"name": "steel"})]


@pytest.mark.parametrize(("layout", "task"), [("imagefolder", "classify"), ("csv", "classify"), ("mvtec", "anomaly")])
def test_the_layout_says_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str, task: str) -> None:
    monkeypatch.setattr(formats, "detect", lambda _: layout)
    assert load([tmp_path])[0].task == task


def test_a_layout_that_serves_several_tasks_does_not_say_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "detect", lambda _: "voc")
    with pytest.raises(ConfigError) as caught:
        load([tmp_path])
    assert str(caught.value) == (
        f"{tmp_path}: the layout is voc, which serves several tasks\n"
        "  fix: say which one: --task classify (one label an image) or --task multilabel (a set of labels)"
    )


def test_a_folder_may_be_named_like_a_scenario_file(tmp_path: Path, pictures: Pictures) -> None:
    folder = pictures.folder(tmp_path / "x.yaml", count=2)
    assert load([folder], task="classify") == [Scenario(name="x.yaml", task="classify", data=(Source(path=folder),))]


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        (".parts", "parts"),
        ("a:b@c", "a-b-c"),
        (os.fsdecode(b"d\xe9faut"), "d-faut"),
        ("齿轮 😀 [1]", "齿轮 😀 [1]"),
        ("...", "scenario"),
    ],
)
def test_a_folder_gives_a_name_that_a_model_can_have(tmp_path: Path, folder: str, name: str) -> None:
    (tmp_path / folder).mkdir()
    assert from_folder(tmp_path / folder, task="classify").name == name


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"task": "clasify"}, "--task: expected one of classify, multilabel, anomaly, got 'clasify'\n"
                              "  fix: did you mean 'classify'?"),
        ({"task": "xyz"}, "--task: expected one of classify, multilabel, anomaly, got 'xyz'"),
        ({"task": "classify", "name": "a/b"},
         '--name: expected a name without / \\ : @ * " and without spaces at its ends, got \'a/b\''),
        ({"task": "classify", "name": ".a"}, "--name: expected a name that does not begin with . or -, got '.a'"),
    ],
)  # fmt: skip
def test_options_that_cannot_be(tmp_path: Path, values: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load([tmp_path], **values)
    assert str(caught.value) == message


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load([tmp_path / "none"])
    assert str(caught.value) == (
        f"{tmp_path / 'none'}: expected a scenario file or a folder of images; there is nothing here"
    )
