"""What a text detector is asked: a phrase or more for each class, in as few questions as its text encoder takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.base.errors import UserError, nearest

LEFT_OUT = "-"
OR = "|"  # between phrases of one class
# they end a phrase: Grounding DINO's text mask is cut at them
ENDS = ".?"


@dataclass(frozen=True)
class Question:
    """One text, and where each phrase's tokens lie in it.

    Attributes:
        text: phrases with a full stop behind each.
        tokens: phrases x tokens, float32: 1 / length in a phrase's tokens, 0 elsewhere, so that a product with the
            tokens' probabilities is their mean over the phrase.
        classes: place of each phrase's class.
    """

    text: str
    tokens: np.ndarray
    classes: np.ndarray


def phrases_of(classes: Sequence[str], mapping: Mapping[str, str] | None, only_mapped: bool = False
               ) -> dict[str, list[str]]:
    """Class -> its phrases, in the order of the classes; a class without a phrase is asked for by its name.

    Args:
        classes: names.
        mapping: class -> phrase, or several with `|` between them: {"person": "a person on foot"}; `-` leaves a class
            out.
        only_mapped: leave out the classes that the mapping does not name.

    Raises:
        UserError: a class that is not there, an empty phrase, a phrase with a full stop or a question mark, or one that
            two classes share.
    """
    mapping = mapping or {}
    for name in mapping:
        if name not in classes:
            guess = nearest(name, classes)
            raise UserError(f"--map names {name!r}, which is no class of the pool",
                            mend=f"did you mean {guess!r}?" if guess else f"its classes: {', '.join(classes)}")
    asked = {name: _cleaned(name, mapping.get(name)) for name in classes
             if mapping.get(name, LEFT_OUT if only_mapped else name) != LEFT_OUT}
    owner: dict[str, str] = {}
    for name, phrases in asked.items():
        for phrase in phrases:
            other = owner.setdefault(phrase, name)
            if other != name:
                raise UserError(f"{other!r} and {name!r} are asked for with the same words: {phrase!r}",
                                mend=f'--map {name}="words of its own", or leave one of them out')
    if not asked:
        raise UserError("there is no class to ask for", mend='--map person="a person on foot"')
    return asked


def notes_of(classes: Sequence[str], asked: Mapping[str, Sequence[str]]) -> list[str]:
    """What a person should know: the words of each class, and the classes that are not asked for."""
    said = "; ".join(f"{name}: {' or '.join(phrases)}" for name, phrases in asked.items())
    left = [name for name in classes if name not in asked]
    return [f"asked for {said}"] + ([f"nothing of the classes {', '.join(left)} is asked for"] if left else [])


def questions(pairs: Sequence[tuple[int, str]], tokenizer: Any, most: int) -> list[Question]:
    """All phrases, in texts of at most `most` tokens.

    Args:
        pairs: place of the class, and one of its phrases.

    Raises:
        UserError: a phrase that is longer by itself, or of which the tokenizer knows no word.
    """
    texts: list[list[tuple[int, str]]] = []
    for pair in pairs:
        _known(pair[1], tokenizer, most)
        whole = [*texts[-1], pair] if texts else [pair]
        if texts and len(tokenizer(_text(whole))["input_ids"]) <= most:
            texts[-1] = whole
        else:
            texts.append([pair])
    return [_question(part, tokenizer) for part in texts]


def _cleaned(name: str, said: str | None) -> list[str]:
    given = [name.replace("_", " ").replace("-", " ")] if said is None else said.split(OR)
    phrases = list(dict.fromkeys(" ".join(phrase.lower().split()) for phrase in given))
    for phrase in phrases:
        if not phrase:
            raise UserError(f"the class {name!r} is asked for with no words", mend=f'--map {name}="its words"')
        if any(end in phrase for end in ENDS):
            raise UserError(f"a phrase has no full stop and no question mark: {phrase!r}", where=f"class {name!r}",
                            mend=f'--map {name}="other words"; several phrases: "one{OR}another"')
    return phrases


def _known(phrase: str, tokenizer: Any, most: int) -> None:
    tokens = tokenizer(_text([(0, phrase)]))["input_ids"]
    if len(tokens) > most:
        raise UserError(f"{len(tokens)} tokens are more than the model reads, {most}", where=phrase[:60],
                        mend="say it in fewer words")
    inside = tokenizer(phrase, add_special_tokens=False)["input_ids"]
    if not inside or all(token == tokenizer.unk_token_id for token in inside):
        raise UserError(f"the model knows no word of {phrase!r}", mend="say it in English words")


def _text(pairs: Sequence[tuple[int, str]]) -> str:
    return ". ".join(phrase for _, phrase in pairs) + "."


def _question(pairs: Sequence[tuple[int, str]], tokenizer: Any) -> Question:
    text = _text(pairs)
    told = tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True)
    starts, ends = np.array(told["offset_mapping"]).T
    plain = ~np.array(told["special_tokens_mask"], bool)
    rows, at = [], 0
    for _, phrase in pairs:
        inside = plain & (starts >= at) & (ends <= at + len(phrase))
        rows.append(inside / max(np.count_nonzero(inside), 1))
        at += len(phrase) + 2
    return Question(text, np.array(rows, np.float32), np.array([place for place, _ in pairs]))
