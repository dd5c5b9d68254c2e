"""What the label verbs share: a parser whose help ends with examples."""

from __future__ import annotations

import argparse

from flows.commands import group


def parser(verb: str, examples: str = "") -> argparse.ArgumentParser:
    """A parser of `visionmill label VERB`."""
    from flows.commands.label import VERBS

    return group.parser("label", verb, VERBS[verb][1], examples)
