"""`visionmill bundle`: a folder that runs a model alone, for a device, a server or a stream."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from flows.commands.help import parser

if TYPE_CHECKING:
    from tasks.runtime.cascade import Cascading
    from tasks.runtime.slicing import Slicing

EXAMPLES = """\
  visionmill bundle cells@champion --target cpu-int8 --out cells-int8      from the registry
  visionmill bundle --artefact pruned/cpu-fp32 --out cells-fp32            in a workspace: one of its exported files
  visionmill bundle pruned.onnx --out alone                                a file
  visionmill bundle cells@champion --for triton --out repository           a model repository with an ensemble
  visionmill bundle --artefact pruned/trt-fp16 --for deepstream --out ds   nvinfer's configuration and output parser
  visionmill bundle cells@champion --out DIR --tile 640 --classify kinds.onnx   tiles, and a classifier behind
  visionmill bundle --check cells-int8                                     every file as it was made?"""


def main(words: list[str]) -> int:
    """Make a bundle, or check one; nothing that is there already is touched."""
    options = _arguments().parse_args(words)
    from tasks.bundle import content, make

    if options.check:
        sizes = make.check_bundle(options.check)
        print(f"{options.check}: {len(sizes)} files, {sum(sizes.values()) / 1e6:.2f} MB, all as they were made")
        return 0
    slicing, cascade = _extras(options)
    folder = make.make_bundle(options.model, options.out, target=options.target, artefact=options.artefact,
                              kind=options.kind, slicing=slicing, cascade=cascade)
    print(f"{folder}: {', '.join(content.names_in(folder))}")
    return 0


def _arguments() -> argparse.ArgumentParser:
    arguments = parser("bundle", EXAMPLES)
    arguments.add_argument("model", nargs="?", help="NAME@ALIAS, NAME/VERSION, models:/…, or an .onnx file")
    arguments.add_argument("--target", help="what the file must be made for: a name in conf/target/")
    arguments.add_argument("--artefact", help="pruned/TARGET or trained/TARGET of this workspace")
    arguments.add_argument("--for", dest="kind", choices=("alone", "triton", "deepstream"), default="alone",
                           help="what will load it (default: predict.py alone)")
    arguments.add_argument("--tile", type=int, metavar="PIXELS", help="predict.py cuts larger pictures into tiles")
    arguments.add_argument("--overlap", type=float, help="share of a side that neighbouring tiles share (default 0.2)")
    arguments.add_argument("--classify", metavar="FILE", help="an .onnx classifier that names the boxes")
    arguments.add_argument("--classify-only", action="append", metavar="CLASS", help="name boxes of this class only; "
                                                                                      "may be repeated")
    what = arguments.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, help="the folder to make; it must not exist, or be empty")
    what.add_argument("--check", type=Path, metavar="DIR", help="compare a bundle with its checksums instead")
    return arguments


def _extras(options: argparse.Namespace) -> tuple[Slicing | None, Cascading | None]:
    from tasks.base.errors import UserError
    from tasks.base.params import check
    from tasks.runtime.cascade import Cascading
    from tasks.runtime.slicing import Slicing

    tiles = {name: getattr(options, name) for name in ("tile", "overlap") if getattr(options, name) is not None}
    named = {"file": options.classify, **({"only": options.classify_only} if options.classify_only else {})}
    if "tile" not in tiles and tiles:
        raise UserError("--overlap is about tiles", mend="--tile 640 --overlap 0.2")
    if options.classify is None and options.classify_only:
        raise UserError("--classify-only is about a classifier", mend="--classify FILE.onnx")
    return (check(Slicing, tiles, "--tile") if tiles else None,
            check(Cascading, named, "--classify") if options.classify else None)
