"""A fresh bundle is tried in a process of its own, against the answers that its version carries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.base.files import write_json
from tasks.base.site import Deploy
from tasks.deployment import smoke

from . import cases


class TestSmoke:
    """One bundle, tried in a process of its own."""

    def bundle(self, folder: Path, **options: Any) -> tuple[Path, Path]:
        from tasks.bundle.make import make_bundle

        files = cases.model_folder(folder / "model", **options)
        return make_bundle(str(files / "artifacts/model.onnx"), folder / "bundle"), files / "smoke"

    def test_its_own_answers_pass_and_a_made_picture_does(self, tmp_path: Path) -> None:
        bundle, pictures = self.bundle(tmp_path)
        assert smoke.try_bundle(bundle, pictures, Deploy()) == smoke.Smoke(True, "2 pictures")
        assert smoke.try_bundle(bundle, pictures, Deploy(smoke_pictures=1)).text == "1 pictures"
        assert smoke.try_bundle(bundle, None, Deploy()) == smoke.Smoke(True, "a made picture")

    def test_not_a_number_fails(self, tmp_path: Path) -> None:
        bundle, _ = self.bundle(tmp_path, nan=True)
        assert smoke.try_bundle(bundle, None, Deploy()) == smoke.Smoke(
            False, "it answers with numbers that are not finite")

    def test_a_changed_file_a_dead_example_and_one_that_hangs_fail(self, tmp_path: Path) -> None:
        bundle, _ = self.bundle(tmp_path)
        (bundle / "labels.txt").write_text("other\n")
        assert "labels.txt is missing or was changed" in smoke.try_bundle(bundle, None, Deploy()).text
        (bundle / "predict.py").write_text("import os\nos.kill(os.getpid(), 11)\n")
        assert "exit code -11" in smoke.try_bundle(bundle, None, Deploy()).text
        (bundle / "predict.py").write_text("import time\ntime.sleep(600)\n")
        assert smoke.try_bundle(bundle, None, Deploy(smoke_timeout_s=2)).text == "no answer within 2 s"

    def test_it_sees_no_secret(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        bundle, _ = self.bundle(tmp_path)
        monkeypatch.setenv("TOP_SECRET", "tr0ub4dor")
        (bundle / "predict.py").write_text("import os, sys\nsys.exit(os.environ.get('TOP_SECRET', 'nothing'))\n")
        assert smoke.try_bundle(bundle, None, Deploy()).text == "it does not run: nothing"

    @pytest.mark.parametrize("content", ["", "[]", '{"pictures": [{}], "score_threshold": 0.1}',
                                         '{"pictures": 3, "score_threshold": 0.1}', '{"pictures": []}'])
    def test_answers_that_cannot_be_read_count_as_none(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "answers.json").write_text(content)
        assert smoke.expected(tmp_path, 4) == (None, [])

    def test_a_picture_outside_the_version_is_not_opened(self, tmp_path: Path) -> None:
        (tmp_path / "outside.png").write_bytes(cases.picture(0))
        row = {"file": "../outside.png", "classes": [], "scores": [], "boxes": []}
        write_json(tmp_path / "smoke/answers.json", {"score_threshold": 0.1, "pictures": [row]})
        assert smoke.expected(tmp_path / "smoke", 4) == (0.1, [])


BOX = {"class": "a", "score": 0.9, "box": [0.0, 0.0, 10.0, 10.0]}


@pytest.mark.parametrize(("wanted", "got", "same"), [
    ([], [], True), ([BOX], [BOX], True), ([BOX], [], False), ([], [BOX], False),
    ([BOX], [{**BOX, "score": 0.85}], True), ([BOX], [{**BOX, "score": 0.7}], False),
    ([BOX], [{**BOX, "class": "b"}], False), ([BOX], [{**BOX, "box": [3.0, 3.0, 13.0, 13.0]}], False),
    ([BOX, {**BOX, "score": 0.06}], [BOX], True), ([{**BOX, "score": 0.2}], [{**BOX, "score": 0.2}], True),
    ([{**BOX, "score": 0.2}, {**BOX, "score": 0.05}], [{**BOX, "class": "b", "score": 0.05}], False)])
def test_difference(wanted: list[dict[str, Any]], got: list[dict[str, Any]], same: bool) -> None:
    assert (smoke.difference(wanted, got, smoke.SAME) is None) is same
