"""`visionmill doctor`: what is here, what is missing, and the command that mends it."""

from __future__ import annotations

from flows import checkup
from flows.commands.help import parser

EXAMPLES = """\
  visionmill doctor
  visionmill doctor --quick        without importing torch"""


def main(words: list[str]) -> int:
    """Print one line a finding; the exit code is 2 when something needed is missing."""
    arguments = parser("doctor", EXAMPLES)
    arguments.add_argument("--quick", action="store_true", help="do not import torch and onnxruntime")
    options = arguments.parse_args(words)
    findings = checkup.everything(quick=options.quick)
    for title in dict.fromkeys(found.title for found in findings):
        print(title)
        for found in (f for f in findings if f.title == title):
            mend = f"\n{' ' * 10}mend: {found.mend}" if found.mend else ""
            print(f"  {found.mark:7} {found.text}{mend}")
    missing = sum(found.mark == checkup.MISSING for found in findings)
    print(f"\n{missing} missing" if missing else "\nall that is needed is here")
    return 2 if missing else 0
