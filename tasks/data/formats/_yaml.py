"""YAML from outside, as text, lists and mappings and nothing else."""

from __future__ import annotations

import json
import re
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tasks.base.errors import DataError
from tasks.data.formats._lines import read_text
from tasks.data.formats.index import FolderIndex

MAX_BYTES = 1 << 20
UNPRINTABLE = re.compile("[\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")


def load_mapping(index: FolderIndex, here: str, expected: str) -> dict[Any, Any]:
    """The mapping of a YAML file; every scalar is text, so that a class called `null` or `1.10` stays that.

    No tag makes an object. Anchors may make a list that holds itself.

    Raises:
        DataError: it is not YAML of at most `MAX_BYTES`, or no mapping; `expected` says what it should be.
    """
    mend = f"mend that file: expected {expected}"
    try:
        content = YAML(typ="base", pure=True).load(read_text(index.root / here, here, MAX_BYTES))
    except (YAMLError, RecursionError, ValueError, TypeError, AttributeError, IndexError) as error:
        reason = str(error).split("\n")[0][:200] or type(error).__name__
        raise DataError(f"not YAML: {reason}", where=here, mend=mend) from None
    if not isinstance(content, dict):
        raise DataError("no keys with values", where=here, mend=mend)
    return content


def quoted(value: object) -> str:
    """JSON, which YAML reads, without the characters that YAML forbids."""
    text = json.dumps(value, ensure_ascii=False)
    return UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
