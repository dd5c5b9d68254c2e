from __future__ import annotations

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tasks.base.errors import DataError
from tasks.data.formats import yolo
from tasks.data.formats._size import header_size
from tasks.data.formats._yolo_lines import box_of
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Box, Note, Reading
from tasks.data.pictures import measure
from tests.data.folders import HEIGHT, WIDTH, put, save_picture
from tests.data.roundtrip import plain, read_all, round_trip

ROW = "0 0.5 0.5 0.25 0.5\n"
TWO = "train: images/train\nval: images/val\nnames: [cat, dog]\n"


def make(root: Path, yaml: str = TWO, rows: dict[str, str | None] | None = None) -> Path:
    """A data set; a label file stands in `labels` for `images`, none where its text is None."""
    put(root / "data.yaml", yaml)
    for number, (name, text) in enumerate((rows or {"train/a": ROW, "val/b": ROW}).items()):
        save_picture(root / f"images/{name}.jpg", number)
        if text is not None:
            put(root / f"labels/{name}.txt", text)
    return root


def test_boxes_in_pixels_of_the_displayed_picture(tmp_path: Path) -> None:
    root = make(tmp_path, rows={"train/a": "1 0.5 0.5 0.25 0.5\n\n0 0.1 0.2 0 0\n", "val/b": ""})
    save_picture(root / "images/val/turned.jpg", 3, orientation=6)
    put(root / "labels/val/turned.txt", ROW)
    pictures, into = read_all(yolo, root)
    found = {p.file: [(b.label, b.x, b.y, b.w, b.h) for b in p.boxes] for p in pictures}
    assert found == {
        "images/train/a.jpg": [("dog", 24, 12, 16, 24), ("cat", pytest.approx(6.4), pytest.approx(9.6), 0, 0)],
        "images/val/b.jpg": [], "images/val/turned.jpg": [("cat", 18, 16, 12, 32)]}
    assert {p.file: p.split for p in pictures} == {"images/train/a.jpg": "train", "images/val/b.jpg": "val",
                                                   "images/val/turned.jpg": "val"}
    assert into.ids == {"cat": 0, "dog": 1} and into.labels == {"cat", "dog"} and into.problem is None
    rows = [b.row for p in pictures for b in p.boxes if p.split == "train"]
    assert not into.notes and rows == ["labels/train/a.txt#1", "labels/train/a.txt#3"]


def test_polygons_scores_and_keypoints(tmp_path: Path) -> None:
    def row(text: str, points: tuple[int, int] | None = None) -> Box:
        found = box_of(text.split(), {0: "cat"}, (100, 50), points, "a.txt#1")
        assert isinstance(found, Box)
        return found

    ring = row("0 .1 .2 .3 .2 .3 .6")
    assert ring.polygons == [pytest.approx([10, 10, 30, 10, 30, 30])] and ring.score is None
    assert (ring.x, ring.y, ring.w, ring.h) == pytest.approx((10, 10, 20, 20))
    assert row("0 .1 .2 .3 .2 .3 .6 .9").score == 0.9
    assert row("0.0 .1 .2 .3 .2 .5").score == 0.5
    posed = row("0 .5 .5 .2 .2 .1 .2 0 0", (2, 2))
    assert posed.keypoints == pytest.approx([10, 10, 2, 0, 0, 0]) and posed.polygons is None
    posed = row("0 .5 .5 .2 .2 .1 .2 1", (1, 3))
    assert posed.keypoints == pytest.approx([10, 10, 1])
    into = read_all(yolo, make(tmp_path, rows={"train/a": "0 .1 .2 .3 .2 .3 .6\n"}))[1]
    assert into.problem == "segment"


@pytest.mark.parametrize("yaml", [
    "path: .\ntrain: images/train\nval: images/val\nnames: {0: cat, 1: dog}\n",
    "path: ../datasets/coco8  # root\ntrain: images/train\nval: images/val\ntest:\nnames:\n  0: cat\n  1: dog\n",
    "path: /content/data\ntrain: images/train\nval: [images/val]\nnames: [cat, dog]\nnc: 2\n",
    "train: /home/me/set/images/train\nval: C:\\data\\images\\val\nnames: ['cat', 'dog']\n",
    "train: ../images/train\nval: ../../x/images/val/b.jpg\nnames: [cat, dog]\n",
    "train: train.txt\nval: lists/val.txt\nnames: [cat, dog]\n"])
def test_paths_of_other_machines(tmp_path: Path, yaml: str) -> None:
    root = make(tmp_path / "raw", yaml)
    put(root / "train.txt", "./images/train/a.jpg\n\n")
    put(root / "lists/val.txt", "/data/all/images/val/b.jpg")
    pictures, into = read_all(yolo, root)
    assert {p.file: (p.split, len(p.boxes)) for p in pictures} == {"images/train/a.jpg": ("train", 1),
                                                                 "images/val/b.jpg": ("val", 1)}
    assert not into.notes


def test_roboflow_and_a_description_in_a_folder(tmp_path: Path) -> None:
    for split, folder in (("train", "train"), ("val", "valid")):
        save_picture(tmp_path / f"set/{folder}/images/a.jpg", len(split))
        put(tmp_path / f"set/{folder}/labels/a.txt", ROW)
    put(tmp_path / "set/data.yaml", "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n"
                                    "nc: 1\nnames: ['cat']\nroboflow:\n  license: CC BY 4.0\n")
    pictures, into = read_all(yolo, tmp_path)
    assert {p.file: p.split for p in pictures} == {"set/train/images/a.jpg": "train", "set/valid/images/a.jpg": "val"}
    assert [(n.kind, n.row) for n in into.notes] == [("dangling", "test: ../test/images")]
    assert into.attributes == {"yolo": {"roboflow": {"license": "CC BY 4.0"}}}


def test_a_folder_of_one_split_is_never_taken_for_another(tmp_path: Path) -> None:
    save_picture(tmp_path / "images/a.jpg")
    put(tmp_path / "data.yaml", "train: train/images\nval: images\nnames: [cat]\n")
    pictures, into = read_all(yolo, tmp_path)
    assert [p.split for p in pictures] == ["val"] and [n.kind for n in into.notes] == ["unannotated", "dangling"]


def test_what_is_missing_or_twice_is_noted(tmp_path: Path) -> None:
    root = make(tmp_path, "train: images\nval: images/val\nnames: [cat, dog, cat]\n",
                {"train/a": None, "val/b": "2 .5 .5 1 1\n7 .5 .5 1 1\nx .5 .5 1 1\n-1 .5 .5 1 1", "val/c": ROW})
    put(root / "labels/train/lost.txt", ROW)
    put(root / "images/val/c.jpg", "no picture")
    pictures, into = read_all(yolo, root)
    assert {p.file: p.split for p in pictures} == {"images/val/b.jpg": "val", "images/val/c.jpg": "val",
                                                   "images/train/a.jpg": "train"}
    assert [b.label for p in pictures for b in p.boxes] == ["cat"]
    assert [(n.kind, n.file, n.row) for n in into.notes] == [
        ("duplicate_id", "data.yaml", "names[2]"),
        *[("unknown_class", "labels/val/b.txt", str(line)) for line in (2, 3, 4)],
        ("missing_picture", "labels/val/c.txt", ""), ("unannotated", "images/train/a.jpg", ""),
        ("leaked", "data.yaml", "train: images"), ("leaked", "data.yaml", "train: images"),
        ("missing_picture", "labels/train/lost.txt", "")]


def test_darknet(tmp_path: Path) -> None:
    for number in range(3):
        save_picture(tmp_path / f"pictures/{number}.jpg", number)
        put(tmp_path / f"obj_train_data/{number}.txt", ROW)
    put(tmp_path / "obj.data", "classes = 2\ntrain = data/train.txt\nvalid = data/valid.txt\nnames = data/obj.names\n")
    put(tmp_path / "obj.names", "cat\nnull\n")
    put(tmp_path / "train.txt", "data/obj_train_data/0.jpg\ndata/obj_train_data/9.jpg\n")
    put(tmp_path / "valid.txt", "data/obj_train_data/1.jpg\n")
    pictures, into = read_all(yolo, tmp_path)
    assert {p.file: (p.split, len(p.boxes)) for p in pictures} == {"pictures/0.jpg": ("train", 1),
                                                                 "pictures/1.jpg": ("val", 1)}
    assert into.ids == {"cat": 0, "null": 1}
    assert [(n.kind, n.file, n.row) for n in into.notes] == [("missing_picture", "train.txt", "2")]


def test_a_bare_list_of_names(tmp_path: Path) -> None:
    for number, name in enumerate(("train/images/a", "valid/images/a", "c")):
        save_picture(tmp_path / f"{name}.jpg", number)
        put(tmp_path / f"{name.replace('images', 'labels')}.txt", ROW)
    put(tmp_path / "classes.txt", "cat\n")
    put(tmp_path / "README.txt", "hello")
    put(tmp_path / "train/labels/lost.txt", ROW)
    assert yolo.find(FolderIndex(tmp_path))[0].path == tmp_path / "classes.txt"
    pictures, into = read_all(yolo, tmp_path)
    assert {p.file: p.split for p in pictures} == {
        "c.jpg": None, "train/images/a.jpg": "train", "valid/images/a.jpg": "val"}
    assert [(n.kind, n.file) for n in into.notes] == [("missing_picture", "train/labels/lost.txt")]


@pytest.mark.parametrize("files", [
    {"classes.txt": "cat", "a.txt": "hello world"}, {"a.txt": ROW}, {"classes.txt": "cat", "a.txt": "3 .5 .5 .5 .5"},
    {"classes.txt": "cat", "a.txt": "0 0.9 162 96 189 245"}, {"conf.yaml": "train: 1\nname: x"},
    {"x.yaml": b"\xff\xfe"}, {"obj.data": "classes=2"}, {"classes.txt": "cat", "a.txt": ""}])
def test_what_is_no_yolo_is_not_claimed(tmp_path: Path, files: dict[str, str | bytes]) -> None:
    save_picture(tmp_path / "a.jpg")
    for name, text in files.items():
        put(tmp_path / name, text)
    assert yolo.find(FolderIndex(tmp_path)) == []


@pytest.mark.parametrize(("row", "says"), [
    ("0 .1 .2", r"3 columns, expected class x y w h[\s\S]*labels/train/a.txt:2"), ("0", "1 columns"),
    (b"0 \xe9", r"not UTF-8[\s\S]*a.txt:2"), ("\0", "NUL")])
def test_bad_rows_say_where(tmp_path: Path, row: str | bytes, says: str) -> None:
    root = make(tmp_path)
    put(root / "labels/train/a.txt", ROW.encode() + (row.encode() if isinstance(row, str) else row))
    with pytest.raises(DataError, match=says):
        read_all(yolo, root)


@pytest.mark.parametrize("yaml", [
    "train: a\nnames: cat", "train: a\nnames: {x: cat}", "train: a\nnames: {-1: cat}", "train: a\nnames: [[cat]]",
    "train: {a: b}\nnames: [cat]", "train: a\nnames: [cat]\nkpt_shape: 3",
    "train: a\nnames: [cat]\nkpt_shape: [1e9, 3]",
    "train: a\nnames: [cat\n", "train: a\nnames: [cat]\nnames: [dog]", "- train: a\n- names: b\ntrain:\nnames:",
    "train: a\nnames: " + "[" * 900, "train: a\nnames: &a [*a]"])
def test_bad_descriptions_are_refused(tmp_path: Path, yaml: str) -> None:
    put(tmp_path / "data.yaml", yaml)
    save_picture(tmp_path / "a/a.jpg")
    source = yolo.Source("yolo", tmp_path / "data.yaml", None)
    with pytest.raises(DataError, match=r"data.yaml"):
        list(yolo.read(FolderIndex(tmp_path), source, Reading()))


def test_yaml_makes_no_objects_and_keeps_no_code(tmp_path: Path) -> None:
    root = make(tmp_path, TWO.replace("[cat, dog]", "[null, 1.10, yes]") +
                "download: print(1)\nnote: !!python/name:os.system x\nloop: &a [*a]\n")
    _, into = read_all(yolo, root)
    assert into.ids == {"null": 0, "1.10": 1, "yes": 2} and into.attributes == {"yolo": {"note": "x"}}


def test_hostile_paths_stay_inside(tmp_path: Path) -> None:
    save_picture(tmp_path / "secret/s.jpg")
    root = make(tmp_path / "raw", "train: ../secret\nval: images/../../secret/s.jpg\ntest: ['', /etc]\nnames: [cat]\n")
    put(root / "x.txt", "../../secret/s.jpg\n/etc/passwd\n..\n")
    put(root / "data.yaml", "train: x.txt\nval: ../secret\nnames: [cat]\n")
    pictures, into = read_all(yolo, root)
    assert not pictures and [(n.kind, n.row) for n in into.notes] == [
        ("dangling", "val: ../secret"), *[("missing_picture", str(line)) for line in (1, 2, 3)]]


def test_numbers_that_are_nonsense_are_given_as_they_are(tmp_path: Path) -> None:
    rows = "0 nan .5 .5 .5\n0 abc .5 .5 .5\n0 .5 .5 -.5 -.5\n0 5 5 1 1\n0 nan .2 .3 .2 .3 .6\n0 .3 .2 nan .2 .3 .6\n"
    pictures, _ = read_all(yolo, make(tmp_path, rows={"train/a": rows, "val/b": ""}))
    boxes = next(p.boxes for p in pictures if p.boxes)
    assert [b.x != b.x for b in boxes] == [True, True, False, False, True, True]
    assert boxes[2].w < 0 and boxes[3].x > WIDTH and boxes[5].w != boxes[5].w


def test_one_ground_truth_in_two_forms(mirror: Path, tmp_path: Path) -> None:
    """The same 100 pictures as Pascal VOC: the same classes by name, the same corners within 0.01 pixels."""
    given = mirror / "datasets/voc100_formats/database"
    shutil.copytree(given / "images", tmp_path / "images")
    shutil.copytree(given / "gts/yolo_format", tmp_path / "yolo")
    pictures, into = read_all(yolo, tmp_path)
    assert len(pictures) == 100 and not into.notes
    for picture in pictures:
        root = ElementTree.parse(given / f"gts/pascalvoc_format/{Path(picture.file).stem}.xml").getroot()
        voc = sorted((item.findtext("name", ""), *(float(item.findtext(f"bndbox/{side}", "nan"))
                     for side in ("xmin", "ymin", "xmax", "ymax"))) for item in root.iter("object"))
        ours = sorted((b.label, b.x, b.y, b.x + b.w, b.y + b.h) for b in picture.boxes)
        assert [box[0] for box in ours] == [box[0] for box in voc]
        for one, other in ((ours, voc), (voc, ours)):
            assert all(any(a[0] == b[0] and a[1:] == pytest.approx(b[1:], abs=0.01) for b in other) for a in one)
    before, after = round_trip(yolo, tmp_path, tmp_path.parent / f"{tmp_path.name}-trip")
    assert [plain(p) for p in before] == [plain(p) for p in after]
    written = tmp_path.parent / f"{tmp_path.name}-trip/out/labels/train/2007_000027.txt"
    assert written.read_text() == (tmp_path / "yolo/obj_train_data/2007_000027.txt").read_text()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_header_says_what_measure_says(tmp_path: Path, orientation: int) -> None:
    for name in ("a.jpg", "a.png", "a.webp"):
        path = save_picture(tmp_path / name, 1, orientation)
        measured = measure(path)
        assert header_size(path) == (measured.width, measured.height) == (
            (WIDTH, HEIGHT) if orientation < 5 else (HEIGHT, WIDTH))


def test_no_size_of_what_is_no_picture(tmp_path: Path) -> None:
    Image.new("1", (12_000, 8_000)).save(tmp_path / "bomb.png")
    assert header_size(put(tmp_path / "a.jpg", b"")) is None and header_size(put(tmp_path / "b.jpg", "text")) is None
    assert header_size(tmp_path / "none.jpg") is None
    measured = measure(tmp_path / "bomb.png")
    assert (header_size(tmp_path / "bomb.png") or (0, 0)) == (measured.width, measured.height)


TOKENS = st.sampled_from([
    "0", "1", "0.5", ".25", "-1", "nan", "inf", "1e999", "x", "\0", "é", "\n", "", "[", "]", "{", "}", ":", "names",
    "train", "val", "path", "images", "..", "/", "&a", "*a", "- ", "!!", "'", '"', "\t", ", "])


FILES = {"data.yaml": "train: [images/train, train.txt]\nnames: [cat]\n", "labels/train/a.txt": ROW,
         "obj.names": "cat\n", "obj.data": "train = train.txt\nnames = obj.names\n",
         "train.txt": "images/train/a.jpg\n"}
GIVEN = given(st.lists(TOKENS, max_size=30).map(" ".join) | st.lists(TOKENS, max_size=30).map("".join) |
              st.text(max_size=99), st.sampled_from(sorted(FILES)), st.booleans())


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("fuzz"), rows={"train/a": ROW})


@settings(max_examples=100, deadline=None)
@GIVEN
def test_any_text_is_read_or_refused(fuzzed: Path, text: str, file: str, after: bool) -> None:
    check_any_text(fuzzed, text, file, after)


@pytest.mark.slow
@settings(max_examples=100_000, deadline=None)
@GIVEN
def test_a_hundred_thousand_texts(fuzzed: Path, text: str, file: str, after: bool) -> None:
    check_any_text(fuzzed, text, file, after)


def check_any_text(root: Path, text: str, file: str, after: bool) -> None:
    for name, content in FILES.items():
        put(root / name, content)
    put(root / file, (FILES[file] if after else "") + text)
    index = FolderIndex(root)
    yolo.find(index)
    into, described_by = Reading(), file if file in ("obj.data", "obj.names") else "data.yaml"
    try:
        pictures = list(yolo.read(index, yolo.Source("yolo", root / described_by, None), into))
    except DataError:
        return
    assert {p.file for p in pictures} <= {"images/train/a.jpg"}
    assert all(isinstance(note, Note) for note in into.notes) and json.dumps(into.attributes)
