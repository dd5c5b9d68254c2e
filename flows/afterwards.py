"""The steps of a retraining around the line itself: what each one does, and what is kept and told of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows import branching, drifting, line, reasons, remote, stages
from flows.drifting import Incoming
from flows.line import Line
from flows.reasons import Reason
from flows.stages import StageFailed
from flows.steps import step
from flows.workspace import leave_note, note
from tasks.base.errors import GateRefused, VisionmillError
from tasks.base.site import Event, Retrain, site_name
from tasks.registry.registered import is_registered

AGAIN = "train"
NOTHING = "nothing new: data, code and parameters are as they were"
LIMIT_S = 43_200.0


@dataclass
class Retraining:
    """One retraining of a workspace; each method is one step and says in a line what it did.

    Attributes:
        policy: the site's section `retrain`.
        asked: what the person or the schedule gave as the reason.
        said: what each step said so far, and whether it went well.
        error: what ended the line; `failed`: the first failure of a step that ends nothing.
    """

    root: Path
    policy: Retrain
    asked: str | None = None
    force: bool = False
    plan: Line | None = None
    incoming: Incoming | None = None
    reasons: list[Reason] = field(default_factory=list)
    said: dict[str, tuple[bool, str]] = field(default_factory=dict)
    error: VisionmillError | None = None
    failed: VisionmillError | None = None

    def do(self, name: str, action: Callable[[], str], *, wanted: bool = True) -> None:
        """One step as a Prefect task.

        Raises:
            VisionmillError: it failed.
        """
        if not wanted:
            return
        try:
            self.said[name] = (True, step(name, action))
        except VisionmillError as error:
            self.said[name] = (False, error.what)
            raise

    def attempt(self, name: str, action: Callable[[], str], *, wanted: bool = True) -> None:
        """A step whose failure is told and ends nothing."""
        try:
            self.do(name, action, wanted=wanted)
        except VisionmillError as error:
            print(f"{name:12} : failed: {error}", flush=True)
            self.failed = self.failed or error

    @property
    def why(self) -> str:
        """The reasons in a line, with the words of who asked."""
        said = self.asked and all(reason.kind != "request" for reason in self.reasons)
        return reasons.told(self.reasons) + (f" ({self.asked})" if said else "") if self.reasons else NOTHING

    def pull(self) -> str:
        plan = line.ask(self.root)
        done = remote.pull(self.root, plan)
        self.plan = None if done else plan
        return "; ".join(done) or "nothing was missing"

    def look(self) -> str:
        self.incoming = drifting.look(self.root, self.policy)
        return f"{'as before: ' if self.incoming.again else ''}{self.incoming.text}"

    def check(self) -> str:
        """Find the reasons to run. A drift is a reason once: the same pictures are not acted on every night."""
        self.plan = self.plan or line.ask(self.root)
        self.reasons = reasons.reasons(self.root, self.plan, is_registered(self.root), asked=self.asked,
                                       force=self.force, drift=self._drift())
        return self.why

    def _drift(self) -> str | None:
        seen = self.incoming
        if seen is None or not seen.drift or self.policy.on_drift != "retrain":
            return None
        return None if self._before("acted_on") == seen.state else seen.text

    @property
    def trains_again(self) -> bool:
        """Whether a training was asked for, by a person or by drift, that the run itself would not do."""
        asked = self.force or any(reason.kind == "drift" for reason in self.reasons)
        return asked and self.plan is not None and self._trained_by() not in self.plan.will_run()

    def _trained_by(self) -> str:
        order = self.plan.order if self.plan else []
        return AGAIN if AGAIN in order or not order else order[-1]

    def train_again(self) -> str:
        """Run the training though nothing is stale: without new labels it gives what it gave before."""
        stage = self._trained_by()
        receipt = self.root / ".visionmill/receipts" / f"{stage}.again.jsonl"
        command = [*remote.DVC, "--wait-for-lock", "repro", "-s", "-f", stage]
        code, tail = stages.stream(command, self.root, receipt, LIMIT_S, lambda text: print(f"{stage:12} | {text}"))
        if code:
            raise VisionmillError(f"stage {stage} failed: {tail[-1] if tail else f'dvc ended with {code}'}",
                                  where=self.root)
        return f"{stage} ran again on the same data, code and parameters"

    def mark(self) -> str:
        """Tag the line's run and its version with the reason."""
        from tasks.registry.reason import tag_reason

        made, why = is_registered(self.root), self.why
        if made is None or not made.run_id:
            return "there is no run to mark"
        tag_reason(made.run_id, made.name, str(made.version), why, self.root)
        return f"{made.name} version {made.version}: {why}"

    def push(self) -> str:
        return remote.push(self.root)

    def branch(self) -> str:
        made = is_registered(self.root)
        version = f"{made.name} version {made.version}\n\n" if made else ""
        text = f"retrain: {version}{self.why}"
        return branching.record(self.root, self.policy.branch or "", text)

    def notify(self) -> str:
        """Registration tells of versions, the aliases of promotions: here of drift, and of what went wrong."""
        told = [_tell(*message, self.root) for message in self._messages()]
        return f"told of: {', '.join(told)}" if told else "nothing to tell"

    def _messages(self) -> list[tuple[Event, str, str, dict[str, Any]]]:
        found: list[tuple[Event, str, str, dict[str, Any]]] = []
        seen, name = self.incoming, self.root.name
        if seen and seen.drift and self.policy.on_drift != "ignore" and self._before("told_of") != seen.state:
            wish = "Labels of some of these pictures are asked for." if self.policy.on_drift == "label" else \
                "The line is run again."
            found.append(("drift", f"{name}: the pictures that arrive have changed", f"{seen.text} {wish}",
                          {**seen.found, "wanted": self.policy.on_drift}))
        failed = {name: text for name, (good, text) in self.said.items() if not good}
        if isinstance(self.error, StageFailed) or self.error and not failed and not isinstance(self.error, GateRefused):
            failed["run"] = self.error.what
        if failed:
            made = is_registered(self.root)
            kept = f"{made.name} version {made.version} is registered.\n" if made else ""
            lines = "\n".join(f"{step_name}: {text}" for step_name, text in failed.items())
            found.append(("failed", f"{name}: {', '.join(failed)} failed", f"{kept}{lines}", {"failed": failed}))
        return found

    def close(self) -> None:
        """Keep `.visionmill/last_retrain.json`."""
        made, seen, error = is_registered(self.root), self.incoming, self.error
        more: dict[str, Any] = {}
        if seen and seen.drift and (error is None or isinstance(error, GateRefused)):
            more = {"told_of": seen.state}
            if any(reason.kind == "drift" for reason in self.reasons):
                more["acted_on"] = seen.state
        outcome = ("refused" if isinstance(error, GateRefused) else "failed" if error else
                   "registered" if self.reasons else "nothing new")
        reasons.remember(
            self.root, outcome=outcome, asked=self.asked, reasons=reasons.as_note(self.reasons),
            error=error.what if error else None, exit_code=error.exit_code if error else 0,
            name=made.name if made else None, version=str(made.version) if made else None,
            drift=seen.found["verdict"] if seen else None, flow_run=os.environ.get("VISIONMILL_FLOW_RUN"),
            steps={name: {"ok": good, "text": text} for name, (good, text) in self.said.items()}, site=site_name(),
            date=time.strftime("%Y-%m-%d"), **more)

    def told(self) -> None:
        """Remember that this drift was told, where nothing else is to be kept."""
        if self.incoming and self.incoming.drift:
            kept = note(reasons.NOTE, self.root) or {}
            leave_note(reasons.NOTE, {**kept, "told_of": self.incoming.state}, self.root)

    def _before(self, key: str) -> Any:
        return (note(reasons.NOTE, self.root) or {}).get(key)


def _tell(event: Event, subject: str, text: str, facts: dict[str, Any], root: Path) -> Event:
    from tasks.notify import tell

    tell(event, subject, text, facts=facts, workspace=root)
    return event
