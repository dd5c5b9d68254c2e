"""What the label verbs share: a parser whose help ends with examples."""

from __future__ import annotations

import argparse


def parser(verb: str, examples: str = "") -> argparse.ArgumentParser:
    """A parser of `visionmill label VERB`."""
    from flows.commands.label import VERBS

    return argparse.ArgumentParser(
        prog=f"visionmill label {verb}", description=VERBS[verb][1], allow_abbrev=False,
        epilog=f"examples:\n{examples}" if examples else None, formatter_class=argparse.RawDescriptionHelpFormatter)
