"""The card as text: complete, escaped, self-contained, the same for the same input, for every problem."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tasks.base.errors import DataError
from tasks.data.shapes import encode
from tasks.reporting.card import card, page

from .test_card import crop, detection, label, picture, write

HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "🩸 blóð", "null", "", "\u202eevil\u0000",
           "x" * 300, "]]></template></svg>", "'+alert(3)+'", "مرحبا بالعالم"]
FILES = ["a#t=5.jpg", "it's \"quoted\".jpg", "<b>.jpg", "spaces in it.jpg", "</template><script>alert(4)<", "ü" * 100]
SECTIONS = ["overview", "advice", "classes", "splits", "boxes", "crowding", "pictures", "near", "samples", "strips"]


def build(folder: Path, pictures: Path, **more: Any) -> str:
    out = folder.parent / "card.html"
    card(folder, pictures, out, **({"samples": 2} | more))
    return out.read_text(encoding="utf-8")


def section(text: str, name: str) -> str:
    return text[text.index(f'<section id="{name}"') :].split("</section>")[0]


def near(folder: Path, pairs: list[tuple[int, int, float]]) -> Path:
    folder.mkdir()
    a, b, similarity = zip(*pairs, strict=True) if pairs else ((), (), ())
    pq.write_table(pa.table({"a": pa.array(a, pa.int64()), "b": pa.array(b, pa.int64()),
                             "similarity": pa.array(similarity, pa.float32())}), folder / "pairs.parquet")
    pq.write_table(pa.table({"image_id": range(6), "near": [0, 0, 2, 3, 2, 5]}), folder / "groups.parquet")
    return folder


def hostile(root: Path) -> tuple[Path, Path]:
    """Names from outside at their worst, in classes, files, tags, sources and the licence."""
    images, labels = [], []
    for i, file in enumerate(FILES):
        path = root / f"pictures/{i}.jpg"
        crop(path, i)
        renamed = root / "pictures" / file.replace("/", "_")
        path.rename(renamed)
        images.append(picture(i, renamed.name, "train", tags=["<script>alert(5)</script>"]))
        labels += [label(2 * i, i, (2 * i) % 10, (3, 3, 30, 30)),
                   label(2 * i + 1, i, (2 * i + 1) % 10, (20, 9, 9, 9), source="<script>alert(6)</script>",
                         reviewed_by="</td><script>")]
    folder = write(root / "table", images, labels, HOSTILE, name="<script>alert(7)</script>", licence="<b>&",
                   recipe={"operation": "filter", "parameters": {"expression": "'; rm -rf / #"},
                           "parents": [{"ref": "<a>@1", "digest": "00"}]}, parents=["<a>@1"])
    return folder, root / "pictures"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build(*detection(tmp_path_factory.mktemp("plain"), 12))


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_is_there_and_in_the_contents(plain: str, name: str) -> None:
    assert f'<section id="{name}"' in plain
    assert f'<a href="#{name}">' in plain


def test_needs_nothing_from_outside(plain: str) -> None:
    bare = re.sub(r"base64,[A-Za-z0-9+/=]+", "", plain)
    assert not re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", bare)
    assert all(source.startswith("data:image/") for source in re.findall(r'\bsrc="([^"]*)"', plain))
    assert set(re.findall(r'\bhref="([^#"]*)"', plain)) <= {"", "data:,"}


def test_has_no_broken_number(plain: str) -> None:
    shown = re.sub(r"base64,[A-Za-z0-9+/=]+|<script>.*?</script>|<style>.*?</style>", "", plain, flags=re.S)
    assert not re.findall(r"\bnan\b|NaN|\binf\b|\bNone\b|undefined", shown)


def test_four_times_as_many_pictures_are_there_as_are_shown(plain: str) -> None:
    board, rest = section(plain, "samples").split("<template")
    assert (board.count("<figure"), rest.count("<figure")) == (2, 6)
    assert "<noscript>" in board
    assert 'class="control again" hidden' in board


def test_the_same_input_gives_the_same_bytes_and_another_seed_another_draw(tmp_path: Path) -> None:
    folder, pictures = detection(tmp_path, 12)
    assert build(folder, pictures) == build(folder, pictures)
    assert section(build(folder, pictures), "samples") != section(build(folder, pictures, seed=1), "samples")


def test_names_from_the_data_are_text(tmp_path: Path) -> None:
    folder, pictures = hostile(tmp_path)
    text = build(folder, pictures, samples=6, against=(folder, pictures), aliases={"null": ["<script>alert(8)"]},
                 near=near(tmp_path / "near", [(0, 4, 0.9)]))
    assert text.count("<script>") == 1
    assert "<img src=x" not in text
    assert text.count("<template") == text.count("</template>") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "🩸 blóð" in text and "مرحبا بالعالم" in text
    assert "\u202e" not in text and "\u0000" not in text
    assert "a#t=5.jpg" in text
    assert "visionmill data filter &#x27;&lt;a&gt;@1&#x27; &quot;&#x27;; rm -rf / #&quot; --out" in text


def test_no_label_is_said(tmp_path: Path) -> None:
    crop(tmp_path / "pictures/a.jpg", 0)
    text = build(write(tmp_path / "table", [picture(0, "a.jpg")], [], ["cat"]), tmp_path / "pictures")
    assert "Nothing is labelled." in section(text, "advice")
    assert "There is no box in this version." in section(text, "boxes")
    assert "1 of 1 picture" in section(text, "samples")
    assert section(text, "samples").count("<figure") == 1


def test_no_picture_is_said(tmp_path: Path) -> None:
    text = build(write(tmp_path / "table", [], [], []), tmp_path)
    assert "There are no pictures." in section(text, "pictures")
    assert "<img" not in text


def test_pictures_that_are_gone_are_said(tmp_path: Path) -> None:
    folder, _ = detection(tmp_path)
    text = build(folder, tmp_path / "elsewhere")
    assert "6 of 6 pictures looked at could not be read." in section(text, "advice")
    assert "could not be read" in section(text, "samples")
    assert "<img" not in text


def test_a_thousand_classes_stay_readable(tmp_path: Path) -> None:
    folder, pictures = detection(tmp_path, 9, [f"class {i}" for i in range(1000)])
    text = build(folder, pictures)
    assert len(text.encode()) < 2_000_000
    assert "The 40 classes with the most labels are shown. The other 960 have 0 labels" in section(text, "classes")
    assert section(text, "classes").count('<th scope="row"') == 40
    assert "and 980 more." in section(text, "advice")


def test_a_page_that_is_too_large_takes_smaller_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (8, 300, 400, 3), np.uint8)
    for i, pixels in enumerate(noise):
        Image.fromarray(pixels).save(pictures / f"{i}.png")
    folder = write(tmp_path / "table", [picture(i, f"{i}.png", None, (400, 300)) for i in range(8)], [], [])
    full = len(build(folder, pictures))
    monkeypatch.setattr(page, "LIMIT", 2 * full // 3)
    assert len(build(folder, pictures)) < 2 * full // 3


def test_pictures_in_an_archive_are_shown(tmp_path: Path) -> None:
    content = crop(tmp_path / "a.jpg", 0).read_bytes()
    (tmp_path / "shard.tar").write_bytes(b"\0" * 512 + content)
    row = picture(0, "a.jpg", shard="shard.tar", offset=512, bytes=len(content))
    (tmp_path / "a.jpg").unlink()
    text = build(write(tmp_path / "table", [row], [label(0, 0, 0, (3, 3, 20, 20))], ["cat"]), tmp_path)
    assert section(text, "samples").count("data:image/jpeg") == 1
    assert section(text, "strips").count("data:image/jpeg") == 1


def segmented(root: Path) -> tuple[Path, Path]:
    """One object as a polygon, one as run lengths, one with damaged run lengths, one with points."""
    crop(root / "pictures/a.jpg", 0)
    mask = np.zeros((48, 64), bool)
    mask[10:20, 30:50] = True
    points = [5.0, 5.0, 2.0, 9.0, 9.0, 1.0, 0.0, 0.0, 0.0]
    labels = [label(0, 0, 0, (4, 4, 20, 20), polygons=[[4, 4, 24, 4, 24, 24], [1, 1, 2]], keypoints=points),
              label(1, 0, 1, (30, 10, 20, 10), rle=encode(mask)),
              label(2, 0, 1, (1, 1, 9, 9), rle={"h": 48, "w": 64, "counts": "0"})]
    return write(root / "table", [picture(0, "a.jpg")], labels, ["leaf", "nut"], problem="segment"), root / "pictures"


def test_outlines_masks_and_points_are_drawn(tmp_path: Path) -> None:
    text = section(build(*segmented(tmp_path)), "samples")
    assert 'd="M4 4L24 4L24 24Z"' in text
    assert text.count('class="layer"') == 1
    assert text.count('class="point"') == 1 and text.count('class="point hollow"') == 1
    assert "3 objects, no split" in text


def pairs(root: Path) -> tuple[Path, Path]:
    for i in range(2):
        crop(root / f"pictures/{i}_test.jpg", i)
    crop(root / "pictures/0_golden.jpg", 0)
    images = [picture(i, f"{i}_test.jpg", "train", reference=f"{i}_golden.jpg") for i in range(2)]
    folder = write(root / "table", images, [label(0, 0, 0, (5, 5, 9, 9))], ["open"], problem="pairs")
    return folder, root / "pictures"


def test_golden_pictures_stand_beside(tmp_path: Path) -> None:
    text = section(build(*pairs(tmp_path)), "samples")
    assert 'alt="reference 0_golden.jpg"' in text
    assert "The reference 1_golden.jpg could not be read." in text


def semantic(root: Path) -> tuple[Path, Path]:
    ids = np.zeros((48, 64), np.uint8)
    ids[10:30, 10:30] = 1
    crop(root / "pictures/a.jpg", 0)
    Image.fromarray(ids).save(root / "pictures/a.png")
    images = [picture(0, "a.jpg", "train", mask="a.png"), picture(1, "b.jpg", "val")]
    crop(root / "pictures/b.jpg", 1)
    return write(root / "table", images, [], ["background", "cat"], problem="semantic"), root / "pictures"


def test_masks_lie_over_pictures(tmp_path: Path) -> None:
    text = build(*semantic(tmp_path))
    assert section(text, "samples").count('class="layer"') == 1
    assert "no mask, val" in section(text, "samples")
    assert "cat\npixels" not in text and "Pixels of each class" in section(text, "classes")
    assert '<section id="boxes"' not in text and '<section id="crowding"' not in text


def test_classes_of_a_picture_stand_below_it(tmp_path: Path) -> None:
    images = []
    for i in range(3):
        crop(tmp_path / f"pictures/{i}.jpg", i)
        images.append(picture(i, f"{i}.jpg", "train", labels=[[0], [0, 1], None][i]))
    text = build(write(tmp_path / "table", images, [], ["cat", "dog"], problem="classify"), tmp_path / "pictures")
    samples = section(text, "samples")
    assert "<bdi>cat</bdi>, <bdi>dog</bdi>, train" in samples
    assert "no label, train" in samples
    assert section(text, "strips").count('class="strip"') == 2


def test_near_duplicates_in_two_splits_come_first(tmp_path: Path) -> None:
    folder, pictures = detection(tmp_path)
    text = build(folder, pictures, near=near(tmp_path / "near", [(0, 3, 0.99), (0, 1, 0.91), (2, 4, 0.95), (5, 5, 1),
                                                                 (0, 77, 1)]))
    assert 'Pairs</dt><dd class="big">3<' in section(text, "near")
    assert 'Groups</dt><dd class="big">2<' in section(text, "near")
    told = re.findall(r"<span>(<b[^>]*>in two splits</b> )?(\w+) and (\w+), similarity ([\d.]+)", section(text, "near"))
    assert [(bool(leak), a, b, value) for leak, a, b, value in told] == [
        (True, "test", "val", "0.950"), (True, "train", "val", "0.910"), (False, "train", "train", "0.990")]
    assert "2 near-duplicate pairs in two splits: train and val (1), val and test (1)." in section(text, "advice")


def test_no_near_duplicate_is_good_news(tmp_path: Path) -> None:
    folder, pictures = detection(tmp_path)
    assert "No two pictures are nearly the same." in build(folder, pictures, near=near(tmp_path / "near", []))
    assert "Nobody has looked for near-duplicates here." in build(folder, pictures)


@pytest.mark.parametrize(("columns", "said"), [(None, "no list"), ({"a": [1], "b": [2]}, "no similarity"),
                                               ({"a": ["x"], "b": [2], "similarity": [0.5]}, "damaged list")])
def test_a_damaged_list_of_near_duplicates_is_refused(tmp_path: Path, columns: Any, said: str) -> None:
    folder, pictures = detection(tmp_path)
    (tmp_path / "near").mkdir()
    if columns:
        pq.write_table(pa.table(columns), tmp_path / "near/pairs.parquet")
    with pytest.raises(DataError, match=said):
        build(folder, pictures, near=tmp_path / "near")
    assert not (tmp_path / "card.html").exists()


def test_aliases_stand_beside_their_class(tmp_path: Path) -> None:
    folder, pictures = detection(tmp_path)
    assert "kitty, tom" in section(build(folder, pictures, aliases={"cat": ["kitty", "tom"]}), "classes")
    assert "Also called" not in section(build(folder, pictures), "classes")
