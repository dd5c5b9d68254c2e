"""Which values a finished search offers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.base.errors import UserError
from tasks.base.files import digest_tree
from tasks.base.params import Params as Section
from tasks.search import study as store
from tasks.search.plan import digest_fixed, studies
from tasks.search.study import load_study

AGAIN = "visionmill sweep"


def best_values(workspace: Path, base: Section, data: Path, *, unfinished: bool = False) -> tuple[dict[str, Any], str]:
    """The values of the best trial of the last search on this data, and what they are worth, in words.

    Args:
        workspace: whose searches are looked at.
        base: the section `train` as it is now.
        data: the folder of the split.
        unfinished: take the best so far of a search that was cut short.

    Raises:
        UserError: no search fits data and parameters, it is not finished, or the current values are the best.
    """
    found = _last(workspace, base, data)
    study = load_study(found["name"], found["folder"])
    done, total = len(store.finished(study)), found["trials"]
    if done < total and not unfinished:
        raise UserError(f"the search is not finished: {done} of {total} trials", where=found["folder"],
                        mend=f"{AGAIN} --trials {total} goes on; sweep adopt --unfinished takes the best so far")
    ranking = store.ranking(study)
    if not ranking or ranking[0].number == 0:
        raise UserError("nothing to adopt: no trial was better than the parameters that the search began with",
                        where=found["folder"], mend=f"{AGAIN} --trials {2 * total} looks further")
    best, metric = ranking[0], found["settings"]["metric"]
    first = next((trial.value for trial in ranking if trial.number == 0), None)
    against = f", the parameters it began with {first:.4f}" if first is not None else ""
    return store.chosen(best), f"trial {best.number + 1} of {total}: {metric} {best.value:.4f}{against}"


def _last(workspace: Path, base: Section, data: Path) -> dict[str, Any]:
    known = studies(workspace)
    if not known:
        raise UserError("no search was made here", where=workspace, mend=AGAIN)
    digest = digest_tree(data) if data.is_dir() else None
    same_data = [study for study in known if study["data"] == digest]
    if not same_data:
        raise UserError("no search was made on this data: it changed since", where=data, mend=AGAIN)
    for study in same_data:
        if study["fixed"] == digest_fixed(base, study["settings"]["space"]):
            return study
    raise UserError("no search was made with these parameters: some that are not searched were edited since",
                    where="params.yaml: train", mend=AGAIN)
