"""The look for drift that flows make: at the site's folder of incoming pictures, once for each state of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.workspace import leave_note, note
from tasks.base.files import digest_file, digest_value, write_atomic
from tasks.base.site import Retrain

# below `.visionmill/`
NOTE, PAGE = "drift/last", "drift/last.html"


@dataclass(frozen=True)
class Incoming:
    """A look at the incoming folder.

    Attributes:
        state: of the folder's files; a drift is acted on once for each.
        found: the look as `tasks.drift.words.as_json` has it.
        again: whether it was made before, and nothing has changed since.
    """

    state: str
    found: dict[str, Any]
    again: bool

    @property
    def drift(self) -> bool:
        return self.found["verdict"] == "drift"

    @property
    def text(self) -> str:
        return str(self.found["text"])


def look(root: Path, policy: Retrain) -> Incoming:
    """Look for drift; what was looked at before is not looked at again. The page is `.visionmill/drift/last.html`.

    Raises:
        UserError: the incoming folder, the dataset or the model cannot be read.
    """
    from tasks.drift.arriving import state_of

    folder = (root / Path(policy.incoming or "").expanduser()).resolve()
    state = state_of(folder)
    asked = digest_value([state, str(folder), policy.false_alarm, *_digests(root)])
    before = note(NOTE, root)
    if isinstance(before, dict) and before.get("asked") == asked:
        return Incoming(state, before["found"], again=True)
    found = _look(root, folder, policy.false_alarm)
    leave_note(NOTE, {"asked": asked, "found": found}, root)
    return Incoming(state, found, again=False)


def _look(root: Path, folder: Path, false_alarm: float) -> dict[str, Any]:
    from tasks.drift.asked import find_detector, find_reference
    from tasks.drift.look import Settings, look_for_drift
    from tasks.registry.drift_log import log_look
    from tasks.reporting.drift.page import build_page

    model, why = find_detector(root)
    settings = Settings(false_alarm=false_alarm)
    made = look_for_drift(folder, find_reference(root), root, settings, model, why)
    page, found = build_page(made), made.to_json()
    write_atomic(root / ".visionmill" / PAGE, page)
    log_look(found, page, root)
    return found


def _digests(root: Path) -> list[str]:
    """Of what a look depends on besides the folder: the dataset, and the version that is here."""
    files = (root / "data/split/images.parquet", root / ".visionmill/registered.json")
    return [digest_file(file) if file.is_file() else "" for file in files]
