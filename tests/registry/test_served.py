"""The registered model answers pictures with boxes, as `tasks.runtime` does, in process and over HTTP."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tasks.registry.versions import global_uri, resolve_model
from tasks.runtime.detector import open_detector

from .cases import tiny_onnx


def scene(width: int = 61, height: int = 47, seed: int = 0) -> np.ndarray:
    """Blocks of colour, so that neighbouring boxes of one class overlap and the best must be kept."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.NEAREST))


def coded(picture: np.ndarray, form: str = "PNG", **options: Any) -> str:
    content = io.BytesIO()
    Image.fromarray(picture).save(content, form, **options)
    return base64.b64encode(content.getvalue()).decode()


@pytest.fixture(scope="module")
def loaded(registered: Path) -> Any:
    import mlflow

    with global_uri(registered):
        return mlflow.pyfunc.load_model("models:/cells@champion")


@pytest.mark.parametrize("size", [(61, 47), (32, 32), (20, 90), (300, 7), (1, 1)])
@pytest.mark.parametrize("threshold", [0.05, 0.5, 0.99])
def test_answer_equals_the_runtime(loaded: Any, registered: Path, size: tuple[int, int], threshold: float) -> None:
    pictures = [scene(*size, seed=seed) for seed in range(3)]
    detector = open_detector(resolve_model("models:/cells@champion", workspace=registered), threads=1)
    expected = detector.predict(pictures, score_threshold=threshold, max_detections=9)
    frame = pd.DataFrame({"image": [coded(picture) for picture in pictures]})
    answer = loaded.predict(frame, params={"score_threshold": threshold, "max_detections": 9})
    for row, found in zip(answer.to_dict("records"), expected, strict=True):
        assert row["boxes"] == found.boxes.tolist() and row["scores"] == found.scores.tolist()
        assert row["classes"] == [detector.classes[i] for i in found.class_ids]


def test_thresholds_of_the_file_hold_when_none_is_asked(loaded: Any) -> None:
    answer = loaded.predict(pd.DataFrame({"image": [coded(scene())]}))
    assert len(answer.scores[0]) and min(answer.scores[0]) > 0.6
    fewer = loaded.predict(pd.DataFrame({"image": [coded(scene())]}), params={"score_threshold": 0.9})
    assert len(fewer.scores[0]) < len(answer.scores[0])


def test_rotated_by_exif_and_grey_and_transparent(loaded: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = np.rot90(scene(), k=-1)
    rows = [coded(scene(), "PNG", exif=exif.tobytes()), coded(upright), coded(scene()[..., 0]),
            coded(np.dstack([scene(), np.full((47, 61), 9, np.uint8)]))]
    answer = loaded.predict(pd.DataFrame({"image": rows}), params={"score_threshold": 0.5})
    assert answer.boxes[0] == answer.boxes[1] and len(answer) == 4


@pytest.mark.parametrize(("text", "message"), [
    ("not base64!", "image 1 is not base64"), (base64.b64encode(b"hello").decode(), "image 1 is not a picture"),
    ("", "image 1 is not a picture"), (coded(scene(200, 200))[:400], "image 1 is not a picture")])
def test_bad_pictures(loaded: Any, text: str, message: str) -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match=message) as caught:
        loaded.predict(pd.DataFrame({"image": [coded(scene()), text]}))
    assert caught.value.get_http_status_code() == 400


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bomb_and_too_many(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.exceptions import MlflowException

    bomb = coded(np.zeros((11000, 11000), dtype=np.uint8), compress_level=1)
    for rows, message in (([bomb], "too many"), (["x"] * 300, "300 pictures in one request")):
        with pytest.raises(MlflowException, match=message) as caught:
            loaded.predict(pd.DataFrame({"image": rows}))
        assert caught.value.get_http_status_code() == 400


def test_files_hold_no_pickle_and_no_path_of_this_machine(registered: Path) -> None:
    folder = resolve_model("models:/cells/1", "all", registered)
    names = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert {"served.py", "MLmodel", "artifacts/pruned.onnx", "input_example.json", "trained/model.json",
            "pruned/model.safetensors", "lineage/params.yaml", "report/index.html"} <= names
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".pt", ".pth"))]
    told = (folder / "MLmodel").read_text()
    assert str(Path(__file__).parents[2]) not in told and str(registered) not in told
    needs = (folder / "requirements.txt").read_text().split()
    assert [line.split("==")[0] for line in needs] == ["mlflow", "numpy", "pillow", "onnxruntime", "pandas"]


def test_thresholds_in_every_form() -> None:
    from tasks.serving.decoding import thresholds_of

    for stated, expected in ((None, [0.5, 0.5]), (0.3, [0.3, 0.3]), ([0.1, 0.2], [0.1, 0.2]),
                             ({"square": 0.7}, [0.5, 0.7]), ({}, [0.5, 0.5])):
        assert thresholds_of(stated, ["round", "square"]).tolist() == pytest.approx(expected)


def test_what_is_stated_twice_is_equal() -> None:
    from tasks.registry import served
    from tasks.runtime.postprocess import Suppression
    from tasks.seeing import opening
    from tasks.serving import decoding

    assert opening.DEFAULT_THRESHOLD == decoding.DEFAULT_THRESHOLD and Suppression().top_k == served.TOP_K


def test_the_code_in_a_model_stands_alone(tmp_path: Path) -> None:
    """Where our package cannot be imported it answers as `tasks.runtime` does; two of them are the same bytes."""
    from tasks.registry.alone import write_code

    code = write_code(tmp_path)
    (tmp_path / "again").mkdir()
    assert code.read_bytes() == write_code(tmp_path / "again").read_bytes()
    model, picture = tmp_path / "m.onnx", scene(300, 200)
    tiny_onnx(model)
    asked = (f"import sys, json, types; sys.path.insert(0, {str(tmp_path)!r}); import pandas as pd, served\n"
             "model = served.ServedDetector()\n"
             f"model.load_context(types.SimpleNamespace(artifacts={{'model': {str(model)!r}}}))\n"
             f"frame = pd.DataFrame({{'image': [{coded(picture)!r}]}})\n"
             "ours = [name for name in sys.modules if name.split('.')[0] in ('tasks', 'flows', 'torch')]\n"
             "print(json.dumps([ours, model.predict(None, frame).to_dict('records')]))")
    done = subprocess.run([sys.executable, "-I", "-c", asked], capture_output=True, text=True, check=True, cwd=tmp_path)
    ours, (row,) = json.loads(done.stdout.splitlines()[-1])
    found = open_detector(model, threads=1).predict([picture], 0.6, 100)[0]
    assert not ours and row["boxes"] == found.boxes.tolist() and row["scores"] == found.scores.tolist()


@pytest.mark.parametrize(("form", "kind"), [("PNG", np.uint16), ("TIFF", np.uint16), ("TIFF", np.int32)])
def test_sixteen_bits_are_read_as_the_package_reads_them(tmp_path: Path, form: str, kind: Any) -> None:
    from tasks.data.pictures import read_picture
    from tasks.registry.served import read

    deep = scene()[..., 0].astype(kind) * 257
    Image.fromarray(deep).save(tmp_path / "a", form)
    found = read((tmp_path / "a").read_bytes(), 0)
    assert np.array_equal(found, read_picture(tmp_path / "a")) and np.array_equal(found[..., 0], scene()[..., 0])


@pytest.mark.parametrize("form", ["ICO", "TGA", "PCX", "EPS", "JPEG2000"])
def test_other_decoders_are_not_tried(form: str) -> None:
    from mlflow.exceptions import MlflowException

    from tasks.registry.served import read

    with pytest.raises(MlflowException, match="image 3 is not a picture that can be read"):
        read(coded(scene(), form), 3)


@pytest.mark.parametrize("error", [struct.error("unpack requires 4 bytes"), zlib.error("Error -3"), IndexError("9")])
def test_any_error_of_a_decoder_is_the_picture(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    from mlflow.exceptions import MlflowException

    from tasks.registry.served import read

    def broken(*_: Any) -> None:
        raise error

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", broken)
    with pytest.raises(MlflowException, match=f"image 0 is not a picture that can be read: {error}") as caught:
        read(coded(scene()), 0)
    assert caught.value.get_http_status_code() == 400


def test_server_answers(registered: Path) -> None:
    """What a user does: `mlflow models serve`, then a picture by HTTP."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/cells@champion", "--env-manager", "local",
         "--host", "127.0.0.1", "--port", str(port)], cwd=registered, env={**os.environ, "PATH": path},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_up(server, f"{url}/ping")
        picture = coded(scene())
        answer = ask(url, {"inputs": {"image": [picture]}, "params": {"score_threshold": 0.5}})
        row = answer["predictions"][0]
        assert row["boxes"] and len(row["boxes"]) == len(row["scores"]) and set(row["classes"]) <= {"round", "square"}
        assert ask(url, {"dataframe_split": {"columns": ["image"], "data": [[picture], [picture]]}})["predictions"]
        with pytest.raises(urllib.error.HTTPError) as caught:
            ask(url, {"inputs": {"image": ["rubbish!"]}})
        assert caught.value.code == 400 and "image 0 is not base64" in caught.value.read().decode()
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def wait_until_up(server: subprocess.Popen[bytes], url: str) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end:
        if server.poll() is not None:
            assert server.stderr is not None
            pytest.fail(f"the server ended: {server.stderr.read().decode()[-2000:]}")
        try:
            urllib.request.urlopen(url, timeout=2)
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail("the server did not answer within 90 s")


def ask(url: str, content: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(f"{url}/invocations", json.dumps(content).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())
