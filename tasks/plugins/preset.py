"""`conf/plugin/NAME.yaml`: a plug-in as data."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from tasks.base import presets
from tasks.base.errors import UserError
from tasks.base.files import digest_file, digest_value
from tasks.base.params import Params, check

Kind = Literal["train", "mine", "infer"]
Value = bool | int | float | str | list[str] | None
PREFIX = "plugin:"
# of a flat config.yaml: keys that we write, so that no template may
RESERVED = frozenset({"task_id", "class_names", "gpu_id", "gpu_count", "shm_size", "export_format", "run_infer",
                      "run_mining", "pretrained_model_params", "model_params_path", "object_type"})
ENVIRONMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Plugin(Params):
    """A plug-in.

    Attributes:
        kinds: what it can be asked for.
        command: words of a program of this machine; `{in}`, `{out}` are its folders, `{python}` is our Python,
            `{here}` the folder of the file that describes it.
        image: a container's image instead, run by `engine`.
        fixed_paths: the program insists on /in and /out, so it needs a container.
        gpus: which it may use, `0,1`; none when empty.
        options: more arguments of `docker run`.
        network: whether a container may reach the network.
        annotations: the form of labels that it is given.
        classes: what its model knows; those that are asked for when empty.
        models: weights that it is given, files or folders; relative to the workspace.
        parameters: the template of its config.yaml, flat; those of one kind go first.
        minutes: it is ended after so many.
        silent: it is ended after so many minutes without a word, in its log or of its progress.
    """

    title: str = ""
    homepage: str = ""
    licence: str = ""
    kinds: list[Kind] = Field(min_length=1)
    command: list[str] = []
    image: str = ""
    engine: Literal["docker", "podman"] = "docker"
    fixed_paths: bool = False
    gpus: str = Field(default="", pattern=r"^(\d+(,\d+)*)?$")
    options: list[str] = []
    network: bool = False
    environment: dict[str, str] = {}
    annotations: Literal["ark", "voc", "coco"] = "ark"
    classes: list[str] = []
    models: list[str] = []
    parameters: dict[str, Value] = {}
    train: dict[str, Value] = {}
    mine: dict[str, Value] = {}
    infer: dict[str, Value] = {}
    minutes: float = Field(default=60, gt=0)
    silent: float = Field(default=30, gt=0)

    @model_validator(mode="after")
    def _is_one_thing(self) -> Plugin:
        if bool(self.command) == bool(self.image):
            raise ValueError("either a command or an image")
        for part in ("parameters", "train", "mine", "infer"):
            if taken := sorted(RESERVED & getattr(self, part).keys()):
                raise ValueError(f"{part}: {taken[0]} is written by visionmill")
        if wrong := [name for name in self.environment if not ENVIRONMENT.fullmatch(name)]:
            raise ValueError(f"environment: {wrong[0]!r} cannot be a variable's name")
        return self

    def config(self, kinds: set[Kind]) -> dict[str, Value]:
        """The parameters of what is asked for, those of a kind over those of all."""
        chosen = dict(self.parameters)
        for kind in ("train", "mine", "infer"):
            chosen |= getattr(self, kind) if kind in kinds else {}
        return chosen


def named(text: str) -> str:
    """The name in `plugin:NAME`; NAME itself too."""
    return text.removeprefix(PREFIX)


def read_plugin(name: str, workspace: Path = Path()) -> Plugin:
    """The plug-in of a name.

    Raises:
        ParamsError: there is none, the nearest is offered; or its file says what none may.
    """
    path = presets.find("plugin", named(name), workspace)
    return check(Plugin, presets.load("plugin", named(name), workspace), str(path))


def plugins(workspace: Path = Path()) -> list[str]:
    """The names of those that are described, sorted."""
    return presets.names("plugin", workspace)


def refuse_kind(plugin: Plugin, name: str, kind: Kind) -> None:
    """Raises UserError where a plug-in cannot do what is asked for."""
    if kind not in plugin.kinds:
        words = {"train": "trains no models", "mine": "ranks no pictures", "infer": "finds no boxes"}
        raise UserError(f"the plug-in {name!r} {words[kind]}: its kinds are {', '.join(plugin.kinds)}",
                        where=f"conf/plugin/{name}.yaml", mend="visionmill plugin list")


def refuse_fixed(plugin: Plugin, name: str) -> None:
    """Raises UserError where a program that insists on /in and /out would run as a plain process."""
    if plugin.fixed_paths and plugin.command:
        raise UserError(f"the plug-in {name!r} insists on the folders /in and /out, which a plain process cannot have",
                        where=f"conf/plugin/{name}.yaml",
                        mend="give its `image` instead of its `command`: it then runs by docker or podman")
    program = plugin.engine if plugin.image else plugin.command[0]
    if not (program.startswith("{") or "/" in program or shutil.which(program)):
        offer = "install it, or `engine: podman`, or give a `command`" if plugin.image else "give its whole path"
        raise UserError(f"the plug-in {name!r} needs {program!r}, which is not on this machine",
                        where=f"conf/plugin/{name}.yaml", mend=offer)


def weights_of(plugin: Plugin, name: str, workspace: Path) -> list[Path]:
    """The files and folders of a plug-in's weights.

    Raises:
        UserError: one is missing.
    """
    found = [(workspace / Path(model).expanduser()).resolve() for model in plugin.models]
    for path in found:
        if not path.exists():
            raise UserError(f"the plug-in {name!r} has no weights there", where=path,
                            mend=f"put them there, or mend `models` in conf/plugin/{name}.yaml")
    return found


def digest_of(plugin: Plugin, name: str, workspace: Path) -> str:
    """SHA-256 of what a plug-in is: its description, its weights, and its program where that is a file of ours."""
    files = [path for one in weights_of(plugin, name, workspace) for path in files_in(one)]
    words = [word.replace("{here}", str(home_of(name, workspace))) for word in plugin.command]
    files += [path for word in words if (path := workspace / Path(word).expanduser()).is_file()]
    return digest_value([plugin.model_dump(), [digest_file(path) for path in files]])


def home_of(name: str, workspace: Path) -> Path:
    """The folder of the file that describes a plug-in."""
    return presets.find("plugin", named(name), workspace).resolve().parent


def files_in(path: Path) -> list[Path]:
    """A file, or the files below a folder, sorted."""
    return sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
