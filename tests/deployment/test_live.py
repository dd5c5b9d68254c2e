"""The real thing: MLflow's server delivers its webhook to the watch, which deploys; and what the watch survives."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.watching import Watch, alone, main
from tasks.base.errors import UserError, WorkspaceBusy
from tasks.registry import store
from tasks.registry.promotion import aliases, audit

from . import cases, live
from .cases import NAME, tags

Add = Callable[..., str]


def test_a_promotion_in_the_real_server_arrives_by_webhook_and_is_deployed(root: Path, good_files: Path,
                                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    cases.write_site(root, deploy={"targets": ["cpu-fp32"], "poll_s": 3600})  # a poll would come too late
    with live.mlflow_server(root, base64.urlsafe_b64encode(os.urandom(32)).decode()) as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        mlflow = store.client(root)
        for gate in ("passed", "refused: AP"):
            cases.add_version(mlflow, root, good_files, gate=gate)
        with live.watch(root, url):
            mlflow.set_registered_model_alias(NAME, "champion", "2")  # as the UI does
            live.wait(lambda: tags(mlflow, "2").get("deployed.cpu-fp32") == "ok", "the deployment")
        assert (root / "deployed" / NAME / "cpu-fp32" / "current" / "predict.py").is_file()
        assert tags(mlflow, "2")["by_hand"] == "yes"
        entry = audit.entries(NAME, root)[-1]
        assert (entry.to_version, entry.by, entry.gate) == ("2", "webhook", "refused: AP") and audit.has_gaps(root)


def test_the_store_away_for_a_day_is_said_once_and_survived(root: Path, mlflow: Any, add: Add,
                                                            monkeypatch: pytest.MonkeyPatch,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    watch = Watch(root)
    aliases.promote(mlflow, NAME, add(), reason="first", workspace=root)
    away = UserError("the MLflow store cannot be reached: http://ana:s3cret@mlflow:5000 is away")
    monkeypatch.setattr(store, "client", lambda workspace: (_ for _ in ()).throw(away))
    for _ in range(3):
        assert watch.step() == 1.0
    said = capsys.readouterr().out
    assert said.count("cannot be reached") == 1 and "s3cret" not in said and watch.state["status"] == "waiting"
    monkeypatch.undo()
    monkeypatch.setenv("PREFECT_API_URL", "")
    watch.step()
    assert "it works again" in capsys.readouterr().out and watch.state["status"] == "ok"
    assert tags(mlflow, "1")["deployed.cpu-fp32"] == "ok"


def test_a_broken_site_is_waited_for_too(root: Path, mlflow: Any, capsys: pytest.CaptureFixture[str]) -> None:
    watch = Watch(root)
    (root / "conf/site/local.yaml").write_text("deploy: {keep: 0}\n")
    assert watch.step() == 20.0 and "keep" in watch.state["trouble"]
    cases.write_site(root)
    watch.step()
    assert watch.state["status"] == "ok" and "no MLflow server" not in capsys.readouterr().out


def test_one_watch_a_workspace_and_a_taken_port(root: Path, mlflow: Any) -> None:
    with alone(root), pytest.raises(WorkspaceBusy, match=f"PID {os.getpid()}"):
        main([f'{{"workspace": "{root}"}}'])
    watch = Watch(root)
    first = watch.receiver(0)
    with pytest.raises(OSError):
        watch.receiver(first.port)
    first.server_close()


def test_watch_once_is_the_verb_for_a_person(root: Path, mlflow: Any, add: Add, monkeypatch: pytest.MonkeyPatch,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    from flows.cli import main as visionmill

    monkeypatch.chdir(root)
    aliases.promote(mlflow, NAME, add(), reason="first", workspace=root)
    assert visionmill(["watch", "--once"]) == 0 and "version 1: cpu-fp32 ok" in capsys.readouterr().out
    assert visionmill(["watch", "--once"]) == 0 and "nothing to do" in capsys.readouterr().out
