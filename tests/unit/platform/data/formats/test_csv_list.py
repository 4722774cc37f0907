from __future__ import annotations

from typing import Any

import pytest

from trunkline.core.errors import DataError
from trunkline.core.types.scenario import Labels
from trunkline.platform.data.formats import parse
from trunkline.platform.samples.cut import Row, table

LISTS: dict[str, tuple[str, dict[str, Any]]] = {
    "our own": ("path,label,split\na/1.png,x;y,train\n2.png,,test\n",
                {"a/1.png": (("x", "y"), [], "train"), "2.png": ((), [], "test")}),
    "other words": ("Class Name , FileName,SUBSET\nx,a/1.png,Training\nz,2.png,validation\n",
                    {"a/1.png": (("x",), [], "train"), "2.png": (("z",), [], "test")}),
    "semicolons": ("image;category\na/1.png;x\n2.png;y\n", {"a/1.png": (("x",), [], ""), "2.png": (("y",), [], "")}),
    "tabs": ("file\tlabels\na/1.png\tx, really\n2.png\ty\n",
             {"a/1.png": (("x, really",), [], ""), "2.png": (("y",), [], "")}),
    "Windows": ("\ufeffpath,label\r\na\\1.png,x\r\n2.png,y\r\n",
                {"a/1.png": (("x",), [], ""), "2.png": (("y",), [], "")}),
    "quotes": ('path,label\n"a/1.png","x\ny"\n2.png,"say ""no"""\n',
               {"a/1.png": (("x\ny",), [], ""), "2.png": (('say "no"',), [], "")}),
    "a line for each label": ("path,label\n2.png,x\n2.png,y\n2.png,x\n", {"2.png": (("x", "y"), [], "")}),
    "a line for each box": (
        "filename,width,height,class,xmin,ymin,xmax,ymax\n"
        "2.png,48,48,x,1,2,30.5,40\n2.png,48,48,y,0,0,5,5\na/1.png,,,,,,,\n",
        {"2.png": ((), [("x", 1.0, 2.0, 30.5, 40.0), ("y", 0.0, 0.0, 5.0, 5.0)], ""), "a/1.png": ((), [], "")}),
    "spaces and empty lines": ("path,label\n\na/1.png, x ; ;\n\n,\n2.png,y\n",
                               {"a/1.png": (("x",), [], ""), "2.png": (("y",), [], "")}),
    "short lines": ("path,label,split\na/1.png\n2.png,y\n", {"a/1.png": ((), [], ""), "2.png": (("y",), [], "")}),
    "a dot": ("path,label\n./a/../2.png,x\n", {"2.png": (("x",), [], "")}),
    "what the samples write": (table([Row("a/1.png", ("x", "y"), "train"), Row("2.png", (), "test")]),
                               {"a/1.png": (("x", "y"), [], "train"), "2.png": ((), [], "test")}),
}  # fmt: skip


@pytest.mark.parametrize("case", LISTS)
@pytest.mark.parametrize("given", ["", "list.csv"], ids=["the folder", "the file"])
def test_lists_as_people_write_them(case: str, given: str, make: Any, read: Any) -> None:
    text, expected = LISTS[case]
    source = make({"a/1.png": None, "2.png": None, "list.csv": text})
    assert read(source / given, "csv") == (expected, {})


def test_a_name_with_a_backslash_is_taken_as_it_is_where_there_is_such_a_file(make: Any, read: Any) -> None:
    source = make({"a\\1.png": None, "a/1.png": None, "list.csv": "path,label\na\\1.png,x\n"})
    assert read(source, "csv")[0] == {"a\\1.png": (("x",), [], "")}


def test_a_file_without_an_image_ending_is_taken_when_it_is_named(make: Any, read: Any) -> None:
    assert read(make({"frame": None, "l.csv": "path,label\nframe,x\n"}), "csv")[0] == {"frame": (("x",), [], "")}


REFUSED = {
    "no header": ("a/1.png,x\n", ":1", "expected a first line with the names of the columns"),
    "no label": ("path,width\na/1.png,3\n", ":1", "got 'path, width'"),
    "no path": ("name,label\na/1.png,x\n", ":1", "got 'name, label'"),
    "empty": ("", ":1", "got 'an empty file'"),
    "a split that is none": ("path,label,split\n2.png,x,train\n2.png,x,blue\n", ":3", "got 'blue'"),
    "a line without a path": ("path,label\n2.png,x\n,y\n", ":3", "expected a path"),
    "not UTF-8": ("path,label\n\u4e2d.png,x\n".encode("gbk"), "", "expected UTF-8 text"),
    "an endless field": ("path,label\n" + "x" * 200_000 + ",y\n", ":2", "at most 131,072 characters"),
    "an open quote": ('path,label\n"2.png,y\n' + "2.png,z\n" * 20_000, ":16386", "at most 131,072 characters"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_list_that_cannot_be_read_names_the_line(case: str, make: Any) -> None:
    text, line, message = REFUSED[case]
    source = make({"a/1.png": None, "2.png": None, "list.csv": text}) / "list.csv"
    with pytest.raises(DataError, match=message) as caught:
        parse(source, "csv")
    assert caught.value.where == f"{source}{line}"


def test_lines_that_cannot_be_used_are_listed(make: Any, read: Any) -> None:
    text = (
        "path,label,x1,y1,x2,y2\n2.png,x,1,1,5,5\ngone.png,x,,,,\n/etc/passwd,x,,,,\n../x.png,x,,,,\nC:\\x.png,x,,,,\n"
        "2.png,x,5,5,1,1\n2.png,x,a,1,1,1\n2.png,x,48,0,60,9\n2.png,,1,1,2,2\n" + "n" * 301 + ",x,,,,\na\0.png,x,,,,\n"
    )
    items, findings = read(make({"2.png": None, "list.csv": text}), "csv")
    assert items == {"2.png": ((), [("x", 1.0, 1.0, 5.0, 5.0)], "")}
    assert findings == {
        "bad-box": ["2.png"] * 3, "missing-file": ["gone.png", "n" * 297 + "...", "a?.png"], "unknown-label": ["2.png"],
        "outside-path": ["/etc/passwd", "../x.png", "C:\\x.png"],
    }  # fmt: skip


def test_a_link_in_a_link_does_not_lead_outside(make: Any, read: Any) -> None:
    source = make({"2.png": None, "list.csv": "path,label\nmore/secret.png,x\nmore/secret.png,y\n2.png,x\n"})
    outside = source.parent / "outside"
    outside.mkdir()
    (outside / "secret.png").write_bytes(b"")
    (source / "more").symlink_to(outside)
    assert read(source, "csv") == ({"2.png": (("x",), [], "")}, {"outside-path": ["more/secret.png"]})


def test_many_lists_beside_each_other_want_a_name(make: Any) -> None:
    source = make({"2.png": None, "a.csv": "path,label\n2.png,x\n", "b.csv": "path,label\n2.png,y\n"})
    with pytest.raises(DataError, match=r"expected one CSV file .* found 2 \(a.csv, b.csv\)"):
        parse(source, "csv")


def test_a_list_alone_does_not_have_the_folder_listed(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make({"2.png": None, "a.csv": "path,label\n2.png,x\n"})
    monkeypatch.setattr("os.scandir", None)
    assert [item.name for item in parse(source / "a.csv", "csv").items] == ["2.png"]


def test_good_is_a_label_that_scenarios_know() -> None:
    assert "good" in Labels().good
