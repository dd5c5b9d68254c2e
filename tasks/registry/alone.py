"""The code that a registered model carries: one file, put together from the package's own, that needs none of it."""

from __future__ import annotations

from pathlib import Path

from tasks.base.files import write_atomic

NAME = "served.py"
SET = "mlflow.models.set_model(ServedDetector())"


def write_code(folder: Path) -> Path:
    """Write `served.py` for `mlflow.pyfunc.save_model(python_model=…)` into a folder; equal code gives equal bytes."""
    from tasks.bundle.gather import gather

    text = gather("tasks.registry.served", "ServedDetector")
    head = "from __future__ import annotations\n"
    write_atomic(folder / NAME, text.replace(head, f"{head}\nimport mlflow", 1) + f"\n\n{SET}\n")
    return folder / NAME
