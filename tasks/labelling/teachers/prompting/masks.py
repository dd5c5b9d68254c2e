"""Masks from boxes: a model of SAM's kind, as a second look at boxes that are there."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from tasks.base.errors import DataError
from tasks.base.files import digest_value
from tasks.labelling.teachers.prompting.loading import Weights, explained, load
from tasks.labelling.teachers.prompting.outlines import TOLERANCE, outlines

CHUNK = 32  # boxes at once: their masks are as large as the picture
# share of a box's sides, and pixels, that its object may reach beyond it; what is farther is another object
REACH, LEAST_REACH = 0.1, 2.0


class Masker:
    """Draws the outline of what is in a box (Kirillov et al. 2023, "Segment Anything"; Ravi et al. 2024, "SAM 2").

    A copy in another process opens the weights there again, with one thread.

    Args:
        weights: a folder that has been looked at.
        tolerance: pixels by which a polygon may leave the mask's edge.
        threads: of torch; its own choice when None.

    Raises:
        UserError: the library is missing.
        DataError: the weights cannot be opened.
    """

    def __init__(self, weights: Weights, tolerance: float = TOLERANCE, threads: int | None = None) -> None:
        self._weights, self._threads = weights, threads
        self.name, self.tolerance = weights.name, tolerance
        self._opened  # noqa: B018  (what is wrong with the folder is told now)

    @cached_property
    def _opened(self) -> tuple[Any, Any]:
        return load(self._weights, self._threads)

    def __getstate__(self) -> dict[str, Any]:
        return {**{name: value for name, value in vars(self).items() if name != "_opened"}, "_threads": 1}

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights and of how their masks become polygons."""
        return digest_value([self._weights.digest, self.tolerance, REACH, LEAST_REACH])

    def mask(self, picture: np.ndarray, boxes: np.ndarray) -> list[list[list[float]]]:
        """The polygons of each box: a list of rings [x1, y1, x2, y2, …] in pixels; empty where nothing is found.

        They reach a tenth of the box's sides beyond it at most, two pixels at least.

        Args:
            picture: uint8 [H, W, 3], RGB.
            boxes: float [n, 4] xyxy in pixels; one without area has no mask.

        Raises:
            DataError: a box that is not finite, or an answer of another shape than the model's kind has.
        """
        picture = np.require(picture, requirements="W")
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        if not np.isfinite(boxes).all():
            raise DataError("a box is not a number", where=f"row {int(np.argmin(np.isfinite(boxes).all(axis=1)))}",
                            mend="leave it out")
        height, width = picture.shape[:2]
        boxes = boxes.clip(0, [width, height, width, height])
        real = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1))
        found: list[list[list[float]]] = [[] for _ in boxes]
        if len(real):
            seen = self._look(picture)
            for start in range(0, len(real), CHUNK):
                rows = real[start:start + CHUNK]
                for row, mask in zip(rows, self._masks(picture, seen, boxes[rows]), strict=True):
                    found[row] = outlines(near(mask, boxes[row]), self.tolerance)
        return found

    def _look(self, picture: np.ndarray) -> Any:
        """The picture's features, once for all of its boxes."""
        import torch

        model, processor = self._opened
        pixels = processor(images=picture, return_tensors="pt")["pixel_values"]
        with explained(self._weights.folder, "the model does not answer"), torch.inference_mode():
            return model.get_image_embeddings(pixels.to(model.device))

    def _masks(self, picture: np.ndarray, seen: Any, boxes: np.ndarray) -> np.ndarray:
        """bool [n, H, W], the one mask that the model gives for a box that is not ambiguous."""
        import torch

        model, processor = self._opened
        asked = processor(images=picture, input_boxes=[boxes.tolist()], return_tensors="pt")
        prompt = asked["input_boxes"].to(model.device, torch.float32)
        with explained(self._weights.folder, "the model does not answer"), torch.inference_mode():
            said = model(image_embeddings=seen, input_boxes=prompt, multimask_output=False).pred_masks
        sizes = [asked[name] for name in ("original_sizes", "reshaped_input_sizes") if name in asked]
        masks = processor.post_process_masks(said.float().cpu(), *sizes)[0].numpy()
        if masks.shape != (len(boxes), 1, *picture.shape[:2]):
            raise DataError("the model's answer is not one mask a box", where=self._weights.folder,
                            mend="take all files of the model from one place")
        return masks[:, 0]


def near(mask: np.ndarray, box: np.ndarray) -> np.ndarray:
    """A mask without what is far from its box, bool [H, W].

    Args:
        box: float [4] xyxy in pixels.
    """
    reach = np.maximum(REACH * (box[2:] - box[:2]), LEAST_REACH)
    left, top = np.floor(box[:2] - reach).clip(0).astype(int)
    right, bottom = np.ceil(box[2:] + reach).astype(int)
    kept = np.zeros_like(mask)
    kept[top:bottom, left:right] = mask[top:bottom, left:right]
    return kept
