"""`visionmill label VERB …`: a model labels, people correct the hardest, what comes back is a dataset version."""

from __future__ import annotations

from importlib import import_module

from flows.commands.group import chosen

# verb: module beside this one, and what it does
VERBS = {
    "auto": ("auto", "pre-label every picture of a pool with a model: boxes, scores, difficulty"),
    "send": ("send", "hand pictures with their boxes to people: Label Studio, or files"),
    "status": ("status", "how far each labelling job is"),
    "fetch": ("fetch", "bring back what people have corrected, as a dataset version; again and again"),
    "return": ("give_back", "give pictures back to people for a second look"),
    "errors": ("errors", "labels that look wrong, worst first: overlooked, badly placed, swapped"),
    "accept": ("accept", "accept the boxes that need no person, with a bound on the error"),
}
EXAMPLES = """\
examples:
  visionmill label auto pool --model models:/cells@champion     boxes, and how many are easy, medium, hard
  visionmill mine pool --strategy mixed --budget 50             pool-picked@1, with reasons
  visionmill label send pool-picked --to label-studio --hardest 50
  visionmill label status; visionmill label fetch pool-picked   pool-picked-labelled@1
  visionmill data merge cells pool-picked-labelled --out cells --conflict human
  visionmill label errors cells"""


def main(words: list[str]) -> int:
    """Enter the module of one verb."""
    verb = chosen("label", VERBS, EXAMPLES, words)
    if verb is None:
        return 0
    module = import_module(f"flows.commands.label.{VERBS[verb][0]}")
    return int(module.main(words[1:]) or 0)
