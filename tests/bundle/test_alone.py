"""A bundle runs without us and says the same as the package, to the last bit."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from tasks.bundle.content import EXAMPLE
from tasks.data.pictures import read_picture
from tasks.runtime.detector import open_detector

from .conftest import CLASSES, limits_of, run_example, small_onnx

LIBRARIES = ("numpy", "PIL", "onnxruntime", "flatbuffers", "google", "numpy.libs", "pillow.libs")
# -I: no folder of the user's; -S: no site-packages, so that what is there is what is linked here
ALONE = """
import runpy, sys
sys.path.append(sys.argv[1])
for name in ("tasks", "flows", "torch", "onnx"):
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit(f"{name} can be imported here")
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def expected(file: Path, pictures: Sequence[Path], threshold: float | None = None) -> list[list[dict[str, object]]]:
    """What `Detector.predict` says, with all digits."""
    detector = open_detector(file, threads=1)
    limits = limits_of(detector) if threshold is None else threshold
    found = detector.predict([read_picture(path) for path in pictures], score_threshold=limits)
    return [[{"class": detector.classes[int(k)], "score": float(s), "box": [float(v) for v in box]}
             for box, s, k in zip(one.boxes, one.scores, one.class_ids, strict=True)] for one in found]


def said(text: str) -> list[list[dict[str, object]]]:
    return [json.loads(line)["detections"] for line in text.splitlines()]


def test_it_is_the_package_to_the_last_bit_without_the_package(alone: Path, small: Path, photographs: list[Path],
                                                               tmp_path: Path) -> None:
    site, there = Path(np.__file__).parents[1], tmp_path / "libraries"
    there.mkdir()
    for name in LIBRARIES:
        if (site / name).exists():
            (there / name).symlink_to(site / name)
    done = subprocess.run([sys.executable, "-I", "-S", "-c", ALONE, str(there), str(alone / "predict.py"),
                           *map(str, photographs)], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    wanted = expected(small, photographs)
    assert said(done.stdout) == wanted
    assert sum(map(len, wanted)) > 50 and {row["class"] for rows in wanted for row in rows} == set(CLASSES)


@pytest.mark.parametrize("suppression", [
    '{"iou": null, "max_detections": 100, "top_k": 1000}', '{"iou": 0.1, "max_detections": 5, "top_k": 20}'])
def test_suppression_of_the_file_is_obeyed(suppression: str, photographs: list[Path], tmp_path: Path,
                                           bundle_of: Callable[..., Path]) -> None:
    file = small_onnx(tmp_path / "x.onnx", suppression=suppression)
    found = said(run_example(bundle_of(file), "--threshold", "0.05", *photographs[:3]))
    assert found == expected(file, photographs[:3], 0.05)
    assert max(map(len, found)) == json.loads(suppression)["max_detections"]


def test_an_exported_network_says_the_same(exported: Path, photographs: list[Path],
                                           bundle_of: Callable[..., Path]) -> None:
    found = said(run_example(bundle_of(exported), *photographs, flags=("-I",)))
    assert found == expected(exported, photographs) and any(found)


def test_pictures_of_the_mirror(alone: Path, small: Path, mirror: Path) -> None:
    pictures = sorted((mirror / "datasets/bccd/JPEGImages").iterdir())[:12]
    found = said(run_example(alone, *pictures))
    assert found == expected(small, pictures) and all(found)


def test_it_runs_where_it_was_moved_to(alone: Path, small: Path, photographs: list[Path], tmp_path: Path) -> None:
    moved = tmp_path / "a place with spaces" / "ünd mehr"
    shutil.copytree(alone, moved)
    assert said(run_example(moved, photographs[0])) == expected(small, photographs[:1])


@pytest.mark.parametrize("name", ["model.onnx", "bundle.json", "labels.txt", "processing.py", "predict.py"])
def test_a_byte_changed_is_refused_by_name(alone: Path, photographs: list[Path], tmp_path: Path, name: str) -> None:
    changed = shutil.copytree(alone, tmp_path / "changed")
    content = bytearray((changed / name).read_bytes())
    content[-1] ^= 1 if name == "model.onnx" else 0x2a  # "\n" becomes " ": scripts and JSON stay what they are
    (changed / name).write_bytes(content)
    told = run_example(changed, photographs[0], code=2)
    assert f"error: {name} is missing or was changed" in told and "Traceback" not in told


def test_a_file_that_is_gone_is_told(alone: Path, photographs: list[Path], tmp_path: Path) -> None:
    short = shutil.copytree(alone, tmp_path / "short")
    (short / "model.onnx").unlink()
    assert "model.onnx is missing" in run_example(short, photographs[0], code=2)


def test_no_gpu_is_told_and_the_cpu_is_a_choice(photographs: list[Path], tmp_path: Path,
                                                bundle_of: Callable[..., Path]) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    file = small_onnx(tmp_path / "x.onnx", device="cuda")
    bundle = bundle_of(file)
    told = run_example(bundle, photographs[0], code=2)
    assert "made for CUDAExecutionProvider" in told and "CPUExecutionProvider" in told
    found = said(run_example(bundle, photographs[0], "--provider", "CPUExecutionProvider"))
    assert found == said(run_example(bundle_of(small_onnx(tmp_path / "y.onnx")), photographs[0]))


def test_what_is_no_picture_is_told(alone: Path, tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_text("hello")
    for name in ("x.jpg", "gone.jpg"):
        told = run_example(alone, tmp_path / name, code=2)
        assert f"{name} cannot be read as a picture" in told and "Traceback" not in told


def test_the_example_is_short() -> None:
    lines = [line for line in EXAMPLE.read_text().splitlines() if line.strip()]
    assert len(lines) <= 70
