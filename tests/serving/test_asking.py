"""What a client asks and gets: pictures in every form, settings, and what is wrong with either."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tasks.data.pictures import read_picture
from tasks.runtime.detector import open_detector
from tasks.seeing.looking import Looker
from tasks.seeing.options import Options
from tests.quarters import coloured

from .pictures import bomb, coded, form, text
from .running import WAIT_S, Server


def turned(orientation: int) -> dict[str, Any]:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return {"exif": exif.tobytes()}


def photograph(seed: int = 0, size: tuple[int, int] = (131, 77)) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))


FILES = {
    "plain.png": coded(coloured(0, 1, None, 0)), "photo.jpg": coded(photograph(), "JPEG", quality=90),
    **{f"turned{n}.jpg": coded(photograph(1), "JPEG", **turned(n)) for n in (3, 6, 8)},
    "turned.png": coded(coloured(0, 1), "PNG", **turned(6)), "grey.png": coded(coloured(0, 1)[..., 0]),
    "deep.png": coded(photograph(2)[..., 0].astype(np.uint16) * 257), "deep.tiff": coded(
        photograph(2)[..., 0].astype(np.int32) * 257, "TIFF"),
    "clear.png": coded(np.dstack([coloured(0, 1), np.full((64, 96), 9, np.uint8)])),
    "photo.webp": coded(photograph(3), "WEBP"), "photo.gif": coded(photograph(4), "GIF"),
    "photo.bmp": coded(photograph(5), "BMP"), "one.ppm": coded(photograph(6, (1, 1)), "PPM"),
}


@pytest.mark.parametrize("name", FILES)
def test_answer_equals_what_predict_says_of_the_file(server: Server, quarters: Path, tmp_path: Path,
                                                     name: str) -> None:
    file = tmp_path / name
    file.write_bytes(FILES[name])
    picture, detector = read_picture(file), open_detector(quarters)
    for query, threshold in (("?score_threshold=0.05", 0.05), ("?score_threshold=0.3&max_detections=2", 0.3)):
        (found,) = detector.predict([picture], threshold, 2 if "max" in query else None)
        said = server.predict(FILES[name], query).json
        assert (said["height"], said["width"]) == picture.shape[:2]
        assert [row["box"] for row in said["detections"]] == found.boxes.tolist()
        assert [row["score"] for row in said["detections"]] == found.scores.tolist()
        assert [row["class"] for row in said["detections"]] == [detector.classes[k] for k in found.class_ids]
    drawn = Looker(str(quarters), Options())(picture)
    rounded = [{"class": row["class"], "score": round(row["score"], 4), "box": [round(v, 2) for v in row["box"]]}
               for row in server.predict(FILES[name]).json["detections"]]
    assert rounded == drawn


def test_an_answer_says_what_answered(server: Server, quarters: Path) -> None:
    from tasks.base.files import digest_file

    said = server.predict(coded(), kind="image/png").json
    assert said["model"] == "quarters" and said["version"] is None and said["provider"] == "CPUExecutionProvider"
    assert said["sha256"] == digest_file(quarters) and set(said["milliseconds"]) == {"decode", "infer"}


def test_all_forms_hold_the_same_pictures(server: Server) -> None:
    one, two = coded(coloured(0, 1)), coded(coloured(None, 0, 1))
    alone = server.predict(one).json["detections"]
    assert [row["class"] for row in alone] == ["red", "green"]
    for kind in ("image/png", "application/octet-stream", "application/x-www-form-urlencoded"):
        assert server.predict(one, kind=kind).json["detections"] == alone
    both = [alone, server.predict(two).json["detections"]]
    assert server.predict({"image": text(one)}).json["detections"] == alone
    assert server.predict({"image": f"data:image/png;base64,{text(one)}"}).json["detections"] == alone
    assert server.predict(*arranged(form({"a.png": one}))).json["detections"] == alone
    for reply in (server.predict({"images": [text(one), text(two)]}),
                  server.predict(*arranged(form({"a.png": one, "b.png": two})))):
        assert [row["detections"] for row in reply.json["pictures"]] == both
    assert len(server.predict({"images": [text(one)]}).json["pictures"]) == 1


def arranged(made: tuple[bytes, str]) -> tuple[bytes, str, str]:
    return made[0], "", made[1]


@pytest.mark.parametrize("asked", [
    {"score_threshold": 0.95}, {"thresholds": {"red": 0.95}}, {"max_detections": 1},
    {"score_threshold": 0.99, "thresholds": {"green": 0.1}}])
def test_settings_say_the_same_in_the_address_a_form_and_json(server: Server, asked: dict[str, Any]) -> None:
    from urllib.parse import urlencode

    picture = coded(coloured(0, 1, 0))
    plain = {name: json.dumps(value) for name, value in asked.items()}
    said = server.predict(picture, "?" + urlencode(plain)).json["detections"]
    assert said == server.predict({"image": text(picture), **asked}).json["detections"]
    assert said == server.predict(*arranged(form({"a.png": picture}, plain))).json["detections"]
    counts = {"score_threshold": 0, "thresholds": 1, "max_detections": 1}
    assert [len(said), {row["class"] for row in said}] == (
        [1, {"green"}] if len(asked) == 2 else [counts[next(iter(asked))], {"green"} if "thresholds" in asked else
                                                 {"red"} if "max_detections" in asked else set()])


@pytest.mark.parametrize(("query", "reason"), [
    ("?score_threshold=2", "from 0 to 1"), ("?score_threshold=nan", "from 0 to 1"), ("?score_threshold=x", "0 to 1"),
    ("?max_detections=0", "whole number"), ("?max_detections=1e9", "whole number"), ("?max_detections=a", "whole"),
    ("?treshold=0.5", "did you mean 'thresholds'"), ("?thresholds=0.5", "an object"),
    ("?thresholds=%7B", "JSON object"),
    ("?thresholds=%7B%22rad%22:0.5%7D", "did you mean 'red'"), ("?thresholds=%7B%22red%22:7%7D", "from 0 to 1"),
    ("?score_threshold=0.1&score_threshold=0.2", "given twice")])
def test_wrong_settings(server: Server, query: str, reason: str) -> None:
    reply = server.predict(coded(), query)
    assert reply.status == 400 and reason in reply.json["error"]


@pytest.mark.parametrize(("body", "reason"), [
    (b"", "0 bytes"), (b"hello", "not a picture"), (coded(photograph())[:900], "not a picture"),
    (bomb(), "too many pixels"), (bomb(12_000), "12000 x 12000 pixels, too many"), (b"\0" * 100_000, "not a picture"),
    (coded(coloured(0), "ICO"), "not a picture"), (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture")])
def test_bad_pictures(server: Server, body: bytes, reason: str) -> None:
    reply = server.predict(body)
    assert reply.status == 400 and reason in reply.json["error"]
    listed = server.predict({"images": [text(coded()), text(body)]})
    assert listed.status == 400 and listed.json["error"].startswith("image 1 ") and reason in listed.json["error"]


@pytest.mark.parametrize(("body", "kind", "status", "reason"), [
    (b"{", "application/json", 400, "no JSON"), (b"[1]", "application/json", 400, "JSON object"),
    (b"[" * 100_000, "application/json", 400, "no JSON"), (b"{}", "application/json", 400, "image 0 is not base64"),
    (b'{"images": []}', "application/json", 400, "no picture"), (b'{"images": "x"}', "application/json", 400, "a list"),
    (b'{"image": 7}', "application/json", 400, "not base64"), (b'{"image": "a b!"}', "application/json", 400, "base64"),
    (b'{"image": "http://127.0.0.1/a.png"}', "application/json", 400, "addresses are not fetched"),
    (json.dumps({"images": ["x"] * 300}).encode(), "application/json", 400, "at most 256"),
    (b"\xff\xfe", "application/json", 400, "no JSON"), (b"x", "text/html", 415, "text/html"),
    (b"x", "multipart/form-data", 400, "boundary"), (b"x", "multipart/form-data; boundary=b", 400, "boundary"),
    (form({"a": b"x"})[0][:60], form({})[1], 400, "cut off"), (form({})[0], form({})[1], 400, "no picture"),
    (form({}, {"max_detections": "1"})[0], form({})[1], 400, "no picture")])
def test_bad_bodies(server: Server, body: bytes, kind: str, status: int, reason: str) -> None:
    reply = server.predict(body, kind=kind)
    assert reply.status == status and reason in reply.json["error"], reply


def test_settings_in_two_places_are_refused(server: Server) -> None:
    reply = server.predict({"image": text(coded()), "max_detections": 1}, "?max_detections=2")
    assert reply.status == 400 and "twice" in reply.json["error"]


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/", 404), ("GET", "/v1/models/nobody", 404), ("POST", "/v1/models/nobody/predict", 404),
    ("GET", "/v1/models/quarters/predict", 405), ("PUT", "/health", 405), ("GET", "/v1/batches/../../etc/passwd", 404),
    ("GET", "/v1/batches/%2e%2e", 404), ("DELETE", "/v1/batches/nothing", 404)])
def test_addresses_that_are_none(server: Server, method: str, path: str, status: int) -> None:
    reply = server.ask(method, path, b"x" * 1000 if method == "POST" else None)
    assert reply.status == status and reply.json["error"] and ("allow" in reply.headers) == (status == 405)


def test_a_hundred_megabytes_are_refused_unread(server: Server) -> None:
    before = server.mb()
    line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT_S)
    line.putrequest("POST", "/v1/models/quarters/predict")
    line.putheader("Content-Length", "100000000")
    line.endheaders()
    answer = line.getresponse()  # not one byte of the body was sent
    assert answer.status == 413 and "100,000,000" in json.loads(answer.read())["error"]
    line.close()
    # a client that sends all of it before it listens sees the same
    assert server.predict(b"\0" * 100_000_000).status == 413
    assert server.mb() < before + 40


def test_a_body_that_does_not_say_its_size_is_cut(server: Server) -> None:
    before = server.mb()
    reply = server.ask("POST", "/v1/models/quarters/predict", iter([b"\0" * 1_000_000] * 60))
    assert reply.status == 413 and server.mb() < before + 80
    assert server.predict(coded()).status == 200


@pytest.mark.parametrize("content", [
    {"dataframe_split": {"columns": ["image"], "data": [["?"], ["?"]]}}, {"inputs": {"image": ["?", "?"]}},
    {"dataframe_records": [{"image": "?"}, {"image": "?"}]}, {"instances": [{"image": "?"}, {"image": "?"}]},
    {"inputs": ["?", "?"]}])
def test_clients_of_mlflow(server: Server, content: dict[str, Any]) -> None:
    asked = json.loads(json.dumps({**content, "params": {"score_threshold": 0.7, "max_detections": 1}}).replace(
        "?", text(coded(coloured(0, 1)))))
    alone = server.predict(coded(coloured(0, 1)), "?score_threshold=0.7&max_detections=1").json["detections"][0]
    for path in ("/invocations", "/v1/models/quarters/invocations"):
        row, other = server.ask("POST", path, asked).json["predictions"]
        assert row == other == {"boxes": [alone["box"]], "classes": [alone["class"]], "scores": [alone["score"]]}
    assert server.ask("GET", "/ping").status == 200 and server.ask("GET", "/version").body


@pytest.mark.parametrize(("content", "reason"), [
    ({"inputs": {"image": ["rubbish!"]}}, "image 0 is not base64"), ({}, "exactly one of"),
    ({"inputs": [], "instances": []}, "exactly one of"), ({"inputs": {"picture": []}}, "not base64"),
    ({"dataframe_split": {"columns": ["a"], "data": [[1]]}}, "`image`"), ({"dataframe_split": []}, "dataframe_split"),
    ({"dataframe_split": {"columns": ["image"], "data": [[1, 2]]}}, "1 values"),
    ({"instances": [1], "params": 3}, "params"), ({"inputs": {"image": ["http://127.0.0.1/a"]}}, "not fetched")])
def test_what_clients_of_mlflow_do_wrong(server: Server, content: dict[str, Any], reason: str) -> None:
    reply = server.ask("POST", "/invocations", content)
    assert reply.status == 400 and reply.json["error_code"] == "BAD_REQUEST" and reason in reply.json["message"]
    assert server.ask("POST", "/invocations", b"a,b", "text/csv").status == 415


def test_the_document_is_openapi_and_names_every_address(server: Server) -> None:
    validator = pytest.importorskip("openapi_spec_validator")
    told = server.get("/openapi.json")
    validator.validate(told)
    named = {(method.upper(), path) for path, methods in told["paths"].items() for method in methods}
    assert {("POST", "/v1/models/{name}/predict"), ("DELETE", "/v1/batches/{id}"), ("POST", "/invocations")} <= named
    for method, path in named:
        reply = server.ask(method, path.replace("{name}", "quarters").replace("{id}", "x"), b"" if method == "POST"
                           else None)
        assert reply.status != 405 and "there is nothing at" not in reply.body.decode()


def test_an_answer_is_as_the_document_says(server: Server) -> None:
    validator = pytest.importorskip("openapi_schema_validator")
    told = server.get("/openapi.json")["components"]["schemas"]
    for name, reply in (("Answer", server.predict(coded())), ("Answers", server.predict({"images": [text(coded())]})),
                        ("Error", server.predict(b"x")), ("Model", server.ask("GET", "/v1/models/quarters"))):
        validator.validate(reply.json, told[name])


def test_metrics_count(server: Server) -> None:
    def count(line: str) -> float:
        said = server.ask("GET", "/metrics").body.decode().splitlines()
        return next((float(row.rpartition(" ")[2]) for row in said if row.startswith(f"visionmill_{line} ")), 0.0)

    good, bad = 'requests_total{model="quarters",status="200"}', 'requests_total{model="quarters",status="400"}'
    before = count(good), count(bad), count('pictures_total{model="quarters"}')
    server.predict({"images": [text(coded())] * 3})
    server.predict(b"x")
    assert (count(good), count(bad)) == (before[0] + 1, before[1] + 1)
    assert count('pictures_total{model="quarters"}') == before[2] + 3
    assert count('processes{model="quarters"}') == 1 and count('request_seconds_count{model="quarters"}') >= 1
