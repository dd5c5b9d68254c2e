"""Peak memory of one artefact, measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tasks.base.errors import VisionmillError

# not getrusage: its maximum is inherited from the process that starts this one
_PROBE = """
import sys
from pathlib import Path
import numpy as np
from tasks.runtime.detector import open_detector
detector = open_detector(Path(sys.argv[1]), int(sys.argv[2]) or None, sys.argv[3] or None)
picture = np.zeros((detector.height, detector.width, 3), dtype=np.uint8)
for _ in range(3):
    detector.predict([picture])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def peak_mb(artefact: Path, threads: int | None = None, runtime: str | None = None) -> float | None:
    """Largest resident memory in MB of a fresh process that opens an artefact and runs three pictures; None off Linux.

    The interpreter and the runtime's own libraries are part of it, as they are on a device.

    Args:
        artefact: a model folder or an exported file.
        threads: cores to use; all when None.
        runtime: what it is made for when None.
    """
    if not Path("/proc/self/status").is_file():
        return None
    command = [sys.executable, "-P", "-c", _PROBE, str(artefact.resolve()), str(threads or 0), runtime or ""]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise VisionmillError(f"the artefact does not run: {done.stderr.strip().splitlines()[-1:]}", where=artefact)
    return int(done.stdout.split()[-1]) / 1024
