"""`visionmill benchmark`: every artefact of a model on every runtime of this machine, one table and one picture."""

from __future__ import annotations

from pathlib import Path

from flows.commands.help import parser

EXAMPLES = """\
  visionmill benchmark                                   in a workspace: all that it has made
  visionmill benchmark cells@champion                    a registered version
  visionmill benchmark ~/cells --runtimes onnxruntime,openvino --threads 1
  visionmill benchmark a.onnx b.onnx --data data/split   files; accuracy on the pictures beside that dataset
  visionmill benchmark models/pruned --rounds 40 --out measured"""


def main(words: list[str]) -> int:
    """Measure, print the table, and write benchmark.json and benchmark.svg."""
    arguments = parser("benchmark", EXAMPLES)
    arguments.add_argument("models", nargs="*", metavar="MODEL",
                           help="NAME@ALIAS, a workspace, a model folder, .onnx files (default: this workspace)")
    arguments.add_argument("--data", type=Path, help="a dataset folder with `raw` beside it, or a workspace "
                                                     "(default: the workspace's test split)")
    arguments.add_argument("--rounds", type=int, default=10, help="turns that are counted, five pictures each (10)")
    arguments.add_argument("--threads", type=int, help="cores for each artefact (all)")
    arguments.add_argument("--runtimes", default="", metavar="A,B", help="only these (all that are here)")
    arguments.add_argument("--out", type=Path, default=Path(".visionmill/benchmark"),
                           help="folder for benchmark.json and benchmark.svg (.visionmill/benchmark)")
    options = arguments.parse_args(words)
    from tasks.measure.command import run_benchmark

    chosen = tuple(name.strip() for name in options.runtimes.split(",") if name.strip())
    run_benchmark(options.models, options.out, data=options.data, rounds=options.rounds, threads=options.threads,
                  runtimes=chosen)
    return 0
