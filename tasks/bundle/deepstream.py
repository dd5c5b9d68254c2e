"""For NVIDIA DeepStream: an ONNX file with a float input, nvinfer's configuration, and the parser of our outputs.

Keys: gstnvinfer_property_parser.h and the page of Gst-nvinfer in DeepStream's developer guide.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.base.errors import UserError, VisionmillError
from tasks.base.files import write_atomic
from tasks.bundle import content
from tasks.bundle.exported import Exported, load
from tasks.bundle.float_input import asymmetric, float_input
from tasks.bundle.source import Source

PARSER = Path(__file__).with_name("nvdsinfer_visionmill.cpp")
MODES = {"fp32": 0, "int8": 1, "fp16": 2}
NEVER = 2.0  # an overlap that no two boxes have

MAKEFILE = """\
# The library that config_infer_primary.txt names. SUPPRESSION=off leaves suppression to nvinfer: cluster-mode=2 there.
DEEPSTREAM ?= /opt/nvidia/deepstream/deepstream
CXXFLAGS ?= -O2
INCLUDES ?= -isystem $(DEEPSTREAM)/sources/includes -isystem /usr/local/cuda/include
RULES = -DVISIONMILL_IOU=$(if $(filter off,$(SUPPRESSION)),{never},{iou}) -DVISIONMILL_TOP_K={top_k} \\
	-DVISIONMILL_MAX_DETECTIONS=$(if $(filter off,$(SUPPRESSION)),{top_k},{most})

libnvdsinfer_visionmill.so: nvdsinfer_visionmill.cpp Makefile
	$(CXX) $(CXXFLAGS) -std=c++14 -Wall -Wextra -ffp-contract=off -fPIC -shared $(RULES) $(INCLUDES) -o $@ $<

.PHONY: clean
clean:
	rm -f libnvdsinfer_visionmill.so
"""


def write_deepstream(folder: Path, found: Exported, source: Source) -> dict[str, Any]:
    """Write model, configuration, parser and Makefile; returns what `bundle.json` says.

    Raises:
        UserError: TensorRT, which DeepStream runs, cannot read the file's INT8.
        VisionmillError: with its float input the network answers differently.
    """
    import onnx

    proto = load(found.file)
    if asymmetric(proto):
        raise UserError("DeepStream runs TensorRT, whose INT8 is symmetric; this file's activations are unsigned, "
                        "made for CPUs", where=found.file,
                        mend="bundle the line's trt-int8, trt-fp16 or cpu-fp32 file: export.targets, then dvc repro")
    float_input(proto, found.file)
    onnx.checker.check_model(proto)
    changed = proto.SerializeToString(deterministic=True)
    _prove(found, changed)
    (folder / "model.onnx").write_bytes(changed)
    write_atomic(folder / "config_infer_primary.txt", configuration(found))
    write_atomic(folder / "nvdsinfer_visionmill.cpp", PARSER.read_text(encoding="utf-8"))
    rule = found.suppression
    write_atomic(folder / "Makefile", MAKEFILE.format(never=NEVER, iou=NEVER if rule.iou is None else rule.iou,
                                                      top_k=rule.top_k, most=rule.max_detections))
    return content.describe(found, source, "deepstream", "model.onnx", "float32")


def _prove(found: Exported, changed: bytes) -> None:
    """The changed network answers noise as the original does."""
    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    # as the graphs say, node by node: what is quantised would be fused, and each fusion rounds anew
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    image = np.random.default_rng(0).integers(0, 256, (1, 3, found.height, found.width), dtype=np.uint8)
    answers = [ort.InferenceSession(file, options, providers=["CPUExecutionProvider"]).run(
        ["boxes", "scores"], {"images": pixels})
        for file, pixels in ((str(found.file), image), (changed, image.astype(np.float32)))]
    for one, other, tolerance in zip(*answers, (1e-4 * max(found.height, found.width), 1e-4), strict=True):
        if not np.abs(one.astype(np.float64) - other).max(initial=0) <= tolerance:
            raise VisionmillError("with a float input the network answers differently", where=found.file,
                                  mend="tell us of that file; other bundles of it are not concerned")


def configuration(found: Exported) -> str:
    """`config_infer_primary.txt`: no clustering, since the parser suppresses as every other runtime of ours does."""
    rule = found.suppression
    keys = {
        "gpu-id": 0, "gie-unique-id": 1, "process-mode": 1, "network-type": 0, "batch-size": 1, "interval": 0,
        "onnx-file": "model.onnx", "model-engine-file": f"model.onnx_b1_gpu0_{found.precision}.engine",
        "network-mode": MODES[found.precision], "infer-dims": f"3;{found.height};{found.width}",
        "network-input-order": 0, "model-color-format": 0, "net-scale-factor": "1.0", "offsets": "0.0;0.0;0.0",
        "maintain-aspect-ratio": 1, "symmetric-padding": 0, "scaling-filter": 1,
        "labelfile-path": "labels.txt", "num-detected-classes": len(found.classes),
        "output-blob-names": "boxes;scores", "parse-bbox-func-name": "NvDsInferParseVisionmill",
        "custom-lib-path": "libnvdsinfer_visionmill.so", "cluster-mode": 4,
    }
    everywhere = {"topk": rule.max_detections, "nms-iou-threshold": 1.0 if rule.iou is None else rule.iou,
                  "pre-cluster-threshold": min(found.thresholds.values())}
    groups: dict[str, dict[str, Any]] = {"property": keys, "class-attrs-all": everywhere}
    # whole in each group: nothing then hangs on what a group takes over from class-attrs-all
    groups |= {f"class-attrs-{i}": {**everywhere, "pre-cluster-threshold": found.thresholds[name]}
               for i, name in enumerate(found.classes)}
    return "\n".join(_group(name, values) for name, values in groups.items())


def _group(name: str, values: dict[str, Any]) -> str:
    return f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in values.items())
