"""Which pictures a request holds, in each of the forms that it may have. Addresses are never fetched."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.serving.coded import BadPicture, from_base64
from tasks.serving.multipart import parts
from tasks.serving.settings import KNOWN, BadRequest, Settings, of_query, settings_of

MOST = 256  # pictures of one request; a batch takes more
# `curl --data-binary` says the last one where nothing else is said
RAW = ("", "application/octet-stream", "application/x-www-form-urlencoded")
ACCEPTED = "image/…, application/octet-stream, multipart/form-data or application/json"
Bytes = bytes | memoryview


class UnknownType(BadRequest):
    """A content type that is not read here."""


@dataclass(frozen=True)
class Asked:
    """A request, taken apart.

    Attributes:
        pictures: the bytes of each.
        alone: one picture was sent as one, not as a list of one.
        settings: which detections count.
    """

    pictures: list[Bytes]
    alone: bool
    settings: Settings


def plain_type(content_type: str) -> str:
    """`image/jpeg` of `Image/JPEG; q=1`."""
    return content_type.partition(";")[0].strip().lower()


def asked_of(body: memoryview, content_type: str, query: str, classes: Sequence[str]) -> Asked:
    """A request to `predict`: bytes as they are, a form, or JSON with base64.

    Raises:
        UnknownType: another content type.
        BadRequest: what is asked cannot be answered.
    """
    kind, given = plain_type(content_type), of_query(query)
    if kind in RAW or kind.startswith("image/"):
        return Asked([body], True, settings_of(given, classes))
    if kind == "multipart/form-data":
        pictures, fields = of_form(body, content_type)
        return Asked(pictures, len(pictures) == 1, settings_of(_joined(fields, given), classes))
    if kind == "application/json":
        content = of_json(body)
        images = content.pop("images", None)
        alone = images is None
        listed = [content.pop("image", None)] if alone else images
        return Asked(decoded(listed), alone, settings_of(_joined(content, given), classes))
    raise UnknownType(f"content type {kind!r} is not read here: {ACCEPTED}")


def of_form(body: memoryview, content_type: str) -> tuple[list[Bytes], dict[str, str]]:
    """Files and plain fields of a form."""
    whole, pictures, fields = bytes(body), list[Bytes](), dict[str, str]()
    for part in parts(whole, content_type, MOST + len(KNOWN)):
        if part.file is not None or part.name not in KNOWN:
            pictures.append(memoryview(whole)[part.begin:part.end])
        else:
            fields[part.name] = whole[part.begin:part.end].decode("utf-8", "replace")
    _counted(pictures)
    return pictures, fields


def of_json(body: Bytes) -> dict[str, Any]:
    """An object.

    Raises:
        BadRequest: it is none, or no JSON.
    """
    try:
        content = json.loads(bytes(body))
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is no JSON: {str(error)[:120]}") from None
    if not isinstance(content, dict):
        raise BadRequest('the body is a JSON object: {"image": "BASE64"} or {"images": ["BASE64", …]}')
    return content


def decoded(listed: Any) -> list[Bytes]:
    """Base64 texts as bytes.

    Raises:
        BadRequest: no list, none or too many, or one is not base64.
    """
    if not isinstance(listed, list):
        raise BadRequest("images is a list of base64 texts")
    _counted(listed)
    found: list[Bytes] = []
    for row, text in enumerate(listed):
        try:
            if not isinstance(text, str):
                raise BadPicture("is not base64")
            found.append(from_base64(text))
        except BadPicture as error:
            hint = ": addresses are not fetched" if isinstance(text, str) and "://" in text[:10] else ""
            raise BadRequest(f"image {row} {error}{hint}") from None
    return found


def invoked_of(body: memoryview, content_type: str, classes: Sequence[str]) -> Asked:
    """A request in the form of `mlflow models serve`, JSON in any of its four shapes.

    Raises:
        UnknownType: another content type; CSV is not read.
        BadRequest: what is asked cannot be answered.
    """
    if plain_type(content_type) != "application/json":
        raise UnknownType("/invocations reads application/json")
    content = of_json(body)
    shapes: dict[str, Callable[[Any], Any]] = {"dataframe_split": _split, "dataframe_records": _records,
                                               "instances": _records, "inputs": _columns}
    shape = [name for name in content if name in shapes]
    if len(shape) != 1:
        raise BadRequest(f"the body needs exactly one of {', '.join(shapes)}")
    given = content.get("params") or {}
    if not isinstance(given, Mapping):
        raise BadRequest("params is an object")
    # MLflow's clients send -1 for what the file says
    said = {name: value for name, value in given.items() if not (name == "score_threshold" and _negative(value))}
    return Asked(decoded(shapes[shape[0]](content[shape[0]])), False, settings_of(said, classes))


def _split(table: Any) -> list[Any]:
    """{"columns": ["image"], "data": [[BASE64], …]}"""
    if not isinstance(table, Mapping) or not isinstance(table.get("data"), list):
        raise BadRequest('dataframe_split is {"columns": ["image"], "data": [["BASE64"], …]}')
    columns = table.get("columns", ["image"])
    if not isinstance(columns, list) or "image" not in columns:
        raise BadRequest("the column `image` is missing")
    at = columns.index("image")
    if not all(isinstance(row, list) and len(row) == len(columns) for row in table["data"]):
        raise BadRequest(f"each row of data has {len(columns)} values")
    return [row[at] for row in table["data"]]


def _records(rows: Any) -> list[Any]:
    """[{"image": BASE64}, …], or the texts alone."""
    if not isinstance(rows, list):
        raise BadRequest('a list is expected: [{"image": "BASE64"}, …]')
    return [row.get("image") if isinstance(row, Mapping) else row for row in rows]


def _columns(columns: Any) -> list[Any]:
    """{"image": [BASE64, …]}, or rows."""
    if isinstance(columns, Mapping):
        images = columns.get("image")
        return images if isinstance(images, list) else [images]
    return _records(columns)


def _negative(value: Any) -> bool:
    return isinstance(value, int | float) and value < 0


def _joined(inside: Mapping[str, Any], query: Mapping[str, Any]) -> dict[str, Any]:
    twice = sorted(set(inside) & set(query))
    if twice:
        raise BadRequest(f"{twice[0]!r} is given twice: in the address and in the body")
    return {**inside, **query}


def _counted(pictures: Sequence[Any]) -> None:
    if not pictures:
        raise BadRequest("there is no picture in the request")
    if len(pictures) > MOST:
        raise BadRequest(f"{len(pictures)} pictures in one request, at most {MOST}: send a batch")


def refusal(text: str, invoked: bool = False, code: str = "BAD_REQUEST") -> bytes:
    """The JSON text of an error; in MLflow's form where a client of MLflow asked."""
    told = {"error_code": code, "message": text} if invoked else {"error": text}
    return json.dumps(told, ensure_ascii=False).encode()
