"""YMIR's `env.yaml` and `config.yaml`, written and read."""

from __future__ import annotations

import io
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML

from tasks.base.errors import DataError, ParamsError
from tasks.base.files import write_atomic
from tasks.base.params import read_yaml

PROTOCOL = "1.1.0"
MOST = 1 << 20  # bytes of a YAML file
INSIDE = PurePosixPath("/in"), PurePosixPath("/out")
COCO = "coco-annotations.json"


class _Foreign(BaseModel):
    """A part of env.yaml: what later versions of the protocol add is left alone."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Input(_Foreign):
    """Where an executor finds what it is given."""

    root_dir: str = "/in"
    assets_dir: str = "/in/assets"
    annotations_dir: str = "/in/annotations"
    models_dir: str = "/in/models"
    training_index_file: str = ""
    val_index_file: str = ""
    candidate_index_file: str = ""
    config_file: str = "/in/config.yaml"


class Output(_Foreign):
    """Where an executor leaves what it makes."""

    root_dir: str = "/out"
    models_dir: str = "/out/models"
    tensorboard_dir: str = "/out/tensorboard"
    training_result_file: str = "/out/models/result.yaml"
    mining_result_file: str = "/out/result.tsv"
    infer_result_file: str = "/out/infer-result.json"
    monitor_file: str = "/out/monitor.txt"
    executor_log_file: str = "/out/ymir-executor-out.log"


class Env(_Foreign):
    """`env.yaml`."""

    task_id: str = "default-task"
    protocol_version: str = PROTOCOL
    run_training: bool = False
    run_mining: bool = False
    run_infer: bool = False
    input: Input = Input()
    output: Output = Output()


def env_of(task: str, kinds: set[Any], inside: PurePosixPath, outside: PurePosixPath) -> Env:
    """What an executor is told, whose folders it sees as `inside` and `outside`."""
    train, other = "train" in kinds, kinds & {"mine", "infer"}
    index = {"training_index_file": f"{inside}/train-index.tsv", "val_index_file": f"{inside}/val-index.tsv"}
    given = {"root_dir": inside, "assets_dir": inside / "assets", "annotations_dir": inside / "annotations",
             "models_dir": inside / "models", "config_file": inside / "config.yaml", **(index if train else {}),
             **({"candidate_index_file": inside / "candidate-index.tsv"} if other else {})}
    made = {"root_dir": outside, "models_dir": outside / "models", "tensorboard_dir": outside / "tensorboard",
            "training_result_file": outside / "models/result.yaml", "mining_result_file": outside / "result.tsv",
            "infer_result_file": outside / "infer-result.json", "monitor_file": outside / "monitor.txt",
            "executor_log_file": outside / "ymir-executor-out.log"}
    return Env(task_id=task, run_training=train, run_mining="mine" in kinds, run_infer="infer" in kinds,
               input=Input(**{key: str(path) for key, path in given.items()}),
               output=Output(**{key: str(path) for key, path in made.items()}))


def write_yaml(path: Path, value: Any) -> None:
    """Plain data as YAML."""
    text = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.dump(value, text)
    write_atomic(path, text.getvalue())


def load_yaml(path: Path) -> dict[str, Any]:
    """A mapping from outside.

    Raises:
        DataError: it is missing, too large, not YAML, or no mapping.
    """
    mend = "see the log of who wrote it"
    if not path.is_file() or path.is_symlink():
        raise DataError(f"there is no {path.name}", where=path, mend=mend)
    if path.stat().st_size > MOST:
        raise DataError(f"{path.name} has more than {MOST >> 20} MiB", where=path, mend=mend)
    try:
        value = read_yaml(path)
    except RecursionError:
        value = None
    except ParamsError as error:
        raise DataError(error.what, where=path, mend=mend) from None
    if not isinstance(value, dict):
        raise DataError(f"{path.name} is no mapping of names to values", where=path, mend=mend)
    return value


def read_env(folder: Path) -> Env:
    """`env.yaml` of an input folder.

    Raises:
        DataError: it is missing or damaged, or asks for nothing.
    """
    path = folder / "env.yaml"
    try:
        env = Env.model_validate(load_yaml(path))
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"env.yaml: {'.'.join(map(str, first['loc']))}: {first['msg']}", where=path,
                        mend="write it as YMIR's protocol says") from None
    if not (env.run_training or env.run_mining or env.run_infer):
        raise DataError("env.yaml asks for nothing: run_training, run_mining and run_infer are all false", where=path,
                        mend="set one of them")
    return env


def moved(text: str, root: str, folder: Path) -> Path:
    """A path that is told relative to `root`, for instance /in, where that folder is here.

    Raises:
        DataError: it leads out of it.
    """
    told = PurePosixPath(text)
    inner = told.relative_to(root) if told.is_relative_to(root) else told
    if inner.is_absolute() and inner.is_relative_to(folder.resolve()):
        inner = inner.relative_to(folder.resolve())
    if inner.is_absolute() or ".." in inner.parts or not str(text).strip() or "\0" in text:
        raise DataError(f"the path {text!r} is not below {root}", where=folder, mend="write paths below the folder")
    return folder / inner
