"""The conformance test: a plug-in is given a tiny set, and each point of the contract is looked at."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tasks.base.errors import UserError
from tasks.base.files import digest_file
from tasks.plugins import monitor
from tasks.plugins.folders import Sample
from tasks.plugins.preset import Kind, Plugin, named, read_plugin, refuse_fixed, weights_of
from tasks.plugins.process import HEAD, TAIL, tail_of
from tasks.plugins.results import Flaws, read_boxes, read_models, read_scores
from tasks.plugins.running import Asked, Outcome, Room, execute, fill, room_of, sizes
from tasks.plugins.tiny import tiny

CLASSES = ("square", "disc")
PICTURES = 6
RESULTS = {"train": "models/result.yaml", "mine": "result.tsv", "infer": "infer-result.json"}
# points that a result is read for, and what they mean
READ = {"files": "it writes {file}", "format": "{file} is of the right form",
        "names": "{file} names what was given, and nothing outside", "classes": "{file} uses the classes it was given",
        "sorted": "{file} is sorted by score, highest first"}
POINTS: dict[Kind, tuple[str, ...]] = {"train": ("files", "format", "names"),
                                       "mine": ("files", "format", "names", "sorted"),
                                       "infer": ("files", "format", "names", "classes")}


@dataclass(frozen=True)
class Point:
    """One point of the contract: what it asks, whether it is fulfilled (None: could not be seen), and why not."""

    kind: str
    name: str
    text: str
    fulfilled: bool | None
    detail: str = ""


@dataclass
class Verdict:
    """What a plug-in fulfils."""

    plugin: str
    points: list[Point] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return all(point.fulfilled for point in self.points)

    def add(self, kind: str, name: str, text: str, fulfilled: bool | None, detail: str = "") -> None:
        self.points.append(Point(kind, name, text, fulfilled, "" if fulfilled else detail))


def check(name: str, workspace: Path = Path(), *, keep: Path | None = None, minutes: float | None = None,
          more: Mapping[str, object] | None = None) -> Verdict:
    """Try all kinds of a plug-in: first training, whose model the others are then given.

    Args:
        keep: a folder for all that was given and made.
        minutes: instead of the time that its file allows.
        more: parameters over those of its file, for instance fewer epochs.

    Raises:
        ParamsError: there is no such plug-in. UserError: its program or its weights are not on this machine.
    """
    name = named(name)
    plugin = read_plugin(name, workspace)
    refuse_fixed(plugin, name)
    if minutes:
        plugin = plugin.model_copy(update={"minutes": minutes, "silent": min(minutes, plugin.silent)})
    trial = _Trial(name, plugin, workspace, keep, dict(more or {}), weights_of(plugin, name, workspace))
    for kind in ("train", "infer", "mine"):
        if kind in plugin.kinds:
            trial.ask(kind)
    trial.mislead(next(kind for kind in ("infer", "mine", "train") if kind in plugin.kinds))
    return trial.verdict


class _Trial:
    def __init__(self, name: str, plugin: Plugin, workspace: Path, keep: Path | None, more: dict[str, object],
                 models: list[Path]) -> None:
        self.name, self.plugin, self.workspace, self.keep, self.more = name, plugin, workspace, keep, more
        self.classes, self.verdict = plugin.classes or list(CLASSES), Verdict(name)
        self.models, self.trained = models, ""

    def ask(self, kind: Kind) -> None:
        """Give it the set and look at all points of one kind."""
        samples = tiny(PICTURES, self.classes, seed=1)
        if kind == "train":
            wanted = Asked({"train"}, self.classes, train=tiny(2 * PICTURES, self.classes), val=samples,
                           models=self.models, more=self.more)
        else:
            wanted = Asked({kind}, self.classes, candidates=samples, models=self.models, more=self.more)
        with room_of(self.plugin, self.name, self.workspace, self.keep and self.keep / kind) as room:
            try:
                self._look(kind, wanted, room, samples)
            except UserError as error:
                self.verdict.add(kind, "starts", "it starts", False, error.what)

    def _look(self, kind: Kind, wanted: Asked, room: Room, samples: Sequence[Sample]) -> None:
        fill(self.plugin, wanted, room)
        before = _content(room.given)
        outcome = execute(self.plugin, self.name, room, self.workspace)
        self._ends(kind, outcome)
        self._tells(kind, outcome)
        self._results(kind, outcome, samples)
        changed = sorted(set(before.items()) ^ set(_content(room.given).items()))
        self.verdict.add(kind, "input", "it leaves its input folder as it is", not changed,
                         f"changed: {changed[0][0]}" if changed else "")
        if kind == "train":
            self._take_models(room)

    def _ends(self, kind: str, outcome: Outcome) -> None:
        ended, add = outcome.ended, self.verdict.add
        why = {"time": f"it was ended after {self.plugin.minutes:g} minutes",
               "silence": f"it said nothing for {self.plugin.silent:g} minutes and was ended"}
        add(kind, "ends", "it ends in time", ended.why == "itself", why.get(ended.why, ""))
        tail = tail_of(outcome.room.log, 3).replace("\n", " | ")
        add(kind, "exit code", "it ends with exit code 0", ended.code == 0, f"exit code {ended.code}: {tail}")
        add(kind, "nothing left", "no process of it outlives it", ended.outlived == 0,
            f"{ended.outlived} were still there and were ended")
        add(kind, "log", f"its log has no more than {(HEAD + TAIL) >> 20} MiB", ended.written <= HEAD + TAIL,
            f"{ended.written:,} bytes, of which the start and the end are kept")

    def _tells(self, kind: str, outcome: Outcome) -> None:
        watch, add = outcome.watch, self.verdict.add
        record, flaw = watch.record, next(iter(watch.flaws), "")
        add(kind, "monitor", "it writes monitor.txt in the right form", record is not None and not flaw,
            flaw or "there is none")
        if record is None:
            return
        add(kind, "task", "monitor.txt names the task", record.task == outcome.room.task,
            f"{record.task[:100]!r} instead of {outcome.room.task!r}")
        add(kind, "progress", "its progress rises to 1", not watch.backwards and record.share >= 0.999,
            f"it ended at {record.share:g}" + (f" and fell {watch.backwards} times" if watch.backwards else ""))
        add(kind, "error", "it reports no error", not record.failed, record.explained())

    def _results(self, kind: Kind, outcome: Outcome, samples: Sequence[Sample]) -> None:
        room, flaws = outcome.room, Flaws()
        path = room.made / RESULTS[kind]
        count = None
        if kind == "train":
            read_models(path, room.made / "models", flaws)
        elif kind == "mine":
            count = len(read_scores(path, room.assets, flaws))
        else:
            read_boxes(path, sizes(room, samples), self.classes, flaws)
        missing = bool(flaws.of("files"))
        for point in POINTS[kind]:
            told = flaws.of(point)
            unseen = missing and point != "files"
            self.verdict.add(kind, point, READ[point].format(file=path.name), None if unseen else not told,
                             "; ".join(told[:3]) or "there is nothing to look at")
        if count is not None and not missing:
            self.verdict.add(kind, "whole", "it scores every picture", count == len(samples),
                             f"{count} of {len(samples)}")

    def _take_models(self, room: Room) -> None:
        """What it has trained is what it is then asked with."""
        made = read_models(room.made / RESULTS["train"], room.made / "models", Flaws())
        if made is None:
            return
        above = self.workspace.resolve() / ".visionmill/plugins" if self.keep is None else self.keep.resolve()
        folder = above / f"{room.task}-model"
        folder.mkdir(parents=True)
        for file in made.chosen.files:
            shutil.copyfile(file, folder / file.name)
        self.models, self.trained = [folder], str(folder)

    def mislead(self, kind: Kind) -> None:
        """A picture that is none: it must say so, and not that all is well."""
        samples = tiny(2, self.classes, seed=2)
        parts = {"train": samples, "val": samples} if kind == "train" else {"candidates": samples}
        wanted = Asked({kind}, self.classes, models=self.models, more=self.more, **parts)
        with room_of(self.plugin, self.name, self.workspace, self.keep and self.keep / "damaged") as room:
            try:
                fill(self.plugin, wanted, room)
                for picture in (room.given / "assets").rglob("*.png"):
                    picture.write_bytes(b"no picture")
                outcome = execute(self.plugin, self.name, room, self.workspace)
                record = outcome.watch.record
                told = record is not None and record.failed and record.code in monitor.CODES
                self.verdict.add("damaged", "refuses", "of pictures that are none it says so by exit code",
                                 outcome.ended.code != 0 and outcome.ended.why == "itself",
                                 "it ended as if all were well" if not outcome.ended.code else "it did not end")
                self.verdict.add("damaged", "reports", "and by an error code of the protocol in monitor.txt", told,
                                 "monitor.txt says " + (f"state {record.state}, code {record.code}" if record else
                                                        "nothing"))
            except UserError as error:
                self.verdict.add("damaged", "starts", "it starts", False, error.what)
        if self.keep is None and self.trained:
            shutil.rmtree(self.trained, ignore_errors=True)


def _content(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): digest_file(path) for path in sorted(folder.rglob("*"))
            if path.is_file()}
