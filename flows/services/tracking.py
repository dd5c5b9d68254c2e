"""MLflow's server, after its database was made under the lock that everybody else makes it under.

    python -P -m flows.services.tracking --host 127.0.0.1 --port 5000      in a workspace; `visionmill up` does it
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from flows.cli import explain
from tasks.base.errors import UserError
from tasks.registry import store


def main(words: list[str]) -> None:
    """Make the database if it is missing, and become the server."""
    uri = store.tracking_uri()
    if not uri.startswith("sqlite:///") or not Path(uri.removeprefix("sqlite:///")).exists():
        store.client()
    elif uri == store.own_uri():
        store.follow_move(Path())
    os.execv(sys.executable, [sys.executable, "-P", "-m", "mlflow", "server", *words])


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(f"error: {explain(error)}")
