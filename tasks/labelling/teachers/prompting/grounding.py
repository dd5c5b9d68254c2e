"""Boxes from words: a detector of Grounding DINO's kind as a teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from tasks.base.errors import DataError
from tasks.base.files import digest_value
from tasks.labelling.teachers.found import FLOOR, Found
from tasks.labelling.teachers.prompting.loading import Weights, explained, load
from tasks.labelling.teachers.prompting.words import Question, notes_of, questions


class Grounded:
    """A teacher. A copy in another process opens the weights there again, with one thread.

    The score of a class is the mean over its phrase's tokens of the tokens' probabilities, as the authors evaluate on
    COCO (Liu et al. 2023, "Grounding DINO", section 3; `PostProcessCocoGrounding`); of several phrases the best.

    Args:
        weights: a folder that has been looked at.
        classes: names of the pool, in the order of the labels.
        asked: class -> its phrases; of those that are asked for.
        threads: of torch; its own choice when None.

    Raises:
        UserError: the library is missing, or a phrase that cannot be asked.
        DataError: the weights cannot be opened.
    """

    def __init__(self, weights: Weights, classes: Sequence[str], asked: Mapping[str, Sequence[str]],
                 threads: int | None = None) -> None:
        self._weights, self._threads = weights, threads
        self.name, self.classes = weights.name, list(classes)
        self.prompts = {name: list(phrases) for name, phrases in asked.items()}
        self.notes = notes_of(self.classes, self.prompts)
        self._opened  # noqa: B018  (what is wrong with the folder or the words is told now)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights, of the classes and of what is asked."""
        return digest_value([self._weights.digest, self.classes, list(self.prompts.items()), FLOOR])

    @cached_property
    def _opened(self) -> tuple[Any, Any, list[Question]]:
        model, processor = load(self._weights, self._threads)
        place = {name: at for at, name in enumerate(self.classes)}
        pairs = [(place[name], phrase) for name, phrases in self.prompts.items() for phrase in phrases]
        return model, processor, questions(pairs, processor.tokenizer, int(model.config.max_text_len))

    def __getstate__(self) -> dict[str, Any]:
        return {**{name: value for name, value in vars(self).items() if name != "_opened"}, "_threads": 1}

    def ask(self, pictures: list[np.ndarray]) -> list[Found]:
        """What it finds.

        Args:
            pictures: uint8 [H, W, 3] each, RGB.

        Raises:
            DataError: an answer that is not finite or of another shape than the model's kind has.
        """
        return [self._found(picture) for picture in pictures]

    def _found(self, picture: np.ndarray) -> Found:
        from tasks.labelling.teachers.answers import found_of

        boxes, scores = self._candidates(picture)
        height, width = picture.shape[:2]
        return found_of(boxes, scores, len(self.classes), size=(height, width))

    def _candidates(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes float32 [A, 4] xyxy in pixels, scores float32 [A, K], of all questions."""
        _, processor, asked = self._opened
        seen = processor.image_processor(images=[np.require(picture, requirements="W")], return_tensors="pt")
        parts = [self._answer(seen, question) for question in asked]
        height, width = picture.shape[:2]
        centre, size = np.split(np.concatenate([boxes for boxes, _ in parts]), 2, axis=1)
        boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
        scores = np.concatenate([scores for _, scores in parts])
        return (boxes * np.array([width, height, width, height])).astype(np.float32), scores

    def _answer(self, seen: Any, question: Question) -> tuple[np.ndarray, np.ndarray]:
        import torch

        model, processor, _ = self._opened
        text = processor.tokenizer(question.text, return_tensors="pt", return_token_type_ids=True)
        with explained(self._weights.folder, "the model does not answer"), torch.inference_mode():
            said = model(**seen.to(model.device), **text.to(model.device))
        boxes = said.pred_boxes[0].float().cpu().numpy()
        tokens = said.logits[0].float().sigmoid().cpu().numpy()[:, : question.tokens.shape[1]]
        if boxes.shape[1:] != (4,) or tokens.shape != (len(boxes), question.tokens.shape[1]) or \
                not (np.isfinite(boxes).all() and np.isfinite(tokens).all()):
            raise DataError("the model's answer is no boxes with a score for each word", where=self._weights.folder,
                            mend="take all files of the model from one place")
        phrases = tokens @ question.tokens.T
        scores = np.zeros((len(boxes), len(self.classes)), np.float32)
        np.maximum.at(scores.T, question.classes, phrases.T)
        return boxes, scores
