"""`visionmill predict`: boxes drawn on pictures and videos, by any model that the line has made."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from flows.commands.help import parser

EXAMPLES = """\
  visionmill predict a.jpg b.jpg --out drawn                       in a workspace: its pruned model
  visionmill predict *.jpg --out drawn --model models:/cells@champion
  visionmill predict a.jpg --out drawn --model pruned.onnx --threshold 0.5 --threshold RBC=0.3
  visionmill predict clip.mp4 --out drawn --every 5                each fifth frame
  visionmill predict slide.tif --out drawn --tile 640              a large picture, in tiles that overlap
  visionmill predict a.jpg --out drawn --classify kinds.onnx --classify-only RBC
  visionmill predict a.jpg --out drawn --model bundle/ --runtime openvino"""


def main(words: list[str]) -> int:
    """Draw on copies of the pictures; the originals are not touched."""
    told = _arguments().parse_args(words)
    from tasks.base.params import check
    from tasks.predict import run_predict
    from tasks.seeing.options import Options

    run_predict(told.inputs, told.out, told.model, check(Options, _values(told), "visionmill predict"))
    return 0


def _arguments() -> argparse.ArgumentParser:
    arguments = parser("predict", EXAMPLES)
    arguments.add_argument("inputs", nargs="+", type=Path, metavar="PICTURE|VIDEO|FOLDER")
    arguments.add_argument("--out", required=True, type=Path, help="folder for the drawn files and predictions.json")
    arguments.add_argument("--model", help="an .onnx file, a model folder, a bundle or models:/NAME@ALIAS (default: "
                                           "the workspace's pruned model for the first export target that was made "
                                           "and runs here, int8 first)")
    arguments.add_argument("--threshold", action="append", default=[], metavar="SCORE|CLASS=SCORE",
                           help="lowest score that is drawn, in 0..1, for all classes or for one; may be repeated")
    arguments.add_argument("--runtime", help="what runs it: onnxruntime, openvino, tensorrt, torch (default: what the "
                                             "file is made for)")
    arguments.add_argument("--device", help="cpu or cuda (default: what the file is made for)")
    arguments.add_argument("--every", type=int, metavar="N", help="of a video: look at each N-th frame (default 1)")
    arguments.add_argument("--tile", type=int, metavar="PIXELS", help="cut pictures that are larger into tiles")
    arguments.add_argument("--overlap", type=float, help="share of a side that neighbouring tiles share (default 0.2)")
    arguments.add_argument("--no-whole", action="store_true", help="with --tile: do not look at the whole picture too")
    arguments.add_argument("--classify", metavar="FILE", help="an .onnx classifier that names the boxes")
    arguments.add_argument("--classify-only", action="append", metavar="CLASS", help="name boxes of this class only; "
                                                                                      "may be repeated")
    arguments.add_argument("--classify-margin", type=float, metavar="SHARE",
                           help="what it sees around a box, as a share of its sides (default 0.1)")
    return arguments


def _values(told: argparse.Namespace) -> dict[str, Any]:
    from tasks.base.errors import UserError

    sliced = _given(tile=told.tile, overlap=told.overlap, whole=False if told.no_whole else None)
    named = _given(file=told.classify, only=told.classify_only, margin=told.classify_margin)
    if sliced and told.tile is None:
        raise UserError("--overlap and --no-whole are about tiles", mend="--tile 640 --overlap 0.2")
    if named and told.classify is None:
        raise UserError("--classify-only and --classify-margin are about a classifier", mend="--classify FILE.onnx")
    return _given(threshold=told.threshold, runtime=told.runtime, device=told.device, every=told.every,
                  slicing=sliced or None, cascade=named or None)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
