"""A plug-in as a teacher: it is shown pictures and says what it finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tasks.base.errors import UserError
from tasks.base.files import digest_value
from tasks.labelling.teachers.found import FLOOR, Found
from tasks.labels.features import candidate_features
from tasks.plugins.folders import of_pixels
from tasks.plugins.preset import PREFIX, Plugin, digest_of, named, read_plugin, refuse_fixed, refuse_kind, weights_of
from tasks.plugins.results import Boxes, Flaws, read_boxes
from tasks.plugins.running import Asked, asked, sizes

NOWHERE = "-"


class Labeller:
    """A plug-in that finds boxes.

    Attributes:
        name: `plugin:NAME`, for the column `source`.
        digest: SHA-256 of what it is and of its map of classes.
        classes: names in the pool's list.
        notes: what a person should know of the map.
        batch: pictures that should be given at once: each call starts the program.
    """

    def __init__(self, name: str, plugin: Plugin, classes: Sequence[str], place: Mapping[str, int],
                 workspace: Path) -> None:
        self.plugin, self.classes, self.workspace = plugin, list(classes), workspace
        self.name, self.batch = f"{PREFIX}{name}", 512
        left = [one for one in plugin.classes if one not in place]
        self.notes = [f"left out: {', '.join(left)}"] if left else []
        self._plugin, self._place = name, dict(place)
        self._asked = plugin.classes or list(classes)
        self._models = weights_of(plugin, name, workspace)
        self.digest = digest_value([digest_of(plugin, name, workspace), self.classes, self._place])

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
        place = np.array([self._place.get(name, -1) for name in self._asked], np.int64)
        labels = place[answer.labels]
        keep = (labels >= 0) & (answer.scores >= FLOOR)
        boxes, scores, labels = answer.boxes[keep], answer.scores[keep], labels[keep]
        said = np.zeros((len(labels), len(self.classes)), np.float32)
        said[np.arange(len(labels)), labels] = scores
        # as far as the boxes that it keeps tell them
        told = candidate_features(boxes, said, boxes, scores, labels)
        return Found(boxes, scores, labels, told["margin"], told["spread"], told["support"])


def open_plugin(name: str, classes: Sequence[str], workspace: Path = Path(), mapping: Mapping[str, str] | None = None,
                drop_rest: bool = False) -> Labeller:
    """The plug-in `NAME` or `plugin:NAME` as a teacher of these classes.

    Args:
        classes: the pool's, in their order; a plug-in whose file lists none is asked for these. Where the pool has
            none, those of the plug-in become them.
        mapping: class of the plug-in → class of the pool, or `-` to leave it out.
        drop_rest: its other classes are left out.

    Raises:
        ParamsError: there is no such plug-in. UserError: it finds no boxes, its program or weights are not here, it
            knows classes that the pool has not, or neither of them has any.
    """
    name = named(name)
    plugin = read_plugin(name, workspace)
    refuse_kind(plugin, name, "infer")
    refuse_fixed(plugin, name)
    targets = [(mapping or {}).get(one, one) for one in plugin.classes]
    classes = list(classes) or list(dict.fromkeys(target for target in targets if target != NOWHERE))
    if not classes:
        raise UserError(f"neither the pool nor the plug-in {name!r} has classes", where=f"conf/plugin/{name}.yaml",
                        mend="write `classes` there, or conf/classes.yaml of the workspace")
    known = {one: number for number, one in enumerate(classes)}
    place, left = {}, []
    for one in plugin.classes or classes:
        target = (mapping or {}).get(one, one)
        if target in known:
            place[one] = known[target]
        elif target != NOWHERE and not drop_rest:
            left.append(one)
    if left:
        raise UserError(f"the plug-in {name!r} knows classes that the pool has not: {', '.join(left[:10])}",
                        where=f"conf/plugin/{name}.yaml: classes",
                        mend=f"--map {left[0]}=CLASS for each, or say that they are to be left out")
    return Labeller(name, plugin, classes, place, workspace)
