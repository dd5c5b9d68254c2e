"""From the alias to the bundle: python -m benchmarks.promotion [--copy WORKSPACE] [--runs 3]

A real MLflow server and a real watch on loopback; `champion` is moved as the UI moves it, and the time is taken until
the version says that its bundle is deployed. Once with webhooks and no poll, once with an embedded store and polls.
Without --copy the version is a small detector made by hand; with it, the last version of a copy of that workspace.
"""

from __future__ import annotations

import argparse
import base64
import os
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flows.environment import quiet
from tasks.base.files import write_json
from tasks.registry import store
from tests.deployment import cases, live

ASKED_S = 60.0
POLL_S = 20.0  # the site's default


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--copy", type=Path, help="a finished workspace")
    arguments.add_argument("--runs", type=int, default=3)
    options = arguments.parse_args()
    quiet()
    for way in ("webhook", "poll"):
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "PREFECT_API_URL", "VISIONMILL_SITE"):
            os.environ.pop(name, None)
        with tempfile.TemporaryDirectory() as folder:
            root = prepare(Path(folder) / "cells", options.copy, poll_s=3600.0 if way == "webhook" else POLL_S)
            with served(root, way) as uri:
                seconds = [measure(uri, root) for _ in range(options.runs)]
        print(f"alias moved -> bundle deployed and tagged, by {way:7}: median {statistics.median(seconds):.1f} s, "
              f"largest {max(seconds):.1f} s of {len(seconds)} (asked: at most {ASKED_S:.0f} s)", flush=True)


def prepare(root: Path, copied: Path | None, poll_s: float) -> Path:
    """A workspace with one version that can be deployed."""
    if copied:
        shutil.copytree(copied, root, symlinks=True, ignore=shutil.ignore_patterns("data", "deployed", "services.json"))
    else:
        root.mkdir()
        (root / "params.yaml").write_text(f"register:\n  name: {cases.NAME}\n")
    mlflow = store.client(root)  # makes the database, or follows a moved one
    if not copied:
        cases.add_version(mlflow, root, cases.model_folder(root / "model"))
    last = newest(mlflow, store.workspace_name(root))
    carried = last.tags.get("visionmill.artefact", "pruned/cpu-fp32")
    write_json(root / "conf/site/local.yaml", {"deploy": {"targets": [carried.partition("/")[2]], "poll_s": poll_s}})
    return root


@contextmanager
def served(root: Path, way: str) -> Iterator[str]:
    """The watch, and for webhooks MLflow's server; yields the address that `champion` is moved at."""
    embedded = store.own_uri(root)
    if way == "poll":
        with live.watch(root, embedded, hooked=False):
            yield embedded
    else:
        with live.mlflow_server(root, base64.urlsafe_b64encode(os.urandom(32)).decode()) as url, live.watch(root, url):
            yield url


def measure(uri: str, root: Path) -> float:
    """Move `champion` to a new copy of the last version; the seconds until that says `ok`."""
    from mlflow import MlflowClient

    mlflow, name = MlflowClient(tracking_uri=uri, registry_uri=uri), store.workspace_name(root)
    last = newest(mlflow, name)
    os.environ["MLFLOW_TRACKING_URI"] = uri
    keep = ("visionmill.gate", "visionmill.gate_hash", "visionmill.artefact")
    made = mlflow.create_model_version(name, last.source, last.run_id, model_id=last.source.rpartition("/")[2],
                                       tags={key: last.tags[key] for key in keep if key in last.tags})
    mlflow.set_registered_model_alias(name, "champion", made.version)
    tag = f"visionmill.deployed.{last.tags.get('visionmill.artefact', 'pruned/cpu-fp32').partition('/')[2]}"
    seconds = live.wait(lambda: tag in mlflow.get_model_version(name, made.version).tags, "the deployment")
    said = mlflow.get_model_version(name, made.version).tags[tag]
    assert said == "ok", said
    return seconds


def newest(mlflow: Any, name: str) -> Any:
    found = max(mlflow.search_model_versions(f"name = '{name}'"), key=lambda version: int(version.version))
    return mlflow.get_model_version(name, found.version)


if __name__ == "__main__":
    main()
