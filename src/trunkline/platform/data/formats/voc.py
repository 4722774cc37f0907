"""Pascal VOC: one XML an image, beside it, in `annotations/`, or with VOC's own JPEGImages, Annotations and ImageSets.

Datumaro's `voc` importer is not used: without `ImageSets/` it (1.13.12) does not know the folder, and without a
`labelmap.txt` it leaves out every box whose class is not one of VOC's own twenty. NEU-DET has neither.
"""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree  # to write; what comes from outside is read with defusedxml

from trunkline.core.errors import DataError
from trunkline.core.types.dataset import Box, Dataset, Sample
from trunkline.platform.data.formats.base import Parsed
from trunkline.platform.data.formats.coco import enclosing
from trunkline.platform.data.formats.files import LAYOUT_WORDS, Folder, Look, read_bounded, split_word, stem_of
from trunkline.platform.data.formats.gather import Gathered, label_of, number
from trunkline.platform.data.formats.imagefolder import folder_only

_MAX_BYTES = 16 << 20
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


class Voc:
    """Boxes are taken as they stand; `difficult` and `truncated` are ignored. Images without XML have no label."""

    def detect(self, look: Look) -> str:
        places = [*look.named("annotations"), *look.sides(), ""]
        places += look.named("annotations", below="train/")
        return next(
            (f"{place or 'beside the images: '}.xml files" for place in places if look.having(".xml", place)), ""
        )

    def parse(self, path: Path) -> Parsed:
        folder_only(path, "voc")
        gathered = Gathered("voc", path)
        folder = gathered.folder
        xmls = [name for name in folder.files if name.lower().endswith(".xml")]
        if not xmls:
            raise DataError(
                "expected one .xml for each image, found none",
                where=str(path),
                fix="name the folder that holds both the images and their .xml files",
            )
        images = _pictures(folder)
        pairs = _Pairs(images)
        boxes: dict[str, list[Box]] = defaultdict(list)
        unread = set()
        for xml in xmls:
            try:
                root = _root(folder.root / xml)
            except DataError as error:
                gathered.notes.add("unread-labels", xml, error.message)
                unread.add(pairs.image(xml))
                continue
            image = pairs.image(xml, root.findtext("filename") or "")
            if image is None:
                folder.missing(stem_of(xml), f"no image, or more than one, goes with {xml}")
            else:
                boxes[image] += _boxes(gathered, image, root)
        sides = _lists(folder, images)
        for image in images:
            if image not in unread:
                side = sides.get(image) or next(filter(None, map(split_word, image.split("/")[:-1])), "")
                gathered.add(image, (), boxes[image], side)
        return gathered.parsed()

    def lacks(self, dataset: Dataset) -> str:
        labelled = sum(bool(sample.labels) for sample in dataset.samples)
        bad = sorted({box.label for s in dataset.samples for box in s.boxes if not _holds(box.label)})
        if labelled:
            return f"labels of a whole image ({labelled} images have some)"
        return f"labels that XML cannot hold ({', '.join(map(repr, bad[:5]))})" if bad else ""

    def place(self, split: str, labels: Sequence[str], name: str) -> str:
        return f"JPEGImages/{name}"

    def annotate(self, folder: Path, dataset: Dataset, places: Sequence[str]) -> None:
        lists = defaultdict(list)
        for sample, place in zip(dataset.samples, places, strict=True):
            stem = stem_of(place).partition("/")[2]
            xml = folder / "Annotations" / f"{stem}.xml"
            xml.parent.mkdir(parents=True, exist_ok=True)
            xml.write_bytes(_xml(sample, posixpath.basename(place)))
            lists[sample.split].append(stem)
        for split in filter(None, lists):
            file = folder / "ImageSets" / "Main" / f"{split}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(f"{stem}\n" for stem in lists[split]), encoding="utf-8")


def _pictures(folder: Folder) -> list[str]:
    """The images themselves: those of JPEGImages where there is one, and no masks kept beside the annotations."""
    rows = [(name, set(name.casefold().split("/")[:-1])) for name in folder.images]
    inside = [name for name, words in rows if "jpegimages" in words]
    return inside or [name for name, words in rows if "annotations" not in words]


class _Pairs:
    """Which image an XML belongs to: the same stem, then the same folder, then the `filename` that it gives."""

    def __init__(self, images: Sequence[str]) -> None:
        self._stems: dict[str, list[str]] = defaultdict(list)
        self._names: dict[str, list[str]] = defaultdict(list)
        for image in images:
            base = posixpath.basename(image)
            self._stems[stem_of(base)].append(image)
            self._names[base].append(image)

    def image(self, xml: str, filename: str = "") -> str | None:
        """The image's path, or None when there is none, or more than one."""
        filename = posixpath.basename(filename.replace("\\", "/").strip())
        found = self._stems.get(stem_of(posixpath.basename(xml))) or self._names.get(filename) or []
        if len(found) > 1:
            found = [image for image in found if _place(image) == _place(xml)] or found
        if len(found) > 1:
            found = [image for image in found if posixpath.basename(image) == filename]
        return found[0] if len(found) == 1 else None


def _place(name: str) -> list[str]:
    """The folders of a path without those that only say what is in them."""
    return [part for part in name.split("/")[:-1] if part.casefold() not in LAYOUT_WORDS | {"xml", "xmls"}]


def _root(path: Path) -> Any:
    """The `<annotation>` of an XML from outside.

    Raises:
        DataError: When it is too large, not XML, not an annotation, or defines entities, which could blow up.
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    data = read_bounded(path, _MAX_BYTES, "an XML file")
    try:
        root = fromstring(data, forbid_dtd=True)
    except DefusedXmlException as error:
        raise DataError("a document type is not taken; remove its <!DOCTYPE>", where=str(path)) from error
    except (ParseError, ValueError, LookupError) as error:  # the last two: encodings that are not known
        raise DataError(f"not XML: {error}", where=str(path)) from error
    if root.tag != "annotation":
        raise DataError(f"expected <annotation>, got <{str(root.tag)[:40]}>", where=str(path))
    return root


def _boxes(gathered: Gathered, image: str, root: Any) -> list[Box]:
    declared = root.findtext("size/width"), root.findtext("size/height")
    boxes = []
    for thing in root.findall("object"):
        label, bounds, polygon = label_of(thing.findtext("name")), thing.find("bndbox"), thing.find("polygon")
        if not label or (bounds is None and not polygon):
            gathered.notes.add("bad-annotation", image, "an object without a name or without bndbox")
            continue
        if bounds is None:
            corners = enclosing([number(point.text) for point in polygon])
        else:
            corners = [number(bounds.findtext(corner)) for corner in _CORNERS]
        boxes.append(gathered.box(image, label, corners, declared))
    return [box for box in boxes if box]


def _lists(folder: Folder, images: Sequence[str]) -> dict[str, str]:
    """Image -> "train", "val" or "test", by `ImageSets/Main/`; lists of one class ("cat_train.txt") are not read."""
    stems = {stem_of(image): image for image in images}
    sides: dict[str, str] = {}
    for name in folder.files:
        head, mark, file = name.casefold().rpartition("imagesets/main/")
        side = split_word(stem_of(file)) if mark and file.endswith(".txt") and "_" not in file else ""
        if not side:
            continue
        text = read_bounded(folder.root / name, _MAX_BYTES, "a list of images").decode("utf-8", "replace")
        base = name[: len(head)]
        for line in text.splitlines():
            for inside in ("JPEGImages/", "images/", ""):
                image = stems.get(f"{base}{inside}{line.strip()}")
                if image and sides.get(image) != "test":
                    sides[image] = side
    return sides


def _holds(label: str) -> bool:
    """Whether XML gives this label back."""
    return all(ord(c) >= 32 and c not in "\ufffe\uffff" for c in label) and label == label_of(label)


def _xml(sample: Sample, filename: str) -> bytes:
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "filename").text = filename
    size = ElementTree.SubElement(root, "size")
    for key, value in (("width", sample.width), ("height", sample.height), ("depth", 3)):
        ElementTree.SubElement(size, key).text = str(value)
    for box in sample.boxes:
        thing = ElementTree.SubElement(root, "object")
        ElementTree.SubElement(thing, "name").text = box.label
        for key in ("truncated", "difficult"):
            ElementTree.SubElement(thing, key).text = "0"
        bounds = ElementTree.SubElement(thing, "bndbox")
        for key, edge in zip(_CORNERS, (box.x1, box.y1, box.x2, box.y2), strict=True):
            ElementTree.SubElement(bounds, key).text = repr(edge).removesuffix(".0")
    ElementTree.indent(root)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written
