"""Boxes from words and masks from boxes, by tiny models of the real kinds with weights drawn at random."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from tasks.base.errors import DataError, UserError
from tasks.labelling.teachers.prompted import open_masker, open_prompted

pytest.importorskip("transformers", reason="the extra `prompted` is not installed")

from tests.labelling import tiny_prompted as tiny  # noqa: E402

CLASSES = ["person", "blood cell", "car"]
MAP = {"person": "a Person  on foot", "car": "car|lorry"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with three folders of weights."""
    folder = tmp_path_factory.mktemp("weights")
    tiny.write_grounding(folder / "grounding-dino-toy")
    tiny.write_sam(folder / "one")
    tiny.write_sam2(folder / "two")
    return folder


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (50, 80, 3), dtype=np.uint8)


def raw_answer(folder: Path, picture: np.ndarray, text: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Boxes [A, 4] xyxy and probabilities [A, T] as the library itself gives them, and the tokens of the text."""
    import torch
    from transformers import AutoProcessor, GroundingDinoForObjectDetection

    model, processor = GroundingDinoForObjectDetection.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    given = processor(images=picture, text=text, return_tensors="pt")
    with torch.inference_mode():
        said = model.eval()(**given)
    boxes = processor.post_process_grounded_object_detection(said, threshold=0.0, target_sizes=[picture.shape[:2]])
    return (boxes[0]["boxes"].numpy(), said.logits[0].sigmoid().numpy(),
            processor.tokenizer.convert_ids_to_tokens(given["input_ids"][0]))


def test_a_score_is_the_mean_over_a_phrases_tokens_and_the_best_of_its_phrases(weights: Path,
                                                                              picture: np.ndarray) -> None:
    teacher = open_prompted("grounding-dino:grounding-dino-toy", CLASSES, MAP, workspace=weights)
    boxes, tokens, words = raw_answer(weights / "grounding-dino-toy", picture,
                                      "a person on foot. blood cell. car. lorry.")
    assert words == ["[CLS]", "a", "person", "on", "foot", ".", "blood", "cell", ".", "car", ".", "lorry", ".", "[SEP]"]
    scores = np.stack([tokens[:, 1:5].mean(axis=1), tokens[:, 6:8].mean(axis=1),
                       np.maximum(tokens[:, 9], tokens[:, 11])], axis=1)
    found = teacher.ask([picture])[0]
    assert len(found) > 5 and found.labels.max() <= 2 and (np.diff(found.scores) <= 0).all()
    limit = np.array([80, 50, 80, 50])
    for box, score, label in zip(found.boxes, found.scores, found.labels, strict=True):
        near = np.abs(boxes.clip(0, limit) - box).max(axis=1)
        assert near.min() < 0.02
        assert np.abs(scores[near < 0.02, label] - score).min() < 1e-4
    # the best of all is never suppressed
    assert found.scores[0] == pytest.approx(scores.max(), abs=1e-4)


def test_more_phrases_than_the_model_reads_are_asked_in_several_texts(tmp_path: Path, picture: np.ndarray) -> None:
    tiny.write_grounding(tmp_path / "small", most=8)
    teacher = open_prompted("grounding-dino:small", CLASSES, MAP, workspace=tmp_path)
    texts = ["a person on foot.", "blood cell. car.", "lorry."]
    told = [raw_answer(tmp_path / "small", picture, text) for text in texts]
    best = [told[0][1][:, 1:5].mean(axis=1).max(), told[1][1][:, 1:3].mean(axis=1).max(),
            max(told[1][1][:, 4].max(), told[2][1][:, 1].max())]
    found = teacher.ask([picture])[0]
    for label, score in enumerate(best):
        assert found.scores[found.labels == label].max() == pytest.approx(score, abs=1e-4)


def test_what_the_library_says_of_a_picture_is_told_as_ours(weights: Path) -> None:
    """This tiny one has no second cell at its last level to normalise over."""
    teacher = open_prompted("grounding-dino:grounding-dino-toy", CLASSES, MAP, workspace=weights)
    teacher._opened[1].image_processor.size = {"height": 32, "width": 32}
    with pytest.raises(DataError, match="the model does not answer: ValueError"):
        teacher.ask([np.zeros((40, 40, 3), np.uint8)])


def test_what_it_is_known_by(weights: Path) -> None:
    text = "grounding-dino:grounding-dino-toy"
    one = open_prompted(text, CLASSES, MAP, workspace=weights)
    assert one.name == "grounding-dino-toy" and one.classes == CLASSES
    assert one.prompts == {"person": ["a person on foot"], "blood cell": ["blood cell"], "car": ["car", "lorry"]}
    same = open_prompted(f"prompted:{weights / 'grounding-dino-toy'}", CLASSES, MAP, workspace=weights / "elsewhere")
    assert same.digest == one.digest
    other = open_prompted(text, CLASSES, None, workspace=weights)
    assert other.digest != one.digest and len(one.digest) == 64


def test_classes_that_are_left_out_keep_their_place(weights: Path, picture: np.ndarray) -> None:
    text = "grounding-dino:grounding-dino-toy"
    for mapping, drop in (({"car": "car"}, True), ({"person": "-", "blood cell": "-"}, False)):
        teacher = open_prompted(text, CLASSES, mapping, workspace=weights, drop_rest=drop)
        assert teacher.classes == CLASSES and "person, blood cell" in teacher.notes[1]
        assert set(teacher.ask([picture])[0].labels) == {2}
    assert open_prompted(text, [], {"car": "car"}, workspace=weights).classes == ["car"]


def test_copies_in_other_processes_answer_alike(weights: Path, picture: np.ndarray) -> None:
    import torch

    threads = torch.get_num_threads()
    try:
        teacher = open_prompted("grounding-dino:grounding-dino-toy", CLASSES, MAP, workspace=weights)
        masker = open_masker("sam:one", weights)
        written = pickle.dumps((teacher, masker))
        assert len(written) < 10_000
        other, drawer = pickle.loads(written)
        np.testing.assert_allclose(other.ask([picture])[0].scores, teacher.ask([picture])[0].scores, atol=1e-4)
        box = np.array([[5.0, 5.0, 60.0, 40.0]])
        assert len(drawer.mask(picture, box)[0]) == len(masker.mask(picture, box)[0])
        assert torch.get_num_threads() == 1 and other.digest == teacher.digest
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(("mapping", "told"), [
    ({"persn": "a man"}, "did you mean 'person'"), ({"car": ""}, "with no words"), ({"car": "a car. a"}, "full stop"),
    ({"car": "person"}, "the same words"), ({"car": "zzyzx"}, "knows no word"), ({"car": "car " * 40}, "more than the"),
    (dict.fromkeys(CLASSES, "-"), "no class to ask for"),
])
def test_words_that_cannot_be_asked(weights: Path, mapping: dict[str, str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        open_prompted("grounding-dino:grounding-dino-toy", CLASSES, mapping, workspace=weights)


def raw_masks(folder: Path, picture: np.ndarray, boxes: list[list[float]]) -> np.ndarray:
    """bool [n, H, W] as the library itself gives them, the picture and its boxes in one call."""
    import torch
    from transformers import AutoModelForMaskGeneration, AutoProcessor

    model, processor = AutoModelForMaskGeneration.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    given = processor(images=picture, input_boxes=[boxes], return_tensors="pt")
    with torch.inference_mode():
        said = model.eval()(**{name: value.float() if name == "input_boxes" else value for name, value in given.items()
                               if name in ("pixel_values", "input_boxes")}, multimask_output=False)
    sizes = [given[name] for name in ("original_sizes", "reshaped_input_sizes") if name in given]
    return processor.post_process_masks(said.pred_masks, *sizes)[0][:, 0].numpy()


@pytest.mark.parametrize("name", ["one", "two"])
def test_polygons_are_the_models_masks(weights: Path, picture: np.ndarray, name: str,
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.labelling.teachers.prompting import masks

    monkeypatch.setattr(masks, "CHUNK", 2)
    boxes = [[5.0, 5.0, 60.0, 40.0], [0.0, 0.0, 80.0, 50.0], [20.0, 10.0, 30.0, 20.0]]
    wanted = raw_masks(weights / name, picture, boxes)
    masker = open_masker(f"sam:{name}", weights, tolerance=0)
    given = np.array([boxes[0], [7.0, 9.0, 7.0, 30.0], *boxes[1:]])
    found = masker.mask(picture, given)
    assert len(found) == 4 and found[1] == []
    cut = [masks.outlines(masks.near(mask, np.array(box)), 0) for mask, box in zip(wanted, boxes, strict=True)]
    assert found == [cut[0], [], *cut[1:]] and cut[1] == masks.outlines(wanted[1], 0)
    assert any(found) and all(0 <= x <= 80 for rings in found for ring in rings for x in ring[::2])


def test_a_mask_reaches_a_little_beyond_its_box() -> None:
    from tasks.labelling.teachers.prompting.masks import near

    kept = near(np.ones((50, 80), bool), np.array([20.0, 10.0, 50.0, 15.0]))
    assert np.flatnonzero(kept.any(axis=0))[[0, -1]].tolist() == [17, 52]
    assert np.flatnonzero(kept.any(axis=1))[[0, -1]].tolist() == [8, 16]


def test_no_boxes_ask_nothing_and_a_broken_one_is_told(weights: Path, picture: np.ndarray) -> None:
    masker = open_masker("sam:one", weights)
    assert masker.mask(picture, np.zeros((0, 4))) == [] and masker.name == "sam-one"
    with pytest.raises(DataError, match="not a number"):
        masker.mask(picture, np.array([[0, 0, np.nan, 5]]))
    assert masker.digest != open_masker("sam:one", weights, tolerance=3).digest


@pytest.fixture
def copied(weights: Path, tmp_path: Path) -> Path:
    """A folder of weights to spoil."""
    return Path(shutil.copytree(weights / "one", tmp_path / "bad"))


def test_weights_that_lack_a_part_are_refused_and_not_drawn_at_random(copied: Path) -> None:
    from safetensors.torch import load_file, save_file

    held = load_file(copied / "model.safetensors")
    held.pop("mask_decoder.iou_token.weight")
    save_file(held, copied / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match="1 weights that the .* missing, mask_decoder.iou_token.weight"):
        open_masker("sam:bad", copied.parent)


def test_files_that_are_no_weights(copied: Path) -> None:
    (copied / "model.safetensors").write_bytes(b"\x80\x02rubbish" * 10)
    with pytest.raises(DataError, match="cannot open this model"):
        open_masker("sam:bad", copied.parent)
