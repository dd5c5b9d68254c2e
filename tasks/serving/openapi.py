"""What the server answers, as an OpenAPI 3.1 document: https://spec.openapis.org/oas/v3.1.0."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tasks.serving.options import Serving
from tasks.serving.target import Target

BOX = {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4,
       "description": "x0, y0, x1, y1 in pixels of the picture as displayed"}
SCORE = {"type": "number", "minimum": 0, "maximum": 1}
TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 0}
IMAGE = {"type": "string", "contentEncoding": "base64", "description": "JPEG, PNG, BMP, WebP, TIFF, PPM or GIF"}
SETTINGS = {
    "score_threshold": {**SCORE, "description": "for all classes; what the model says of each when left out"},
    "thresholds": {"type": "object", "additionalProperties": SCORE, "description": "class → score, before the other"},
    "max_detections": {"type": "integer", "minimum": 1, "maximum": 10_000}}
ERRORS = {"400": "no picture, a bomb, or a wrong parameter; `error` says which", "404": "no such model or batch",
          "408": "the body did not arrive in time", "413": "the body is too large",
          "415": "a content type that is not read", "429": "the line is full; see Retry-After",
          "503": "the model's process ended twice, or does not open; see Retry-After", "504": "it took too long",
          "507": "the disk is full"}


def document(targets: Iterable[Target], options: Serving) -> dict[str, Any]:
    """The whole document; `targets` are the names that can be asked."""
    names = [target.name for target in targets]
    model = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "enum": names}}
    batch = {"name": "id", "in": "path", "required": True, "schema": TEXT}
    ref = {name: {"$ref": f"#/components/schemas/{name}"} for name in schemas()}
    query = [{"name": name, "in": "query", "schema": schema} if name != "thresholds" else
             {"name": name, "in": "query", "content": {"application/json": {"schema": schema}}}
             for name, schema in SETTINGS.items()]
    raw = {"schema": {"type": "string", "format": "binary"}}
    form = {"schema": {"type": "object", "properties": {"image": {"type": "string", "format": "binary"}, **SETTINGS}}}
    asked = {"image/*": raw, "application/octet-stream": raw, "multipart/form-data": form,
             "application/json": {"schema": ref["Asked"]}}
    many = {"application/zip": raw, "multipart/form-data": form, "application/json": {"schema": ref["Asked"]}}
    lines = {"application/x-ndjson": {"schema": ref["Result"]}}
    text = {"text/plain": {"schema": TEXT}}
    paths = {
        "/v1/models": {"get": _operation("models", {"type": "object"})},
        "/v1/models/{name}": {"get": _operation("model", ref["Model"], [model], wrong=("404",))},
        "/v1/models/{name}/predict": {"post": _operation(
            "predict", {"oneOf": [ref["Answer"], ref["Answers"]]}, [model, *query], asked,
            ("400", "404", "408", "413", "415", "429", "503", "504"))},
        "/v1/models/{name}/invocations": {"post": _operation(
            "invokeModel", ref["Predictions"], [model], {"application/json": {"schema": ref["Invocation"]}}, ("400",))},
        "/invocations": {"post": _operation(
            "invoke", ref["Predictions"], (), {"application/json": {"schema": ref["Invocation"]}}, ("400",))},
        "/v1/models/{name}/batches": {"post": _operation(
            "beginBatch", ref["Batch"], [model, *query], many, ("400", "404", "408", "413", "415", "429", "507"),
            status="202")},
        "/v1/batches": {"get": _operation("batches", {"type": "object"})},
        "/v1/batches/{id}": {"get": _operation("batch", ref["Batch"], [batch], wrong=("404",)),
                             "delete": _operation("endBatch", ref["Batch"], [batch], wrong=("404",))},
        "/v1/batches/{id}/results": {"get": _operation("results", None, [batch], wrong=("404",), content=lines)},
        "/health": {"get": _operation("health", {"type": "object"})},
        "/metrics": {"get": _operation("metrics", None, content=text)}}
    told = (f"Bodies of at most {options.request_mb:g} MB, batches of {options.batch_mb:g} MB. Addresses inside a "
            "request are never fetched.")
    return {"openapi": "3.1.0", "info": {"title": "visionmill serve", "version": "1", "description": told},
            "paths": paths, "components": {"schemas": schemas()}}


def _operation(name: str, answer: dict[str, Any] | None, parameters: Iterable[dict[str, Any]] = (),
               body: dict[str, Any] | None = None, wrong: Iterable[str] = (), status: str = "200",
               content: dict[str, Any] | None = None) -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    answers = {status: {"description": "done" if status == "200" else "accepted",
                        "content": content or {"application/json": {"schema": answer}}},
               **{code: {"description": ERRORS[code], "content": error} for code in wrong}}
    return {"operationId": name, "parameters": list(parameters), "responses": answers,
            **({"requestBody": {"required": True, "content": body}} if body else {})}


def schemas() -> dict[str, Any]:
    """Names and forms of what goes in and out."""
    detection = _object({"class": TEXT, "score": SCORE, "box": BOX})
    looked = {"width": COUNT, "height": COUNT, "detections": {"type": "array", "items": detection}}
    facts = {"model": TEXT, "version": {"type": ["string", "null"]}, "artefact": {"type": ["string", "null"]},
             "sha256": TEXT, "provider": TEXT,
             "milliseconds": _object({"decode": {"type": "number"}, "infer": {"type": "number"}})}
    images = {"type": "array", "items": {"oneOf": [IMAGE, {"type": "object", "properties": {"name": TEXT,
                                                                                           "image": IMAGE}}]}}
    rows = {"type": "array", "items": {"type": "array"}}
    states = {"enum": ["waiting", "running", "done", "cancelled", "failed", "removed"]}
    return {
        "Error": _object({"error": TEXT}),
        "Asked": {"type": "object", "properties": {"image": IMAGE, "images": images, **SETTINGS}},
        "Answer": _object({**facts, **looked}),
        "Answers": _object({**facts, "pictures": {"type": "array", "items": _object(looked)}}),
        "Result": {"type": "object", "required": ["index", "name"],
                   "properties": {"index": COUNT, "name": TEXT, "error": TEXT, **facts, **looked}},
        "Invocation": {"type": "object", "properties": {
            "dataframe_split": _object({"columns": {"type": "array", "items": TEXT}, "data": rows}),
            "dataframe_records": {"type": "array"}, "instances": {"type": "array"}, "inputs": {},
            "params": {"type": "object", "properties": SETTINGS}}},
        "Predictions": _object({"predictions": {"type": "array", "items": _object(
            {"boxes": {"type": "array", "items": BOX}, "classes": {"type": "array", "items": TEXT},
             "scores": {"type": "array", "items": SCORE}})}}),
        "Batch": _object({"id": TEXT, "model": TEXT, "version": {"type": ["string", "null"]}, "sha256": TEXT,
                          "state": states, "reason": {"type": ["string", "null"]}, "total": COUNT, "done": COUNT,
                          "failed": COUNT, "created": TEXT, "url": TEXT, "results": TEXT}),
        "Model": _object({"name": TEXT, "address": TEXT, "version": {"type": ["string", "null"]}, "sha256": TEXT,
                          "artefact": {"type": ["string", "null"]}, "classes": {"type": "array", "items": TEXT},
                          "runtime": TEXT, "provider": {"type": ["string", "null"]},
                          "processes": {"type": "array", "items": COUNT}, "waiting": COUNT,
                          "warning": {"type": ["string", "null"]}})}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}
