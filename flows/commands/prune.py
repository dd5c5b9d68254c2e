"""`visionmill prune`: a model folder without the filters below a threshold, as TLT's `prune` does it."""

from __future__ import annotations

from pathlib import Path

from flows.commands.help import parser

EXAMPLES = """\
  visionmill prune models/trained --pth 0.1 --out models/thin      TLT's defaults: -eq union -pg 8 -nf 16 --norm max
  visionmill prune models:/cells@champion --pth 0.005 --eq union --pg 8 --nf 16 --norm max --out thin
  then train what is left: visionmill configure train.init=models/thin

In the line, set prune.budget in params.yaml instead: it prunes to a loss, a share, a size, and retrains."""


def main(words: list[str]) -> int:
    """Prune once, train nothing."""
    arguments = parser("prune", EXAMPLES)
    arguments.add_argument("model", help="a model folder or models:/NAME@ALIAS (its trained model)")
    arguments.add_argument("--out", required=True, type=Path, help="folder for the pruned model; must not exist")
    arguments.add_argument("--pth", "-pth", type=float, default=0.1, help="filters above it stay (default 0.1)")
    arguments.add_argument("--eq", "-eq", default="union", help="how tied layers become one: union, intersection, "
                                                               "arithmetic_mean, geometric_mean (default union)")
    arguments.add_argument("--pg", "-pg", type=int, default=8, help="filters left are a multiple of it (default 8)")
    arguments.add_argument("--nf", "-nf", type=int, default=16, help="at least so many stay (default 16)")
    arguments.add_argument("--norm", "-n", default="max", help="max or L2 (default max)")
    arguments.add_argument("--el", "-el", nargs="*", default=[], help="layers that stay whole, patterns allowed")
    options = arguments.parse_args(words)
    from tasks.base.params import check
    from tasks.compress.thin import prune_folder
    from tasks.compress.tlt import Settings

    settings = check(Settings, {"norm": options.norm, "equalization": options.eq, "granularity": options.pg,
                                "threshold": options.pth, "min_filters": options.nf, "exclude": options.el},
                     "visionmill prune")
    prune_folder(options.model, settings, options.out)
    return 0
