"""Dividing pictures over train, val and test: by content, stratified by class, equal pictures never torn apart."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from tasks.data.table import Dataset

NO_CLASS = -1


def assign(digests: Sequence[str], strata: Sequence[int], shares: Mapping[str, float], seed: int = 0) -> list[str]:
    """The split of each picture.

    Pictures are visited stratum by stratum, the smallest first, in the order of a hash of their content: so the
    result depends on neither names nor order. Each goes to the split that its stratum and the whole lack most,
    added up: by the stratum alone, a hundred classes of one picture each would all go to train.

    Args:
        digests: content hash of each picture; equal ones share a split.
        strata: a class id of each picture, see `rarest_class`.
        shares: share of each split, summing to 1.
    """
    groups: dict[str, list[int]] = {}
    for position, digest in enumerate(digests):
        groups.setdefault(digest, []).append(position)
    stratum = {digest: min(strata[i] for i in members) for digest, members in groups.items()}
    sizes = Counter(stratum.values())
    order = sorted(groups, key=lambda digest: (sizes[stratum[digest]], stratum[digest], _hash(digest, seed)))
    total = dict.fromkeys(shares, 0)
    here: dict[int, dict[str, int]] = {s: dict.fromkeys(shares, 0) for s in sizes}
    chosen = [""] * len(digests)
    for digest in order:
        mine, count = here[stratum[digest]], len(groups[digest])
        lacks = {name: _lack(mine, share, name, count) + _lack(total, share, name, count)
                 for name, share in shares.items()}
        split = max(lacks, key=lambda name: round(lacks[name], 9))
        mine[split] += count
        total[split] += count
        for position in groups[digest]:
            chosen[position] = split
    return chosen


def rarest_class(dataset: Dataset) -> list[int]:
    """The class of each picture that the fewest pictures have; -1 for a picture without boxes."""
    pairs = np.unique(np.stack([dataset.annotations["image_id"].to_numpy(),
                                dataset.annotations["class_id"].to_numpy().astype(np.int64)]), axis=1)
    spread = np.bincount(pairs[1], minlength=len(dataset.meta.classes))
    rarest = dict.fromkeys(dataset.images["image_id"].to_pylist(), NO_CLASS)
    for image_id, class_id in pairs.T.tolist():
        known = rarest[image_id]
        if known == NO_CLASS or (spread[class_id], class_id) < (spread[known], known):
            rarest[image_id] = class_id
    return list(rarest.values())


def _lack(counts: Mapping[str, int], share: float, name: str, coming: int) -> float:
    return share * (sum(counts.values()) + coming) - counts[name]


def _hash(digest: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{digest}".encode()).hexdigest()
