"""`visionmill predict`: boxes drawn on pictures, by any model that the line has made."""

from __future__ import annotations

from pathlib import Path

from flows.commands.help import parser

EXAMPLES = """\
  visionmill predict a.jpg b.jpg --out drawn                       in a workspace: its pruned model
  visionmill predict *.jpg --out drawn --model models:/cells@champion
  visionmill predict a.jpg --out drawn --model pruned.onnx --threshold 0.5 --threshold RBC=0.3"""


def main(words: list[str]) -> int:
    """Draw on copies of the pictures; the originals are not touched."""
    arguments = parser("predict", EXAMPLES)
    arguments.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE")
    arguments.add_argument("--out", required=True, type=Path, help="folder for the drawn pictures")
    arguments.add_argument("--model", help="an .onnx file, a model folder or models:/NAME@ALIAS "
                                           "(default: the workspace's pruned model for the first export "
                                           "target that was made, int8 first)")
    arguments.add_argument("--threshold", action="append", default=[], metavar="SCORE|CLASS=SCORE",
                           help="lowest score that is drawn, in 0..1, for all classes or for one; may be repeated")
    options = arguments.parse_args(words)
    from tasks.predict import run_predict

    run_predict(options.pictures, options.out, model=options.model, threshold=options.threshold)
    return 0
