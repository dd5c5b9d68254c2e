"""`README.md` of a bundle: what the model is, what it was made of, how good and fast it was, how to run it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.base.files import write_atomic
from tasks.bundle.source import Source

ALONE = """\
    pip install numpy pillow onnxruntime
    python predict.py picture.jpg
    python predict.py *.jpg --threshold 0.5

`predict.py` prints one JSON object a picture: class, score in 0..1, box as x0, y0, x1, y1 in pixels of the picture. It
checks `checksums.txt` first and refuses a folder in which anything was changed. The folder may lie anywhere."""

TRITON = """\
    tritonserver --model-repository=$PWD/models

Ask the ensemble `{name}` with `images` (uint8 [1, 3, {height}, {width}], fitted as `bundle.json` says under
`preprocess`) and `size` (int32 [2]: height and width of the picture). It answers `boxes` (in pixels of the picture),
`scores`, `class_ids` and `classes`. Thresholds and suppression are parameters in
`models/{name}_postprocess/config.pbtxt`; that model needs numpy in Triton's Python.{note}

`predict.py` runs the same file without Triton."""

PLAN = """

The detector is served by ONNX Runtime with TensorRT as its accelerator, so that nothing has to be built here. For a
plan of TensorRT's own, on the machine that will serve it: `trtexec --onnx=models/{name}_detector/1/model.onnx
--saveEngine=models/{name}_detector/1/model.plan`, then in that model's `config.pbtxt` `platform: "tensorrt_plan"` in
place of `platform` and the block `optimization`."""

DEEPSTREAM = """\
    make                       # needs DeepStream's headers: DEEPSTREAM=/opt/nvidia/deepstream/deepstream
    deepstream-app -c YOUR_APP.txt        with [primary-gie] config-file={here}/config_infer_primary.txt

`model.onnx` takes the picture's values as float32, 0..255: nvinfer delivers no bytes. Normalisation and decoding are
in the file, so `net-scale-factor` is 1. `libnvdsinfer_visionmill.so` does what stands behind: thresholds of each class
from the configuration, the best {top_k}, suppression within each class, the best {most}. Hence `cluster-mode=4`. To let
nvinfer suppress instead: `make SUPPRESSION=off` and `cluster-mode=2`.

Two things differ from `predict.py` and cost a little accuracy: nvinfer pads with black, not with grey {fill}, and
scales without widening its filter. `predict.py` runs the same file without DeepStream."""


def write_card(path: Path, told: Mapping[str, Any], source: Source) -> None:
    """Write the model card; equal facts give equal text."""
    chapters = {"How to run it": _run, "Measured": _measured, "Classes": _classes, "Where it comes from": _origin,
                "Limits": _limits}
    parts = [f"# {told['name']}", _what(told, source),
             *(f"## {title}\n\n{write(told)}" for title, write in chapters.items())]
    write_atomic(path, "\n\n".join(parts) + "\n")


def _what(told: Mapping[str, Any], source: Source) -> str:
    height, width = told["preprocess"]["height"], told["preprocess"]["width"]
    network = f" Network: {source.network}." if source.network else ""
    return (f"A detector of {len(told['classes'])} classes: pictures in, boxes out. {told['precision'].upper()}, "
            f"made for {told['runtime']} on {told['device']};\ninput {width} × {height} pixels.{network}")


def _run(told: Mapping[str, Any]) -> str:
    fit, rule = told["preprocess"], told["postprocess"]
    if told["for"] == "triton":
        note = PLAN.format(name=told["triton"]) if told["runtime"].startswith("tensorrt") else ""
        return TRITON.format(name=told["triton"], height=fit["height"], width=fit["width"], note=note)
    if told["for"] == "deepstream":
        return DEEPSTREAM.format(here="THIS_FOLDER", top_k=rule["top_k"], most=rule["max_detections"], fill=fit["fill"])
    provider, alone = told["providers"][0], "\n\n".join([ALONE, *_extras(told)])
    if provider == "CPUExecutionProvider":
        return alone
    return (f"{alone}\n\nIt is made for `{provider}` of ONNX Runtime, which wants a build of onnxruntime with it. "
            "Where that is not there, it says so and stops; `--provider CPUExecutionProvider` runs it on the "
            "CPU instead.")


def _extras(told: Mapping[str, Any]) -> list[str]:
    said = []
    if told.get("tiles"):
        tiles = told["tiles"]
        said.append(f"Pictures larger than {tiles['tile']} pixels are looked at in tiles of that side, which share "
                    f"{tiles['overlap']:.0%} with their\nneighbours (`extras.py`).")
    if told.get("cascade"):
        cascade = told["cascade"]
        which = ", ".join(cascade["only"]) or "every class"
        said.append(f"Boxes of {which} are cut out and named by `{cascade['model']}`: `label` and `label_score`, one "
                    f"of {', '.join(cascade['classes'])}.")
    return said


def _measured(told: Mapping[str, Any]) -> str:
    said, rows = told["measured"], []
    if "AP" in said or "AP50" in said:
        numbers = ", ".join(f"{name} {said[name]:.4f}" for name in ("AP", "AP50") if name in said)
        which = "the exported file" if told["for"] == "deepstream" else "this very file"
        rows.append(f"- Accuracy of {which}: {numbers}, on {said.get('test_images', 'the')} test pictures"
                    f" (hash `{said.get('test_hash', 'unknown')}`).")
    if "median_ms" in said:
        machine = said.get("machine")
        where = ", ".join(f"{machine[k]} {k}" if k == "cores" else str(machine[k]) for k in ("cpu", "cores")
                          if machine.get(k)) if isinstance(machine, Mapping) else machine
        times = f", {said['speedup']:.1f} times as fast as the unpruned network in torch" if "speedup" in said else ""
        rows.append(f"- Latency at batch 1: {said['median_ms']:.1f} ms{times}; on "
                    f"{where or 'the machine that registered it'}.")
    return "\n".join(rows) or ("Nothing is known here: the file was bundled without the results of its line. Measure "
                               "it before it is used.")


def _classes(told: Mapping[str, Any]) -> str:
    rows = [f"| {i} | {name.replace('|', '/')} | {told['thresholds'][name]:g} |"
            for i, name in enumerate(told["classes"])]
    return "\n".join(["| id | class | counts from score |", "|---|---|---|", *rows])


def _origin(told: Mapping[str, Any]) -> str:
    names = {"name": "registered model", "version": "version", "artefact": "artefact", "line": "line",
             "data_hash": "hash of the data", "git_commit": "commit", "gate": "gate", "made_by": "bundled by"}
    rows = [f"- {text}: `{told['provenance'][key]}`" for key, text in names.items() if key in told["provenance"]]
    licence = told["data_licence"] or "not stated; ask who made the model before it is passed on"
    return "\n".join([*rows, f"- licence of the data: {licence}", "- licence of the scripts here: Apache-2.0"])


def _limits(told: Mapping[str, Any]) -> str:
    fit, rule = told["preprocess"], told["postprocess"]
    lines = [
        "- It knows its own classes and the kind of picture it was trained on; elsewhere its scores mean nothing.",
        f"- Pictures are scaled to fit {fit['width']} × {fit['height']}; what is then smaller than a few pixels "
        "is not found.",
        f"- At most {rule['max_detections']} objects a picture.",
    ]
    if told["precision"] != "fp32":
        lines.append(f"- {told['precision'].upper()}: other processors round differently, and scores near a threshold "
                     "may fall on its other side.")
    return "\n".join(lines)
