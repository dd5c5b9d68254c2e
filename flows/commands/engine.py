"""`visionmill engine`: a TensorRT-RTX engine, built on any machine for the GPUs that will run it."""

from __future__ import annotations

from pathlib import Path

from flows.commands.help import parser

EXAMPLES = """\
  visionmill engine exports/rtx-fp16/pruned.onnx --out pruned.engine                     for all generations it knows
  visionmill engine exports/rtx-int8/pruned.onnx --out pruned.engine --capability SM89 --capability SM120
  visionmill predict a.jpg --out drawn --model pruned.engine                             where such a GPU is

An engine is machine code: open only one from someone you trust."""


def main(words: list[str]) -> int:
    """Build, and say what came out."""
    arguments = parser("engine", EXAMPLES)
    arguments.add_argument("model", type=Path, help="an .onnx file exported for a rtx target")
    arguments.add_argument("--out", required=True, type=Path, help="the .engine file; its description is put beside it")
    arguments.add_argument("--capability", action="append", metavar="SMxx", help="a GPU generation; may be repeated")
    arguments.add_argument("--workspace-mb", type=int, help="memory that building may use (default: the file's own)")
    options = arguments.parse_args(words)
    from tasks.runtime.engines import build_rtx

    facts = build_rtx(options.model, options.out, options.capability, options.workspace_mb)
    for name, value in facts.items():
        print(f"{name:14} {', '.join(map(str, value)) if isinstance(value, list) else value}")
    return 0
