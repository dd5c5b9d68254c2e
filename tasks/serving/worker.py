"""A model's process: opens one model, answers one request after the other, ends with its front.

Imports numpy, Pillow and ONNX Runtime, and torch only for a model folder: the first answer waits for it.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
import warnings
from pathlib import Path

PR_SET_PDEATHSIG = 1


def main(words: list[str]) -> None:
    """`FD PARENT FACTS`: the line to the front, the front's process id, and JSON with `path` and what answers say."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(words[1]):
            return
    line = socket.socket(fileno=int(words[0]))
    facts = json.loads(words[2])
    work(line, Path(facts.pop("path")), facts)


def work(line: socket.socket, path: Path, facts: dict[str, object]) -> None:
    """Answer until the line ends."""
    from PIL import Image

    from tasks.base.errors import VisionmillError
    from tasks.serving.answers import Answering
    from tasks.serving.frames import receive, send

    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the size is checked with our own limit
    try:
        answering = Answering(path, facts)
    except VisionmillError as error:
        send(line, {"error": error.what, "where": str(error.where or ""), "mend": error.mend or ""})
        return
    send(line, {"provider": answering.detector.provider, "classes": answering.classes})
    while True:
        try:
            head, body = receive(line)
            send(line, *answering(head, body))
        except (EOFError, OSError):
            return


if __name__ == "__main__":
    main(sys.argv[1:])
    os._exit(0)  # freeing a session takes longer than the system needs for it
