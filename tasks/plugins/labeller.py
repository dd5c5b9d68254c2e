"""A plug-in as a teacher: it is shown pictures and says what it finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tasks.base.errors import UserError
from tasks.base.files import digest_value
from tasks.data.classes import read_classes
from tasks.labelling.teachers.found import FLOOR, Found
from tasks.labelling.teachers.mapping import Classes, map_classes
from tasks.labels.features import candidate_features
from tasks.plugins.folders import of_pixels
from tasks.plugins.preset import PREFIX, Plugin, digest_of, named, read_plugin, refuse_fixed, refuse_kind, weights_of
from tasks.plugins.results import Boxes, Flaws, read_boxes
from tasks.plugins.running import Asked, asked, sizes


class Labeller:
    """A plug-in that finds boxes.

    Attributes:
        name: `plugin:NAME`, for the column `source`.
        digest: SHA-256 of what it is and of its map of classes.
        classes: names in the pool's list.
        notes: what a person should know of the map.
        batch: pictures that should be given at once: each call starts the program.
    """

    def __init__(self, name: str, plugin: Plugin, asked: Sequence[str], mapped: Classes, workspace: Path) -> None:
        self.plugin, self.classes, self.notes, self.workspace = plugin, mapped.names, mapped.notes, workspace
        self.name, self.batch = f"{PREFIX}{name}", 512
        self._plugin, self._asked, self._to = name, list(asked), mapped.to
        self._models = weights_of(plugin, name, workspace)
        self.digest = digest_value([digest_of(plugin, name, workspace), self.classes, self._asked, self._to.tolist()])

    def ask(self, pictures: Sequence[np.ndarray]) -> list[Found]:
        """What is found on pictures uint8 [H, W, 3] RGB, at scores of 0.05 and more.

        Raises:
            UserError: the program fails or does not end. DataError: its answer cannot be used.
        """
        samples = [of_pixels(picture) for picture in pictures]
        if not samples:
            return []
        wanted = Asked({"infer"}, self._asked, candidates=samples, models=self._models)
        with asked(self.plugin, self._plugin, wanted, self.workspace) as outcome:
            flaws = Flaws()
            path = outcome.room.made / "infer-result.json"
            answers = read_boxes(path, sizes(outcome.room, samples), self._asked, flaws)
            flaws.refuse(path)
        return [self._found(answers[sample.key]) for sample in samples]

    def _found(self, answer: Boxes) -> Found:
        labels = self._to[answer.labels]
        keep = (labels >= 0) & (answer.scores >= FLOOR)
        boxes, scores, labels = answer.boxes[keep], answer.scores[keep], labels[keep]
        said = np.zeros((len(labels), len(self.classes)), np.float32)
        said[np.arange(len(labels)), labels] = scores
        # as far as the boxes that it keeps tell them
        told = candidate_features(boxes, said, boxes, scores, labels)
        return Found(boxes, scores, labels, told["margin"], told["spread"], told["support"])


def open_plugin(name: str, classes: Sequence[str], workspace: Path = Path(), mapping: Mapping[str, str] | None = None,
                drop_rest: bool = False, join: bool = False) -> Labeller:
    """The plug-in `NAME` or `plugin:NAME` as a teacher of these classes.

    Args:
        classes: the pool's, in their order; where it has none, those of the workspace, the map or the plug-in become
            them. A plug-in whose file lists none is asked for those that the map names, else for the pool's.
        mapping: class of the plug-in → class of the pool, or `-` to leave it out; by name when None.
        drop_rest, join: the map may leave classes out; may make one class of several.

    Raises:
        ParamsError: there is no such plug-in. UserError: it finds no boxes, its program or weights are not here, the
            map needs a word, no class is left, or there is none to ask for.
    """
    name = named(name)
    plugin = read_plugin(name, workspace)
    refuse_kind(plugin, name, "infer")
    refuse_fixed(plugin, name)
    asked = plugin.classes or list(mapping or ()) or list(classes) or [
        entry.name for entry in read_classes(workspace, unknown="ignore").entries]
    if not asked:
        raise UserError(f"neither the pool nor the plug-in {name!r} has classes", where=f"conf/plugin/{name}.yaml",
                        mend="write `classes` there, or conf/classes.yaml of the workspace")
    mapped = map_classes(asked, classes, mapping, name=f"{PREFIX}{name}", workspace=workspace, drop_rest=drop_rest,
                         join=join)
    return Labeller(name, plugin, asked, mapped, workspace)
