"""`visionmill compare`: two versions, or files, on the same pictures."""

from __future__ import annotations

from pathlib import Path

from flows.commands.help import parser

EXAMPLES = """\
  visionmill compare                                  champion against candidate, on today's test split
  visionmill compare cells@champion cells/7 --html compared.html
  visionmill compare champion exports/cpu-fp32/pruned.onnx --json compared.json
  visionmill compare models:/cells/3 models:/parts/5 --data ~/more/split"""


def main(words: list[str]) -> int:
    """Print the comparison; write the page and the numbers where they are asked for."""
    arguments = parser("compare", EXAMPLES)
    arguments.add_argument("a", nargs="?", default="champion", metavar="A",
                           help="NAME@ALIAS, NAME/3, an alias or number of this workspace's model, a file (champion)")
    arguments.add_argument("b", nargs="?", default="candidate", metavar="B", help="the same (candidate)")
    arguments.add_argument("--data", metavar="FOLDER", help="a dataset folder with `raw` beside it, a workspace, or "
                                                            "a dataset version, NAME@2 (this workspace's test split)")
    arguments.add_argument("--threshold", type=float, default=0.5, help="score from which boxes are shown (0.5)")
    arguments.add_argument("--pictures", type=int, default=12, help="pictures of disagreement (12)")
    arguments.add_argument("--html", type=Path, metavar="FILE", help="write one self-contained page")
    arguments.add_argument("--json", type=Path, metavar="FILE", help="write all numbers")
    options = arguments.parse_args(words)
    from tasks.registry.comparison.comparing import run_compare

    run_compare(options.a, options.b, data=options.data, threshold=options.threshold, pictures=options.pictures,
                page=options.html, numbers=options.json)
    return 0
