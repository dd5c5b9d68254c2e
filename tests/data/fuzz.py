"""Hostile variants of a valid file, the same for the same seed."""

from __future__ import annotations

import copy
import json
import random
from typing import Any
from xml.etree import ElementTree

ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2 ** 31, 2 ** 64, 10 ** 400, 0.5, -0.0, 1e308, float("nan"), float("inf"), "", " ",
    "\0", "../a.jpg", "/etc/passwd", "C:\\a.jpg", "\ud800", "\U0001f431", "a" * 300, "1", "nan", "1e999", "labels",
    [], {}, [[]], [None], [1, 2], [1, 2, 3, 4, 5, 6], [{}], {"": 0}, {"id": 1}, {"size": [48, 64], "counts": "o" * 50},
    {"size": [48, 64], "counts": [3072]}, {"x": {"y": {"z": [[[]]]}}}]
TEXTS = [
    b"\xff\xfe", b"\0", b"[" * 2000, b"{", b"}", b"]", b'"', b"\\", b"\\ud800", b"NaN", b"-", b"1e400", b",", b":",
    b"\xef\xbb\xbf", b"<", b">", b"&", b"&#0;", b"&lt;", b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"<![CDATA[",
    b"<?xml version='1.0'?>", b"<a/>"]


def changed_json(document: Any, seed: int) -> bytes:
    """The text of a document in which some values were replaced, removed or doubled; sometimes its bytes too."""
    draw = random.Random(seed)
    changed = copy.deepcopy(document)
    for _ in range(draw.randint(1, 4)):
        changed = _change(changed, draw)
    text = json.dumps(changed, ensure_ascii=draw.random() < 0.5).encode("utf-8", "surrogatepass")
    return changed_bytes(text, seed) if draw.random() < 0.3 else text


def changed_xml(text: str, seed: int) -> bytes:
    """The text of an XML document in which some elements were renamed, moved, doubled, removed or filled anew."""
    draw, root = random.Random(seed), ElementTree.fromstring(text)
    words = [str(value) for value in ODD if isinstance(value, str | int | float)]
    for _ in range(draw.randint(1, 4)):
        parent = draw.choice(list(root.iter()))
        how = draw.random()
        if how < 0.5 or not len(parent):
            parent.text = draw.choice(words).encode("utf-8", "ignore").decode().replace("\0", "")
        elif how < 0.6:
            parent.tag = draw.choice(["object", "name", "bndbox", "polygon", "x1", "y9", "filename", "size", "other"])
        elif how < 0.8:
            parent.append(copy.deepcopy(draw.choice(list(root.iter()))))
        else:
            parent.remove(draw.choice(list(parent)))
    content = ElementTree.tostring(root, encoding="utf-8")
    return changed_bytes(content, seed) if draw.random() < 0.2 else content


def changed_bytes(content: bytes, seed: int) -> bytes:
    """Content in which some pieces were cut out, doubled, exchanged, or replaced by something odd."""
    draw, changed = random.Random(seed), content
    for _ in range(draw.randint(1, 4)):
        a, b = sorted(draw.randint(0, len(changed)) for _ in range(2))
        b = min(b, a + draw.choice([0, 1, 2, 8, 64, 1 << 20]))
        put = draw.choice([b"", changed[a:b] * 2, draw.randbytes(draw.randint(0, 6)), draw.choice(TEXTS)])
        changed = changed[:a] + put + changed[b:]
    return changed[:draw.randint(0, len(changed))] if draw.random() < 0.1 else changed


def _change(value: Any, draw: random.Random) -> Any:
    if not isinstance(value, dict | list) or not value or draw.random() < 0.1:
        return copy.deepcopy(draw.choice(ODD))
    key = draw.choice(list(value)) if isinstance(value, dict) else draw.randrange(len(value))
    how = draw.random()
    if how < 0.7:
        value[key] = _change(value[key], draw)
    elif how < 0.8:
        del value[key]
    elif isinstance(value, list):
        value.insert(draw.randint(0, len(value)), copy.deepcopy(value[key]))
    else:
        value[draw.choice([str(key), "id", "labels", "x", "attributes"])] = copy.deepcopy(draw.choice(ODD))
    return value
