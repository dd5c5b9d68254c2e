"""A folder of weights for `transformers`: what it must be, how it is opened. Never a pickle, never code from it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.base.errors import DataError, UserError, nearest
from tasks.base.files import digest_file, digest_value, read_json

if TYPE_CHECKING:
    from collections.abc import Iterator

INSTALL = 'pip install "visionmill[prompted]"'
HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
# what is fetched of a repository: no pickle, no code
WANTED = ["*.safetensors", "*.json", "*.txt", "*.model"]
MOST_JSON = 64 << 20  # a description or a tokenizer that is larger is none
PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt", "*.h5", "*.msgpack")


@dataclass(frozen=True)
class Family:
    """Models that are asked alike.

    Attributes:
        what: what they do, for a message.
        types: `model_type` of config.json -> model class and processor class of `transformers`.
        example: a repository of the hub that holds one.
    """

    what: str
    types: Mapping[str, tuple[str, str]]
    example: str


FAMILIES = {
    "grounding-dino": Family("boxes from words", {
        "grounding-dino": ("GroundingDinoForObjectDetection", "GroundingDinoProcessor"),
        "mm-grounding-dino": ("MMGroundingDinoForObjectDetection", "GroundingDinoProcessor"),
    }, "IDEA-Research/grounding-dino-tiny"),
    "sam": Family("masks from boxes", {
        "sam": ("SamModel", "SamProcessor"),
        "sam2": ("Sam2Model", "Sam2Processor"),
        # the files of SAM 2.1 are those of the video model; pictures need a part of them
        "sam2_video": ("Sam2Model", "Sam2Processor"),
    }, "facebook/sam2.1-hiera-tiny"),
}


@dataclass(frozen=True)
class Weights:
    """A folder that has been looked at and holds what its family needs.

    Attributes:
        family: a key of `FAMILIES`.
        folder: config.json, the tokenizer or the picture processor, safetensors weights.
        kind: `model_type` of its config.json.
        files: names of the weight files, sorted.
    """

    family: str
    folder: Path
    kind: str
    files: tuple[str, ...]

    @property
    def name(self) -> str:
        """The folder's name, with the family before it where it does not say so itself."""
        said = re.sub(r"[^\w.-]+", "-", self.folder.name).strip("-.") or "weights"
        return said if said.startswith(self.family) else f"{self.family}-{said}"

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the weights and all that says how they are used; it reads them whole."""
        said = sorted(path.name for path in self.folder.iterdir() if path.suffix in (".json", ".txt", ".model"))
        return digest_value([[name, digest_file(self.folder / name)] for name in [*said, *self.files]])


def find_weights(text: str, workspace: Path, allow_download: bool = False) -> Weights:
    """The folder that `FAMILY:FOLDER` names, looked at; a relative folder is the workspace's.

    Args:
        text: for instance `sam:weights/sam2-tiny`; with `allow_download` also `sam:facebook/sam2.1-hiera-tiny`, which
            is fetched from the Hugging Face hub. Without it no network is touched.

    Raises:
        UserError: no such family, no folder there, or a download that was not asked for or does not come.
        DataError: the folder holds no model of the family, or only pickles.
    """
    family, _, place = text.partition(":")
    if family not in FAMILIES:
        guess = nearest(family, FAMILIES)
        raise UserError(f"no prompted model is called {family!r}", where=text,
                        mend=f"did you mean '{guess}:FOLDER'?" if guess else f"one of {', '.join(FAMILIES)}")
    if not place:
        raise UserError(f"{family} without its folder of weights", where=text, mend=f"{family}:FOLDER")
    folder = workspace / Path(place).expanduser()
    if not folder.is_dir():
        folder = _fetched(family, place, allow_download)
    return look_at(family, folder.resolve())


def look_at(family: str, folder: Path) -> Weights:
    """See `find_weights`."""
    config = read_small(folder / "config.json")
    kind = config.get("model_type")
    if kind not in FAMILIES[family].types:
        raise DataError(f"a model of the type {kind!r} cannot be asked for {FAMILIES[family].what} as {family}",
                        where=folder / "config.json", mend=f"it knows {', '.join(FAMILIES[family].types)}")
    return Weights(family, folder, str(kind), _weight_files(folder))


def read_small(path: Path) -> dict[str, Any]:
    """A JSON object from outside, of a size that can be one.

    Raises:
        DataError: it is not there, too large, or no object.
    """
    try:
        if path.stat().st_size > MOST_JSON:
            raise ValueError(f"of {path.stat().st_size} bytes")
        told = read_json(path)
        if not isinstance(told, dict):
            raise ValueError("no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"this folder holds no model for transformers: {path.name}: {_short(error)}",
                        where=path.parent, mend="a folder as save_pretrained() writes it: config.json, "
                        "model.safetensors, preprocessor_config.json, tokenizer.json") from None
    return told


def load(weights: Weights, threads: int | None = None) -> tuple[Any, Any]:
    """The model, in evaluation mode on the GPU where there is one, and its processor.

    Args:
        threads: of torch, for this process; its own choice when None.

    Raises:
        UserError: `transformers` is not installed.
        DataError: weights that do not fit the configuration; some missing would be drawn at random otherwise.
    """
    library = import_transformers(weights.family)
    names = FAMILIES[weights.family].types[weights.kind]
    said = {"local_files_only": True, "trust_remote_code": False}
    with explained(weights.folder), _silent(library):
        processor = getattr(library, names[1]).from_pretrained(weights.folder, **said)
        model, told = getattr(library, names[0]).from_pretrained(
            weights.folder, use_safetensors=True, output_loading_info=True, **said)
    missing = sorted(told["missing_keys"])
    if missing:
        raise DataError(f"{len(missing)} weights that the configuration asks for are missing, {missing[0]} first",
                        where=weights.folder, mend="take config.json and the weights from one place")
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval(), processor


def import_transformers(family: str) -> Any:
    """The library, told to stay off the network.

    Raises:
        UserError: it is not installed, with the command.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    try:
        import transformers
    except ImportError as error:
        raise UserError(f"{family} needs the library transformers: {error}", mend=INSTALL) from None
    return transformers


def _weight_files(folder: Path) -> tuple[str, ...]:
    """Weights in one file or as an index says; names of an index are names in the folder."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        table = read_small(index).get("weight_map")
        names = sorted({str(name) for name in table.values()}) if isinstance(table, dict) else []
        wrong = [name for name in names if Path(name).name != name or not name.endswith(".safetensors")
                 or not (folder / name).is_file()]
        if wrong or not names:
            raise DataError(f"the index names {wrong[0]!r}, which is no weight file beside it" if wrong
                            else "the index names no file", where=index, mend="fetch all files of the model again")
        return tuple(names)
    if (folder / "model.safetensors").is_file():
        return ("model.safetensors",)
    pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    raise DataError(f"weights as a pickle are never opened: {', '.join(pickles[:3])}" if pickles
                    else "no weights in this folder", where=folder,
                    mend="a folder with model.safetensors, as save_pretrained() writes it")


def _fetched(family: str, place: str, allow_download: bool) -> Path:
    """A repository of the hub, as this machine has it already, or from the network where the user said so."""
    example = FAMILIES[family].example
    if not HUB.fullmatch(place):
        raise UserError(f"there is no folder of weights {place!r}", mend=f"{family}:FOLDER with config.json and "
                        f"model.safetensors; or {family}:{example} --allow-download")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise UserError(f"{place} can only be fetched with huggingface_hub: {error}", mend=INSTALL) from None
    try:
        return Path(snapshot_download(place, allow_patterns=WANTED, local_files_only=not allow_download))
    except Exception as error:  # the hub's own errors, httpx's, the system's
        what = f"{place} did not come from the hub: {_short(error)}" if allow_download else \
            f"there is no folder of weights {place!r}, and the hub is asked only where you say so"
        mend = f"try again, or give a folder: {family}:FOLDER" if allow_download else \
            f"{family}:FOLDER, or {family}:{place} --allow-download"
        raise UserError(what, mend=mend) from None


@contextmanager
def explained(folder: Path, what: str = "transformers cannot open this model") -> Iterator[None]:
    """Errors of the library, whatever a file from outside makes of it, are told as ours."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise DataError(f"{what}: {_short(error)}", where=folder,
                        mend="take all files of the model from one place, as save_pretrained() wrote them") from error


@contextmanager
def _silent(library: Any) -> Iterator[None]:
    """No report of weights that are left over, no progress bars; only while a model is opened."""
    log = library.utils.logging
    before, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(before)
        if bars:
            log.enable_progress_bar()


def _short(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
