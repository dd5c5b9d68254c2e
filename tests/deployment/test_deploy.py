"""What `champion` points at is built, tried, placed and switched to; what fails is never used."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.base.errors import UserError
from tasks.base.files import read_json
from tasks.base.site import read_site
from tasks.deployment import deploy, following, placed, places, smoke
from tasks.registry import store
from tasks.registry.promotion import aliases, audit, remarks

from . import cases
from .cases import NAME, tags
from .cases import aliases as held

Add = Callable[..., str]
Heard = list[tuple[str, str]]


def link(root: Path, target: str = "cpu-fp32") -> Path:
    return root / "deployed" / NAME / target / places.CURRENT


def version_at(root: Path) -> str | None:
    return link(root).readlink().name.partition("-")[0].removeprefix("v") if link(root).is_symlink() else None


def promote(mlflow: Any, root: Path, number: str) -> None:
    aliases.promote(mlflow, NAME, number, reason="better", workspace=root)


def test_the_champion_is_placed_tagged_and_told_once(root: Path, mlflow: Any, add: Add, heard: Heard) -> None:
    mlflow.set_registered_model_alias(NAME if add() else "", "champion", "1")
    assert following.follow(None, root) == [f"{NAME} version 1: cpu-fp32 ok: 2 pictures"]
    assert link(root).readlink().name.startswith("v1-") and (link(root) / "predict.py").is_file()
    assert tags(mlflow, "1")["deployed.cpu-fp32"] == "ok" and heard == [("deployed", f"{NAME} version 1 is deployed")]
    (row,) = placed(root)
    assert (row["name"], row["target"], row["version"], row["whole"], row["smoke"]) == (
        NAME, "cpu-fp32", "1", True, "2 pictures")
    assert following.follow(None, root) == [] and len(heard) == 1
    assert not list((root / "deployed").rglob("__pycache__"))


def test_nothing_to_do_without_champion_or_targets(root: Path, mlflow: Any, add: Add) -> None:
    assert following.follow(None, root) == [] and placed(root) == []
    add()
    assert following.follow(None, root) == []
    cases.write_site(root, deploy={"targets": []})
    promote(mlflow, root, "1")
    assert following.follow(None, root) == [] and not (root / "deployed").exists()


def test_old_bundles_stay_as_many_as_the_site_says_and_leftovers_go(root: Path, mlflow: Any, add: Add) -> None:
    for number in [add() for _ in range(4)]:
        promote(mlflow, root, number)
        following.follow(None, root)
    folder = link(root).parent
    (folder / ".v9-killed.x1").mkdir()
    (folder / ".current.99").symlink_to("v4")
    promote(mlflow, root, "3")
    following.follow(None, root)
    names = sorted(path.name for path in folder.iterdir())
    assert [name[:2] for name in names if name[0] == "v"] == ["v2", "v3", "v4"]
    assert version_at(root) == "3" and not [name for name in names if name.startswith(".")]


def test_a_bundle_that_fails_its_smoke_test_is_never_used_and_the_alias_goes_back(
        root: Path, mlflow: Any, add: Add, spoiled_files: Path, heard: Heard) -> None:
    add()
    promote(mlflow, root, "1")
    following.follow(None, root)
    promote(mlflow, root, add(spoiled_files))
    heard.clear()
    lines = following.follow(None, root)
    assert "boxes are missing" in lines[0] and lines[1].startswith("rolled back: version 1 is champion again")
    assert held(mlflow) == {"champion": "1"} and version_at(root) == "1"
    told = mlflow.get_model_version(NAME, "2")
    assert told.tags["visionmill.deployed.cpu-fp32"].startswith("rolled back: the smoke test of version 2 failed")
    assert "Rolled back to version 1" in told.description
    assert [event for event, _ in heard] == ["rolled-back", "failed", "deployed"]
    entry = audit.entries(NAME, root)[-2]
    assert (entry.event, entry.by) == ("rolled-back", "ours") and "boxes are missing" in entry.reason
    assert following.follow(None, root) == [] and tags(mlflow, "1")["deployed.cpu-fp32"] == "ok"


def test_with_nothing_to_go_back_to_the_alias_stays_and_is_tried_once(root: Path, mlflow: Any, add: Add,
                                                                     spoiled_files: Path, heard: Heard) -> None:
    promote(mlflow, root, add(spoiled_files))
    heard.clear()
    assert "there is no version before it" in following.follow(None, root)[1]
    assert held(mlflow) == {"champion": "1"} and version_at(root) is None
    assert heard == [("failed", f"{NAME} version 1 is not deployed everywhere")]
    assert following.follow(None, root) == [] and len(heard) == 1


def test_when_the_version_before_fails_too_nothing_goes_round_in_circles(root: Path, mlflow: Any, add: Add,
                                                                        spoiled_files: Path) -> None:
    promote(mlflow, root, add())
    following.follow(None, root)
    for number in (add(spoiled_files), add(spoiled_files)):
        promote(mlflow, root, number)  # 2 was never tried: the watch was not there
    lines = following.follow(None, root)
    assert [line for line in lines if "went" in line or "rolled back" in line or "gone back to" in line] == [
        "rolled back: version 2 is champion again, version 3 was",
        "it is the version that was gone back to: `champion` stays, and so does what worked before: a person has to "
        "decide"]
    assert held(mlflow)["champion"] == "2" and version_at(root) == "1"
    assert following.follow(None, root) == []
    mlflow.set_registered_model_alias(NAME, "champion", "3")  # a person insists: once more, and no way back to 2
    assert "version 2 before it has failed too" in following.follow(None, root)[-1]
    assert held(mlflow)["champion"] == "3" and version_at(root) == "1"


def sick_no_files(mlflow: Any, add: Add, root: Path) -> str:
    number = add()
    shutil.rmtree(Path(mlflow.get_model_version_download_uri(NAME, number).removeprefix("file://")))
    return number


def sick_deleted_run(mlflow: Any, add: Add, root: Path) -> str:
    number = add()
    mlflow.delete_run(mlflow.get_model_version(NAME, number).run_id)
    return number


def sick_imported(mlflow: Any, add: Add, root: Path) -> str:
    return add(gate="not asked: imported", imported="yes")


@pytest.mark.parametrize(("make", "why"), [(sick_no_files, "no files that can be deployed"),
                                           (sick_deleted_run, "is deleted"), (sick_imported, "an imported model")])
def test_a_version_that_cannot_be_deployed_says_why_and_the_old_one_stays(
        root: Path, mlflow: Any, add: Add, heard: Heard, make: Callable[..., str], why: str) -> None:
    promote(mlflow, root, add())
    following.follow(None, root)
    number = make(mlflow, add, root)
    mlflow.set_registered_model_alias(NAME, "champion", number)
    heard.clear()
    assert why in following.follow(None, root)[0]
    version = mlflow.get_model_version(NAME, number)
    assert why in version.description and why in version.tags["visionmill.deployed.cpu-fp32"]
    assert held(mlflow) == {"champion": number, "previous": "1"} and version_at(root) == "1"
    assert heard[-1] == ("failed", f"{NAME} version {number} is not deployed everywhere")
    before = len(heard)
    assert following.follow(None, root) == [] and len(heard) == before


POINTS = [(places.Place, "switch", False), (places.Place, "switch", True), (remarks, "tag", False)]
MORE = [pytest.param(*point, marks=pytest.mark.slow)
        for point in ((smoke, "_run", True), (places.Place, "remember", True), (following, "write_json", False))]


@pytest.mark.parametrize(("where", "point", "after"), [*POINTS, *MORE])
def test_killed_anywhere_the_next_look_finishes(root: Path, mlflow: Any, add: Add, where: Any, point: str, after: bool,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    promote(mlflow, root, add())
    following.follow(None, root)
    promote(mlflow, root, add())
    real = getattr(where, point)

    def killed(*words: Any, **options: Any) -> None:
        if after:
            real(*words, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(where, point, killed)
    with pytest.raises(KeyboardInterrupt):
        following.follow(None, root)
    assert (link(root) / "predict.py").is_file() and version_at(root) in ("1", "2")  # whole, the old one or the new one
    monkeypatch.undo()
    following.follow(None, root)
    assert version_at(root) == "2" and tags(mlflow, "2")["deployed.cpu-fp32"] == "ok"
    assert placed(root)[0]["version"] == "2" and following.follow(None, root) == []


def test_killed_in_an_automatic_rollback_the_next_look_says_the_rest(
        root: Path, mlflow: Any, add: Add, spoiled_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    promote(mlflow, root, add())
    following.follow(None, root)
    promote(mlflow, root, add(spoiled_files))

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(following, "_say_rolled_back", killed)
    with pytest.raises(KeyboardInterrupt):
        following.follow(None, root)
    monkeypatch.undo()
    following.follow(None, root)
    assert held(mlflow) == {"champion": "1"} and version_at(root) == "1"
    assert tags(mlflow, "2")["deployed.cpu-fp32"].startswith("rolled back")


def test_two_watches_at_once_deploy_once(root: Path, mlflow: Any, add: Add, heard: Heard) -> None:
    promote(mlflow, root, add())
    done: list[list[str]] = []
    threads = [threading.Thread(target=lambda: done.append(following.follow(None, root))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, done)) == [0, 0, 1] and [event for event, _ in heard].count("deployed") == 1


def test_the_newest_wins_while_another_is_built(root: Path, mlflow: Any, add: Add,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    add()
    promote(mlflow, root, "1")
    add()
    real = smoke._run

    def meanwhile(*words: Any) -> Any:
        if held(mlflow)["champion"] == "1":
            mlflow.set_registered_model_alias(NAME, "champion", "2")
        return real(*words)

    monkeypatch.setattr(smoke, "_run", meanwhile)
    lines = following.follow(None, root)
    assert "became champion meanwhile" in lines[0] and version_at(root) == "2"
    assert [entry["version"] for entry in read_json(link(root).parent / places.RECORD)["history"]] == ["2"]


def test_a_removed_or_changed_bundle_is_made_again(root: Path, mlflow: Any, add: Add) -> None:
    promote(mlflow, root, add())
    following.follow(None, root)
    (link(root) / "model.onnx").write_bytes(b"changed")
    assert placed(root)[0]["whole"] is False
    assert deploy(NAME, "1", root).ok and placed(root)[0]["whole"] is True
    shutil.rmtree(link(root).resolve())
    assert following.follow(None, root) and placed(root)[0]["whole"] is True


def test_a_target_that_the_version_cannot_serve_is_refused_and_the_others_go_on(root: Path, mlflow: Any,
                                                                                add: Add) -> None:
    cases.write_site(root, deploy={"targets": ["cpu-int8", "cpu-fp32", "nonsense"]})
    promote(mlflow, root, add())
    lines = following.follow(None, root)
    assert version_at(root) == "1" and len(lines) == 3
    assert "8 bits want pictures to calibrate with" in tags(mlflow, "1")["deployed.cpu-int8"]
    assert tags(mlflow, "1")["deployed.cpu-fp32"] == "ok" and "nonsense" in tags(mlflow, "1")["deployed.nonsense"]
    assert held(mlflow) == {"champion": "1"} and following.follow(None, root) == []


@pytest.mark.slow
def test_another_target_is_exported_from_the_weights_that_the_version_carries(root: Path, mlflow: Any, add: Add,
                                                                             tmp_path: Path) -> None:
    import torch

    from tasks.models.preset import DetectorPreset
    from tasks.models.store import Structure, save_model

    torch.manual_seed(0)
    structure = Structure(DetectorPreset(backbone="resnet18", image_size=128, levels=3), ["a", "b"], 96, 128,
                          line="0123", thresholds={"a": 0.5, "b": 0.5})
    files = cases.model_folder(tmp_path / "model", smoke=False)
    save_model(files / "pruned", structure, structure.build().state_dict())
    promote(mlflow, root, add(files, artefact="pruned/cpu-int8"))
    assert following.follow(None, root) == [f"{NAME} version 1: cpu-fp32 ok: a made picture"]
    told = read_json(link(root) / "bundle.json")
    assert told["provenance"]["artefact"] == "pruned/cpu-fp32" and told["classes"] == ["a", "b"]
    assert told["measured"] == {}  # of the judged file, not of this one


def test_a_version_that_is_not_there_is_the_users_error(root: Path, mlflow: Any, add: Add) -> None:
    add()
    with pytest.raises(UserError, match="has no version 7"):
        deploy(NAME, "7", root)
    with pytest.raises(UserError, match="cannot be the name of a folder"):
        places.place("..", "cpu-fp32", root, read_site(root))


def test_the_store_away_is_no_verdict_on_a_version(root: Path, mlflow: Any, add: Add,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    promote(mlflow, root, add())
    monkeypatch.setattr(store, "client", lambda workspace: (_ for _ in ()).throw(UserError("the store is away")))
    with pytest.raises(UserError, match="away"):
        following.follow(None, root)
    monkeypatch.undo()
    assert following.follow(None, root) and version_at(root) == "1"
