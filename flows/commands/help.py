"""One parser for all verbs: what a verb does, and examples of it."""

from __future__ import annotations

import argparse

from flows.cli import VERBS


def parser(verb: str, examples: str) -> argparse.ArgumentParser:
    """A parser whose help ends with examples."""
    return argparse.ArgumentParser(
        prog=f"visionmill {verb}", description=VERBS[verb], epilog=f"examples:\n{examples}", allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter)
