"""What a detector from elsewhere takes and says, as data: the files of conf/import/, and a user's own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from tasks.base import presets
from tasks.base.errors import ParamsError, UserError
from tasks.base.params import Params, check, read_yaml

KIND = "import"
Activation = Literal["none", "sigmoid", "softmax"]
Place = Literal["none", "first", "last"]
Layout = Literal["rows", "columns"]


class Input(Params):
    """The picture as the network wants it.

    Attributes:
        name: of the graph's input; the only one when None.
        height, width: pixels; taken from the file when None.
        fit: `letterbox` keeps the aspect, top left; `stretch` does not. Our detector always keeps it.
        colours: order of the channels.
        layout: order of the dimensions.
        mean, std: `(x − mean) / std` of pixels 0..255, one number a channel in the order of `colours`.
        dtype: of the graph's input.
        pad: grey level that the network was trained to see beside a letterboxed picture; ours is 114.
        constants: values of further inputs, such as a scale factor that undoes nothing.
    """

    name: str | None = None
    height: int | None = Field(None, ge=16, le=8192)
    width: int | None = Field(None, ge=16, le=8192)
    fit: Literal["letterbox", "stretch"] = "letterbox"
    colours: Literal["rgb", "bgr"] = "rgb"
    layout: Literal["nchw", "nhwc"] = "nchw"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    dtype: Literal["float32", "float16", "uint8"] = "float32"
    pad: int = Field(114, ge=0, le=255)
    constants: dict[str, list[list[float]] | list[float] | float] = {}

    @field_validator("std")
    @classmethod
    def _std_divides(cls, value: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(value) <= 0:
            raise ValueError("three numbers above 0")
        return value


class Points(Params):
    """Boxes as distances from the points of a grid to their four sides.

    Attributes:
        strides: pixels between points, level by level, in the order of the outputs.
        offset: of the first point, in strides: 0.5 is the middle of a cell.
        scores, boxes: names of the outputs, one a level or one of all levels; both may name the same ones.
        quality: an output that weighs the scores (centre-ness), geometric mean; none when empty.
        first: which columns come first where one output holds both.
        layout: `rows` [1, A, C] or `columns` [1, C, A]; four dimensions are always [1, C, h, w].
        activation: what makes 0..1 of the scores.
    """

    strides: list[Annotated[int, Field(ge=1, le=1024)]] = Field(min_length=1)
    offset: float = 0.5
    scores: list[str] = Field(min_length=1)
    boxes: list[str] = Field(min_length=1)
    quality: list[str] = []
    first: Literal["scores", "boxes"] = "scores"
    layout: Layout = "rows"
    activation: Activation = "sigmoid"


class FcosRaw(Points):
    """Four distances in strides (`left top right bottom`), as FCOS heads give them."""

    family: Literal["fcos-raw"]


class DistributionFocal(Points):
    """Each distance as a distribution over `bins` whole strides: GFL (arXiv:2006.04388), NanoDet, PicoDet."""

    family: Literal["distribution-focal"]
    bins: int = Field(8, ge=2, le=64)


class AnchorFreeGrid(Params):
    """Columns `x y w h objectness classes…` of a grid: YOLOX (arXiv:2107.08430).

    Centre = (cell + xy) × stride, size = exp(wh) × stride, score = objectness × class.
    """

    family: Literal["anchor-free-grid"]
    strides: list[Annotated[int, Field(ge=1, le=1024)]] = Field(min_length=1)
    outputs: list[str] = Field(min_length=1)
    layout: Layout = "rows"
    activation: Activation = "none"


class FastestDet(Params):
    """Columns `objectness x y w h classes…` of one grid: tanh offsets, sigmoid sizes.

    From github.com/dog-qiuqiu/FastestDet. Score = objectness^power × class^(1 − power).

    Attributes:
        best_only: a cell speaks for its best class alone, as in the authors' own program.
    """

    family: Literal["fastestdet"]
    output: str
    power: float = Field(0.6, ge=0, le=1)
    best_only: bool = False


class Detr(Params):
    """Logits [1, Q, K + 1] and boxes [1, Q, 4] as centre and size in 0..1, one answer a thing: no suppression.

    Attributes:
        background: where the column "nothing here" is: last in DETR, none where `activation` is sigmoid.
    """

    family: Literal["detr"]
    logits: str = "logits"
    boxes: str = "pred_boxes"
    activation: Activation = "softmax"
    background: Place = "last"


class PlainBoxes(Params):
    """Boxes that are decoded already.

    Attributes:
        boxes: output [1, A, 4…]; `scores`: output [1, A, K], or the same one, where its columns follow the box.
        objectness: one column between box and classes that weighs them (YOLOv5).
        form: order of the four numbers; scale: of what they are parts.
        background: a column of `scores` that is no class.
    """

    family: Literal["plain-boxes"]
    boxes: str
    scores: str
    objectness: bool = False
    form: Literal["xyxy", "cxcywh", "xywh", "yxyx"] = "xyxy"
    scale: Literal["pixels", "normalised"] = "pixels"
    layout: Layout = "rows"
    activation: Activation = "none"
    background: Place = "none"


class Classify(Params):
    """A classifier's output [1, K]."""

    family: Literal["classify"]
    output: str
    activation: Activation = "softmax"
    background: Place = "none"


Decoding = Annotated[FcosRaw | DistributionFocal | AnchorFreeGrid | FastestDet | Detr | PlainBoxes | Classify,
                     Field(discriminator="family")]


class Accuracy(Params):
    """What is known of a file: COCO's AP and AP50 on `data`, 0..1."""

    data: str
    AP: float
    AP50: float


class Description(Params):
    """One file of conf/import/: how a model from elsewhere reads and speaks.

    Attributes:
        title, licence, homepage: for people, and for the version's tags.
        file: name of the weights below `weights/` of the folder VISIONMILL_MIRROR; None for a family of models.
        sha256: of that file.
        classes: names in the order of class ids, a list of conf/import/labels/, or None: the user says.
        suppression: IoU from which a worse box of a class is dropped; None for models that do without.
        threshold: score from which a box counts in use.
    """

    title: str
    licence: str | None = None
    homepage: str | None = None
    file: str | None = None
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    input: Input = Input()
    decoding: Decoding
    classes: list[str] | str | None = None
    suppression: float | None = Field(0.55, gt=0, le=1)
    threshold: float = Field(0.5, ge=0, le=1)
    measured: list[Accuracy] = []

    @model_validator(mode="after")
    def _detr_needs_none(self) -> Description:
        if self.decoding.family == "detr" and "suppression" in self.model_fields_set and self.suppression is not None:
            raise ValueError("suppression: a DETR answers once a thing, write suppression: null or leave it out")
        return self

    @property
    def iou(self) -> float | None:
        """IoU of the suppression, None where the model needs none."""
        return None if self.decoding.family == "detr" else self.suppression


def known(workspace: Path = Path()) -> dict[str, Description]:
    """All descriptions of the catalogue, a workspace's own first, by name."""
    return {name: read_description(name, workspace) for name in presets.names(KIND, workspace)}


def read_description(name: str, workspace: Path = Path()) -> Description:
    """The description called `name`, or the one in a .yaml file.

    Raises:
        ParamsError: there is none of that name, or it is not written as it must be.
    """
    if name.endswith((".yaml", ".yml")):
        return check(Description, read_yaml(Path(name)), name)
    return check(Description, presets.load(KIND, name, workspace), f"conf/{KIND}/{name}.yaml")


def classes_of(description: Description, workspace: Path = Path()) -> list[str] | None:
    """The names that a description states, None when it leaves them to the user."""
    if not isinstance(description.classes, str):
        return None if description.classes is None else distinct(description.classes, "classes of the description")
    for folder in presets.folders(KIND, workspace):
        file = folder / "labels" / f"{description.classes}.txt"
        if file.is_file():
            return read_labels(file)
    raise ParamsError(f"no list of classes is called {description.classes!r}", where=f"conf/{KIND}/labels/",
                      mend="write the names into the description, or give --labels FILE")


def read_labels(file: Path) -> list[str]:
    """Class names of a text file, one a line; empty lines at the end do not count.

    Raises:
        UserError: no such file, no text, an empty line between names, or two classes of one name.
    """
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").rstrip().splitlines()]
    except FileNotFoundError:
        raise UserError("no such list of classes", where=file, mend="--labels FILE, one name a line") from None
    except UnicodeDecodeError:
        raise UserError("a list of classes is text in UTF-8", where=file, mend="save it as UTF-8") from None
    return distinct(lines, file)


def distinct(names: list[str], where: object) -> list[str]:
    """The names, if each is there once.

    Raises:
        UserError: there is none, one is empty, or two are equal.
    """
    if not names:
        raise UserError("the list of classes is empty", where=where, mend="one name a line, or --classes a,b,c")
    empty = [place for place, name in enumerate(names, 1) if not name]
    if empty:
        raise UserError(f"class {empty[0]} has no name", where=where, mend="one name a line, no empty lines between")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        places = [place for place, name in enumerate(names, 1) if name == twice[0]]
        raise UserError(f"two classes have one name: {twice[0]!r}", where=f"{where}, names {places[0]} and {places[1]}",
                        mend="give each class a name of its own, in the order of the model's outputs")
    return names
