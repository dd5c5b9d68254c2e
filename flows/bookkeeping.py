"""What `produce` asks of Prefect: stages as tasks with named states, and runs that died marked as crashed."""

from __future__ import annotations

import contextlib
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import State, StateType
from prefect.context import FlowRunContext
from prefect.states import Completed, Crashed, Running

from flows import stages, summary
from flows.cli import explain
from flows.line import Line
from flows.services import away
from flows.stages import FAILED, SKIPPED, Outcome, StageFailed
from flows.workspace import leave_note
from tasks.base.errors import GateRefused, VisionmillError
from tasks.base.progress import duration
from tasks.registry.registered import Registration, is_registered

BAD = (FAILED, SKIPPED)
# tag of flows that hold no lock, since they touch nothing of the line
BESIDE = "beside-the-line"
# the tag that Prefect counts GPU slots by, and the stages that have it: with none free a run waits
GPU = "gpu"
GPU_STAGES = {"train", "prune", "neighbours", "evaluate", "benchmark"}
AWAITING = "AwaitingGpuSlot"
SOON_S = 2.0
_OURS: set[Any] = set()


def workspace_tag(root: Path) -> str:
    """The tag of all flow runs of one workspace: on a shared Prefect server others must be left alone."""
    return f"workspace:{platform.node()}:{root}"


def start(root: Path) -> None:
    """Tell the stages which flow run they are part of, and mark runs of this workspace that still count as running
    as crashed: we hold its lock, so they are dead. Flows that this one is part of and runs that wait for the lock are
    left alone, and so are those that work beside the line without it."""
    context = FlowRunContext.get()
    own = context.flow_run.id if context and context.flow_run else None
    os.environ["VISIONMILL_FLOW_RUN"] = str(own)
    if own:
        _OURS.add(own)
    alive = FlowRunFilter(
        tags=FlowRunFilterTags(all_=[workspace_tag(root)]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING])))
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=alive):
            # a worker's run is pending while it waits; its worker tells if it dies
            waits = run.deployment_id and run.state and run.state.is_pending()
            if run.id not in _OURS and not waits and BESIDE not in run.tags:
                client.set_flow_run_state(run.id, Crashed(message="its process died"), force=True)


def repro_stage(root: Path, stage: str, *, retries: int, limit_s: float, pull: bool) -> Outcome:
    """Run one stage as a Prefect task of its name; a failure comes back as an outcome."""
    tags = [GPU] if stage.partition("@")[0] in GPU_STAGES else []
    named = _repro.with_options(name=stage, task_run_name=stage, retries=retries, retry_delay_seconds=2, tags=tags)
    with _told_while_it_waits(stage if tags else None) as began:
        state = _despite_absence(lambda: named(root, stage, limit_s, pull, began, return_state=True))
    result = state.result(raise_on_failure=False)
    if isinstance(result, StageFailed):
        return result.outcome
    if isinstance(result, VisionmillError):
        return Outcome(stage, FAILED, reason=str(result), exit_code=result.exit_code)
    if isinstance(result, BaseException):
        raise result
    return result


@contextmanager
def _told_while_it_waits(stage: str | None) -> Iterator[Callable[[], None]]:
    """Where a task has not begun soon it waits for a GPU slot: the flow run's state then says so, until it begins.

    Args:
        stage: its name; None: it needs no slot.
    """
    context = FlowRunContext.get()
    run = context.flow_run.id if context and context.flow_run else None
    told, over = threading.Event(), threading.Event()

    def tell() -> None:
        while not over.wait(SOON_S) and not _slots_are_taken():
            pass
        if over.is_set():
            return
        told.set()
        print(f"{stage:12} : waits for a GPU slot", flush=True)
        _say(run, Running(name=AWAITING, message=f"{stage} waits for a GPU slot"))

    def began() -> None:
        over.set()
        if told.is_set():
            told.clear()
            _say(run, Running())

    if stage and run:
        threading.Thread(target=tell, daemon=True, name=f"slot of {stage}").start()
    try:
        yield began
    finally:
        over.set()


def _slots_are_taken() -> bool:
    with contextlib.suppress(Exception), get_client(sync_client=True) as client:
        limit = client.read_global_concurrency_limit_by_name(f"tag:{GPU}")
        return limit.active and limit.active_slots >= limit.limit
    return False


def _say(run: Any, state: State) -> None:
    # only what the UI shows; a run does not fail by it
    with contextlib.suppress(Exception), get_client(sync_client=True) as client:
        client.set_flow_run_state(run, state, force=True)


def _despite_absence(run: Callable[[], State]) -> State:
    """The state of a task; once more where the server went away, after it is back: DVC knows what was done."""
    try:
        return run()
    except Exception as error:
        if not away.is_away(error):
            raise
    away.wait()
    return run()


def skip_stage(stage: str, reason: str) -> Outcome:
    """A task run that says why a stage was not run."""
    _skip.with_options(name=stage, task_run_name=stage)(reason, return_state=True)
    return Outcome(stage, SKIPPED, reason=reason)


def _may_retry(_task: Any, _run: Any, state: State) -> bool:
    error = state.result(raise_on_failure=False)
    return not isinstance(error, VisionmillError) or getattr(error, "retriable", False)


# Prefect's result cache stays off: DVC has one, and two caches disagree
@task(cache_policy=NO_CACHE, persist_result=False, retry_condition_fn=_may_retry)
def _repro(root: Path, stage: str, limit_s: float, pull: bool, began: Callable[[], None]) -> Any:
    began()
    logger = get_run_logger()

    def say(text: str) -> None:
        logger.info(text)
        print(f"{stage:12} | {text}", flush=True)

    outcome = stages.run_stage(root, stage, limit_s=limit_s, say=say, pull=pull)
    logger.info("%s", outcome)
    return Completed(name=outcome.what.title().replace(" ", ""), message=str(outcome), data=outcome)


@task(cache_policy=NO_CACHE, persist_result=False)
def _skip(reason: str) -> State[None]:
    return Completed(name="Skipped", message=reason)


@task(name="register", task_run_name="register", cache_policy=NO_CACHE, persist_result=False)
def register_line(root: Path) -> Registration:
    """Register what the stages made, whoever ran them."""
    from tasks.registry.register import register

    began = time.monotonic()
    done = is_registered(root) or register(root)
    stages.remember_duration("register", time.monotonic() - began, root)
    get_run_logger().info("%s version %s", done.name, done.version)
    return done


@task(name="gate", task_run_name="gate", cache_policy=NO_CACHE, persist_result=False)
def ask_gate(registered: Registration) -> None:
    """Fails, with the reasons, where the gate said no."""
    text = summary.verdict(registered)
    get_run_logger().info(text)
    if not registered.gate.passed:
        raise GateRefused(text)


def register_and_ask(root: Path) -> tuple[Registration | None, VisionmillError | None]:
    """The registered version, or what went wrong: an error here must not lose what the stages did."""
    try:
        registered = register_line(root)
    except Exception as error:
        text = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        return None, explain(error) or VisionmillError(f"registration failed: {text}", where=root,
                                                       mend="visionmill register tries again and shows all of it")
    ask_gate(registered, return_state=True)
    return registered, None


class Plan:
    """Says before each stage how far the run is and how long the rest will take."""

    def __init__(self, line: Line, root: Path) -> None:
        self.order, self.root = line.order, root
        self.left = [*line.will_run(), "register"]
        self.total = len(line.order)

    def announce(self, stage: str) -> None:
        """Print `[5/12] train, about 9 min left in all`; nothing for a stage that is up to date."""
        if stage in self.left:
            left = stages.expected_seconds(self.left, self.root)
            number = self.order.index(stage) + 1
            print(f"[{number}/{self.total}] {stage}, about {duration(left)} left in all", flush=True)

    def report(self, outcome: Outcome) -> None:
        self.left = [name for name in self.left if name != outcome.stage]
        took = f" in {duration(outcome.seconds)}" if outcome.seconds >= 1 else ""
        print(f"{outcome.stage:12} : {outcome}{took}", flush=True)


def close(root: Path, outcomes: list[Outcome], registered: Registration | None,
          error: VisionmillError | None = None) -> None:
    """Keep a note of the run and print its summary.

    Args:
        error: what went wrong in registration.

    Raises:
        StageFailed: the first stage that failed. VisionmillError: `error`. GateRefused: the gate said no.
    """
    failed = [outcome for outcome in outcomes if outcome.what == FAILED]
    ended = StageFailed(failed[0]) if failed else error
    if ended is None and registered and not registered.gate.passed:
        ended = GateRefused(summary.verdict(registered))
    leave_note("last_run", {"finished": time.strftime("%Y-%m-%d %H:%M:%S"),
                            "exit_code": ended.exit_code if ended else 0, "error": error.what if error else None,
                            "outcomes": stages.as_note(outcomes)}, root)
    print(summary.failures(outcomes) if failed else summary.table(root, registered), flush=True)
    if ended:
        raise ended
