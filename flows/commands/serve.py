"""`visionmill serve`: a model answers over HTTP; its process is there while it is asked."""

from __future__ import annotations

import argparse
from pathlib import Path

from flows.commands.help import parser

EXAMPLES = """\
  visionmill serve cells@champion                       follows the alias
  visionmill serve cells@champion parts/3 nuts=exports/cpu-int8/pruned.onnx --idle 60
  visionmill serve deployed/cells/cpu-int8/current      a bundle; a model folder too
  curl -sT a.jpg -X POST 'http://127.0.0.1:8080/v1/models/cells/predict?score_threshold=0.5'
  curl -s -F a=@a.jpg -F b=@b.jpg http://127.0.0.1:8080/v1/models/cells/predict
  curl -sT pictures.zip -X POST -H 'Content-Type: application/zip' http://127.0.0.1:8080/v1/models/cells/batches
  visionmill serve --status; visionmill serve --stop"""


def main(words: list[str]) -> int:
    """Answer requests until Ctrl-C."""
    told = _arguments().parse_args(words)
    from tasks.serving import server

    folder = Path().resolve() / server.STATE
    if told.status or told.stop:
        found = server.stop(folder) if told.stop else server.running(folder)
        if found is None:
            print("no server runs here")
        else:
            print(f"{'ended' if told.stop else found['url']}: {', '.join(found['models'])}, process {found['pid']}")
        return 0
    from tasks.base.params import check
    from tasks.serving.options import Serving

    options = check(Serving, _values(told), "visionmill serve")
    server.serve(told.models or [""], options, told.host, told.port, Path())
    return 0


def _arguments() -> argparse.ArgumentParser:
    arguments = parser("serve", EXAMPLES)
    arguments.add_argument("models", nargs="*", metavar="MODEL",
                           help="NAME@ALIAS, NAME/VERSION, models:/…, an .onnx file, a bundle, a model folder, each "
                                "with a name of its own as NAME=MODEL; this workspace's own when left out")
    arguments.add_argument("--idle", type=float, metavar="S", help="end a model's process after so long (300)")
    arguments.add_argument("--workers", type=int, metavar="N", help="processes of one model at once (1)")
    arguments.add_argument("--processes", type=int, metavar="N", help="processes of all models at once (4)")
    arguments.add_argument("--queue", type=int, metavar="N", help="requests of a model that may wait (64)")
    arguments.add_argument("--limit-mb", type=float, metavar="MB", help="largest body of a request (32)")
    arguments.add_argument("--batch-mb", type=float, metavar="MB", help="largest body of a batch (1000)")
    arguments.add_argument("--timeout", type=float, metavar="S", help="longest work on one request (60)")
    arguments.add_argument("--follow", type=float, metavar="S", help="between two looks at an alias (3)")
    arguments.add_argument("--port", type=int, default=8080, help="0: a free one (8080)")
    arguments.add_argument("--host", default="127.0.0.1", help="who may ask: this machine alone, unless said otherwise")
    arguments.add_argument("--status", action="store_true", help="say where the server of this folder is")
    arguments.add_argument("--stop", action="store_true", help="end it")
    return arguments


def _values(told: argparse.Namespace) -> dict[str, float]:
    """What was asked for; the rest is as `Serving` has it."""
    given = {"idle_s": told.idle, "workers": told.workers, "processes": told.processes, "queue": told.queue,
             "request_mb": told.limit_mb, "batch_mb": told.batch_mb, "timeout_s": told.timeout, "follow_s": told.follow}
    return {name: value for name, value in given.items() if value is not None}
