from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.base.errors import DataError
from tasks.data.formats import kitti
from tasks.data.formats._kitti_write import exact
from tasks.data.formats._lines import decimal
from tasks.data.formats.index import FolderIndex
from tasks.data.formats.record import Box, Picture, Reading
from tests.data.exports import export_of, written
from tests.data.folders import put, save_picture
from tests.data.roundtrip import exported, plain, read_all, round_trip

# of the benchmark's own training set
CAR = "Car 0.88 3 -0.69 0.00 192.37 402.31 374.00 1.60 1.57 3.23 -2.70 1.74 3.68 -1.29"
PERSON = "Pedestrian 0.00 0 -0.20 12.40 3.00 30.73 27.92 1.89 0.48 1.20 1.84 1.47 8.41 0.01"
DONT_CARE = "DontCare -1 -1 -10 503.89 169.71 590.61 190.13 -1 -1 -1 -1000 -1000 -1000 -10"
FLAT = "cat -1 -1 -10 2 3 20 30 -1 -1 -1 -1000 -1000 -1000 -10"


def make(root: Path, rows: dict[str, str], labels: str = "label_2", images: str = "image_2") -> Path:
    for number, (stem, text) in enumerate(rows.items()):
        save_picture(root / images / f"{stem}.png", number)
        put(root / labels / f"{stem}.txt", text)
    return root


def test_columns_become_boxes_attributes_and_ignored_regions(tmp_path: Path) -> None:
    (picture,), into = read_all(kitti, make(tmp_path / "training", {"000000": f"{CAR}\n{DONT_CARE}\n\n"}))
    (box,) = picture.boxes
    assert (box.label, box.x, box.y, box.x + box.w, box.y + box.h) == ("Car", 0, 192.37, 402.31, 374)
    assert (box.truncation, box.occlusion, box.score, box.row) == (0.88, 3, None, "label_2/000000.txt#1")
    assert box.attributes == {"alpha": "-0.69", "dimensions": ["1.60", "1.57", "3.23"],
                              "location": ["-2.70", "1.74", "3.68"], "rotation_y": "-1.29"}
    assert picture.ignored is not None and picture.ignored[0] == pytest.approx([503.89, 169.71, 86.72, 20.42])
    assert into.labels == {"Car"} and not into.notes


def test_unknown_values_stay_unsaid(tmp_path: Path) -> None:
    (picture,), _ = read_all(kitti, make(tmp_path, {"a": FLAT}))
    assert (picture.boxes[0].truncation, picture.boxes[0].occlusion, picture.boxes[0].attributes) == (None,) * 3


def test_layouts_and_splits(tmp_path: Path) -> None:
    make(tmp_path / "a", {"1": CAR}, "training/label_2", "training/image_2")
    make(tmp_path / "a", {"1": CAR}, "validation/label_2", "validation/image_2")
    save_picture(tmp_path / "a/testing/image_2/9.png")
    save_picture(tmp_path / "a/training/image_3/1.png", 5)  # the right camera
    pictures, into = read_all(kitti, tmp_path / "a")
    assert {p.file: p.split for p in pictures} == {"training/image_2/1.png": "train",
                                                   "validation/image_2/1.png": "val"} and not into.notes
    pictures, _ = read_all(kitti, make(tmp_path / "b", {"x.y": PERSON}, "val/labels/deep", "val/images/deep"))
    assert [(p.file, p.split) for p in pictures] == [("val/images/deep/x.y.png", "val")]


def test_a_label_without_picture_is_noted_and_an_empty_one_says_nothing_is_there(tmp_path: Path) -> None:
    root = make(tmp_path, {"a": CAR, "b": ""})
    put(root / "label_2/lost.txt", CAR)
    pictures, into = read_all(kitti, root)
    assert [(p.file, len(p.boxes)) for p in pictures] == [("image_2/a.png", 1), ("image_2/b.png", 0)]
    assert [(n.kind, n.file) for n in into.notes] == [("missing_picture", "label_2/lost.txt")]


@pytest.mark.parametrize("text", [
    "", "Car 1 2 3", "a b c d e f g h i j k l m n o", "0 .1 .1 .3 .1 .3 .3 .2 .4 .1 .3 .05 .2 .1 .15",
    "read me: this is no label", "Car 0.5 0.5 0 1 1 2 2 0 0 0 0 0 0 0", b"\xff\xfe\0", b"\0" * 99, "x" * 200_000])
def test_what_is_no_kitti_is_not_claimed(tmp_path: Path, text: str | bytes) -> None:
    save_picture(tmp_path / "images/a.jpg")
    put(tmp_path / "labels/a.txt", text)
    assert kitti.find(FolderIndex(tmp_path)) == []


@pytest.mark.parametrize(("bad", "says"), [
    ("Car 1 2", r"3 columns, expected 15[\s\S]*label_2/z.txt:2"),
    (CAR + " 0.5 7", r"17 columns"), ("big " + CAR, r"not a number: 'Car'[\s\S]*"),
    (CAR.replace("402.31", "wide"), r"'right' is not a number: 'wide'[\s\S]*z.txt:2"), ("x" * 100_000, "1 columns"),
    (b"Caf\xe9", r"not UTF-8[\s\S]*z.txt:2"), (b"\0\0", "NUL")])
def test_bad_rows_say_where(tmp_path: Path, bad: str | bytes, says: str) -> None:
    root = make(tmp_path, {f"{k:02}": CAR for k in range(20)} | {"z": CAR})
    with (root / "label_2/z.txt").open("ab") as file:
        file.write(b"\n" + (bad.encode() if isinstance(bad, str) else bad))
    with pytest.raises(DataError, match=says) as raised:
        read_all(kitti, root)
    assert len(str(raised.value)) < 600


def test_nonsense_boxes_are_given_as_they_are(tmp_path: Path) -> None:
    corners = ("nan 3 20 30", "20 30 2 3", "-5 -5 999 999", "2 3 2 3")
    rows = [FLAT.replace("2 3 20 30", one) for one in corners] + [FLAT.replace("-1 -1", "7 9", 1)]
    (picture,), _ = read_all(kitti, make(tmp_path, {"a": "\n".join(rows)}))
    nan, inverted, outside, flat, odd = picture.boxes
    assert nan.x != nan.x and (inverted.w, inverted.h) == (-18, -27) and (outside.x, outside.w) == (-5, 1004)
    assert flat.w == 0 and (odd.truncation, odd.occlusion, odd.attributes) == (7, None, {"occluded": "9"})


def test_round_trip_to_the_last_digit(tmp_path: Path) -> None:
    text = f"{CAR}\n{PERSON}\n{FLAT}\nvan 0.123456 1 -10 0.1 0.2 0.3333333 1e-7 -1 -1 -1 -1000 -1000 -1000 -10\n"
    root = make(tmp_path / "training", {"000000": f"{text}{DONT_CARE}\n", "000001": ""})
    before, after = round_trip(kitti, root, tmp_path / "trip")
    assert [plain(p) for p in before] == [plain(p) for p in after]
    written = (tmp_path / "trip/out/label_2/000000.txt").read_text()
    assert written.splitlines()[0] == CAR and written.splitlines()[1] == PERSON and DONT_CARE in written
    assert "cat -1 -1 -10 2.00 3.00 20.00 30.00 -1" in written


@given(st.floats(allow_nan=False), st.floats(-1e6, 1e6), st.floats(0, 1e4))
def test_numbers_come_back_equal(value: float, start: float, size: float) -> None:
    assert float(exact(value)) == value and exact(2) == "2.00" and exact(0.125) == "0.125"
    end = round(start, 2) + round(size, 2)
    text = decimal(end, lambda read: read - start == end - start, 2)
    assert float(text) - start == end - start


def test_scores_are_a_sixteenth_column_when_all_have_one(tmp_path: Path) -> None:
    root = make(tmp_path / "a", {"a": f"{CAR} 0.9\n{PERSON} -12.5\n"})
    before, after = round_trip(kitti, root, tmp_path / "trip")
    assert [plain(p) for p in before] == [plain(p) for p in after] and after[0].boxes[1].score == -12.5
    assert (tmp_path / "trip/out/label_2/a.txt").read_text().splitlines()[0] == f"{CAR} 0.9"
    made = exported(kitti, make(tmp_path / "b", {"a": f"{CAR} 0.9\n{PERSON}\n"}), tmp_path / "b2")
    assert made.losses["annotations.score"] == 1 and (made.out / "label_2/a.txt").read_text() == f"{CAR}\n{PERSON}\n"


def test_what_kitti_cannot_carry_is_counted(tmp_path: Path) -> None:
    save_picture(tmp_path / "raw/a.png")
    boxes = [Box("traffic light", 1, 2, 3, 4, "r", attributes={"colour": "red", "alpha": "0.5"}),
             Box("naïve\u00a0😀", 1, 2, 3, 4, "r", attributes={"occluded": "7 x"})]
    picture = Picture("a.png", "test", None, "r", boxes, attributes={"licence": 1})
    export = written(kitti, [picture], tmp_path / "raw", tmp_path)
    assert +export.losses == {"spaces in class names": 1, "annotations.attributes": 1, "images.attributes": 1}
    pictures, _ = read_all(kitti, export.out)
    assert [box.label for box in pictures[0].boxes] == ["traffic_light", "naïve\u00a0😀"]
    assert pictures[0].split == "test" and pictures[0].boxes[1].occlusion is None


@pytest.mark.parametrize("names", [("a b", "a_b"), ("a b", "a\tb"), ("dontcare",)])
def test_classes_that_would_be_mixed_up_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    save_picture(tmp_path / "raw/a.png")
    pictures = [Picture("a.png", None, None, "r", [Box(name, 1, 2, 3, 4, "r") for name in names])]
    with pytest.raises(DataError, match="visionmill data relabel"):
        kitti.write(export_of(pictures, tmp_path / "raw", tmp_path))


def test_labels_of_pictures_are_refused(tmp_path: Path) -> None:
    save_picture(tmp_path / "raw/a.png")
    export = export_of([Picture("a.png", None, None, "r", labels=["cat"])], tmp_path / "raw", tmp_path,
                       Reading(problem="classify"))
    with pytest.raises(DataError, match="--format folders"):
        kitti.write(export)


def test_names_that_would_share_a_label_file_are_told_apart(tmp_path: Path) -> None:
    names = ["x/1.png", "y/1.png", "z/2.png", "z/2.jpg", "odd#t=1 'q' \"d\".png", f"{'n' * 251}.png", "train/1.png"]
    names += [f"long{k}/" + "m" * 249 + ".png" for k in range(2)]
    for number, name in enumerate(names):
        save_picture(tmp_path / "raw" / name, number)
    pictures = [Picture(name, "train" if name.startswith("train") else None, None, "r", [Box("cat", k, k, 5, 5, "r")])
                for k, name in enumerate(names)]
    export = written(kitti, pictures, tmp_path / "raw", tmp_path)
    found = {p.file: p.boxes[0].x for p in read_all(kitti, export.out)[0]}
    assert sorted(found.values()) == list(range(len(names)))
    for name in ("image_2/x__1.png", "image_2/z__2_jpg.jpg", "image_2/odd#t=1 'q' \"d\".png", "training/image_2/1.png"):
        assert name in found


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("fuzz"), {"a": ""})


TEXTS = st.lists(st.sampled_from([*CAR.split(), "nan", "1e999", "-1", "\0", "é", "\n", "DontCare", "  "]), max_size=40)
GIVEN = given(TEXTS.map(" ".join) | st.text(max_size=200), st.booleans())


@settings(max_examples=100, deadline=None)
@GIVEN
def test_any_text_is_read_or_refused(fuzzed: Path, text: str, headed: bool) -> None:
    check_any_text(fuzzed, text, headed)


@pytest.mark.slow
@settings(max_examples=100_000, deadline=None)
@GIVEN
def test_a_hundred_thousand_texts(fuzzed: Path, text: str, headed: bool) -> None:
    check_any_text(fuzzed, text, headed)


def check_any_text(root: Path, text: str, headed: bool) -> None:
    put(root / "label_2/a.txt", (f"{CAR}\n" if headed else "") + text)
    index, into = FolderIndex(root), Reading()
    kitti.find(index)
    try:
        pictures = list(kitti.read(index, kitti.Source("kitti", root / "label_2", None), into))
    except DataError:
        return
    assert len(pictures) == 1
    json.dumps([box.attributes for box in pictures[0].boxes])
