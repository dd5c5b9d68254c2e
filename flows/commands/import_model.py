"""`visionmill import-model`: a model from elsewhere becomes a version of the registry."""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from flows.commands.help import parser
from tasks.base.errors import GateRefused, UserError

if TYPE_CHECKING:
    from tasks.foreign.bring import Imported

EXAMPLES = """\
  visionmill import-model                                             the catalogue: conf/import/
  visionmill import-model picodet-s-416                               an entry whose file VISIONMILL_MIRROR has
  visionmill import-model yolox-nano --int8 data/raw                  and an INT8 file as a second version
  visionmill import-model yolox_s.onnx --preset yolox --labels coco.txt --name traffic
  visionmill import-model det.onnx --preset my.yaml --classes cat,dog --out det    files only, nothing registered
  visionmill import-model resnet18.pth --preset fcos-resnet18 --classes RBC,WBC    a backbone; then train.init
  visionmill import-model ours.safetensors --preset fcos-resnet18 --labels names.txt --size 240x320

a description of your own: a copy of one in conf/import/, with --preset FILE.yaml"""


def main(words: list[str]) -> int:
    """Make the files, and register them unless only a folder was asked for."""
    options = _arguments().parse_args(words)
    if options.source is None:
        print(catalogue())
        return 0
    if options.classes is not None and options.labels is not None:
        raise UserError("--classes and --labels say the same thing", mend="give one of them")
    with tempfile.TemporaryDirectory() as scratch:
        made = _bring(options, options.out or Path(scratch) / "imported")
        name = None if options.out and not options.name else options.name or _name_of(options.source)
        print(f"{made.title}: {len(made.classes)} classes, {made.facts['height']} × {made.facts['width']} pixels"
              f"{f' → {options.out}' if options.out else ''}")
        _finish(made, name)
        if options.int8:
            _add_int8(made, options.int8, name)
    return 0


def _finish(made: Imported, name: str | None) -> None:
    for note in made.notes:
        print(f"  {note}")
    if name:
        _register(made, name)


def _add_int8(made: Imported, pictures: Path, name: str | None) -> None:
    from tasks.foreign.eight_bit import LIMIT, add_int8

    small, same = add_int8(made, pictures)
    if same < LIMIT:
        raise GateRefused(f"8 bits spoil this model: its AP50 against the float file's own boxes is {same:.3f}, asked "
                          f"{LIMIT}", where=small.folder if name is None else None,
                          mend="use the float file, or give --int8 more pictures that look like those in use")
    _finish(small, name)


def _arguments() -> argparse.ArgumentParser:
    arguments = parser("import-model", EXAMPLES)
    arguments.add_argument("source", nargs="?", metavar="MODEL", help="an .onnx file, a file of weights (.safetensors, "
                           ".pth), a model folder, or an entry of the catalogue; without it the catalogue is shown")
    arguments.add_argument("--preset", help="how the model is made: for .onnx a description, a name of conf/import/ or "
                                            "a .yaml file; for weights a name of conf/model/")
    arguments.add_argument("--classes", type=lambda text: [name.strip() for name in text.split(",")],
                           metavar="A,B,C", help="names of the classes in the order of the model's outputs")
    arguments.add_argument("--labels", type=Path, metavar="FILE", help="the same from a file, one name a line")
    arguments.add_argument("--size", type=_size, metavar="HEIGHTxWIDTH", help="input in pixels, where neither file nor "
                                                                             "description says")
    arguments.add_argument("--int8", type=Path, metavar="PICTURES", help="also make an INT8 file, calibrated on the "
                                                                        "pictures of this folder")
    arguments.add_argument("--name", help="name in the registry (default: the file's)")
    arguments.add_argument("--out", type=Path, metavar="FOLDER", help="also, or without --name only, write the files")
    return arguments


def _bring(options: argparse.Namespace, out: Path) -> Imported:
    from tasks.foreign.bring import bring
    from tasks.foreign.description import read_labels

    if options.out and options.out.exists() and not _ours_or_empty(options.out):
        raise UserError("there is something else in that folder", where=options.out, mend="--out another folder")
    classes = read_labels(options.labels) if options.labels else options.classes
    return bring(options.source, out, preset=options.preset, classes=classes, size=options.size)


def _register(made: Imported, name: str) -> None:
    from tasks.registry.adopted import adopt

    version = adopt(name, made.folder, made.facts, line=made.line, problem=made.problem)
    print(f"{version.uri}{'' if version.new else ' (it was there already)'}: candidate; "
          f"visionmill predict PICTURES --model {version.uri} --out drawn")
    if made.trainable:
        print(f"  to train it on: visionmill configure train.init={version.uri}")


def catalogue() -> str:
    """One line an entry of conf/import/."""
    from tasks.foreign.description import known

    rows = [f"{name:16} {one.title}; {one.decoding.family}"
            + "".join(f"; AP {m.AP:.3f} on {m.data}" for m in one.measured[-1:]) for name, one in known().items()]
    return "\n".join(rows)


def _ours_or_empty(folder: Path) -> bool:
    return folder.is_dir() and ((folder / "imported.json").is_file() or not any(folder.iterdir()))


def _name_of(source: str) -> str:
    return re.sub(r"[^\w\-.]", "_", Path(source).stem or "imported")


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)[xX×](\d+)", text)
    if not found or not all(16 <= int(side) <= 8192 for side in found.groups()):
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH in pixels such as 416x416, got {text!r}")
    return int(found[1]), int(found[2])
