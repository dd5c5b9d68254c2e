"""Which exported files are measured: the one parameter that the stages after `export` share with it."""

from __future__ import annotations

from pathlib import Path

from tasks.base.errors import ParamsError
from tasks.base.params import read_yaml


def chosen_targets(path: Path = Path("params.yaml")) -> list[str]:
    """`export.targets` of a `params.yaml`.

    Raises:
        ParamsError: it is not there, or not a list of names.
    """
    everything = read_yaml(path)
    section = everything.get("export") if isinstance(everything, dict) else None
    targets = section.get("targets") if isinstance(section, dict) else None
    if not isinstance(targets, list) or not all(isinstance(target, str) for target in targets):
        mend = "names of files in conf/target/: targets: [cpu-fp32, cpu-int8]"
        raise ParamsError("export.targets is not a list of names", where=path, mend=mend)
    return targets
