"""What a set of pictures and boxes is called when numbers measured on it are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasks.base.files import digest_value

if TYPE_CHECKING:
    from tasks.data.table import Dataset

WHAT_COUNTS = ["x", "y", "w", "h", "iscrowd", "difficult"]


def digest_testset(dataset: Dataset) -> str:
    """SHA-256 over the pictures' digests and their boxes and class names.

    Ids, file names and order do not count: two lines that hold the same test set have the same hash.
    """
    digests = dict(zip(*dataset.images.select(["image_id", "digest"]).to_pydict().values(), strict=True))
    boxes: dict[int, list[Any]] = {image: [] for image in digests}
    columns = dataset.annotations.select(["image_id", "class_id", *WHAT_COUNTS]).to_pydict()
    for image, label, *rest in zip(*columns.values(), strict=True):
        boxes[image].append([dataset.meta.classes[label], *rest])
    return digest_value(sorted([digests[image], sorted(mine)] for image, mine in boxes.items()))
