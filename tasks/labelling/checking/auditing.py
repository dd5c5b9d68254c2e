"""Whether the promise holds: an audit that has come back, against the bound under which its boxes were accepted."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from tasks.base.errors import UserError
from tasks.data.store.layout import Store, Version
from tasks.data.table import read_dataset
from tasks.labelling.checking.elsewhere import MODEL
from tasks.labelling.checking.reviewed import ancestors, compare, reviewed_in
from tasks.labels.accept import Check, check


@dataclass(frozen=True)
class Audited:
    """An audit that has come back.

    Attributes:
        found: what it says.
        version: the audit's version.
        asked: boxes that were drawn; those that have not come back count for nothing yet.
    """

    found: Check
    version: Version
    asked: int

    @property
    def outstanding(self) -> int:
        return self.asked - self.found.reviewed


def check_audit(store: Store, name: str, back: Version) -> Audited:
    """Compare the sampled boxes of an audit with what people say of them.

    Args:
        name: of the version whose boxes were accepted; back: what came back, as `label fetch` writes it.

    Raises:
        UserError: no audit was sent, or none of its pictures has come back reviewed.
    """
    sent = audit_of(store, name, back)
    said = sent.meta.recipe["labels"]
    told = read_dataset(sent.folder)
    model = str(said["by"]).removeprefix(MODEL)
    reviewed = reviewed_in(back, told.meta.classes)
    compared = compare(told, reviewed, model)
    drawn = np.array([bool(text and json.loads(text).get("audit")) for text in
                      compared.found["attributes"].to_pylist()], bool)
    if not drawn.any():
        raise UserError(f"no box of the audit {sent.ref} has come back reviewed in {back.ref}", where=back.ref,
                        mend=f"visionmill label status; visionmill label fetch {sent.name}")
    picture = compared.found["image_id"].to_numpy()[drawn]
    found = check(compared.right[drawn], picture, float(said["bound"]), float(said["miss"]))
    return Audited(found, sent, int(said["audit"]))


def audit_of(store: Store, name: str, back: Version) -> Version:
    """The audit that a version came back from.

    Raises:
        UserError: there is none.
    """
    made_of = [back, *ancestors(store, back)]
    latest = store.latest(f"{name.partition('@')[0]}-audit")
    for one in [*made_of, *([latest] if latest and latest.here else [])]:
        if one.meta.recipe.get("labels", {}).get("part") == "audit":
            return one
    raise UserError(f"no audit of {name} is known", where=store.versions,
                    mend=f"visionmill label accept {name} --audit 100, and send {name}-audit to people")
