"""Peak memory of one artefact, measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tasks.base.errors import VisionmillError

_PROBE = """
import resource, sys
from pathlib import Path
import numpy as np
from tasks.runtime.detector import open_detector
detector = open_detector(Path(sys.argv[1]), int(sys.argv[2]) or None)
picture = np.zeros((detector.height, detector.width, 3), dtype=np.uint8)
for _ in range(3):
    detector.predict([picture])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_mb(artefact: Path, threads: int | None = None) -> float:
    """Largest resident memory in MB of a fresh process that opens an artefact and runs three pictures.

    The interpreter and the runtime's own libraries are part of it, as they are on a device.
    """
    command = [sys.executable, "-P", "-c", _PROBE, str(artefact.resolve()), str(threads or 0)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise VisionmillError(f"the artefact does not run: {done.stderr.strip().splitlines()[-1:]}", where=artefact)
    return int(done.stdout.split()[-1]) / 1024
