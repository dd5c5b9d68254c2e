"""`visionmill data VERB …`: dataset versions, in and out of the store."""

from __future__ import annotations

from importlib import import_module

from flows.commands.group import chosen
from tasks.data.ops import OPERATIONS

# verb: module beside this one, and what it does
VERBS = {
    "import": ("bring", "a folder, an archive or a URL in any format becomes a dataset version"),
    "export": ("hand_out", "a version in another format; what that format cannot carry is said"),
    "list": ("look", "all datasets and their versions"),
    "show": ("look", "classes, counts, parents and provenance of a version"),
    "diff": ("look", "pictures and labels added, removed, changed from one version to another"),
    "card": ("card", "one HTML page about a version, or comparing two"),
    "leaks": ("alike", "what stands in two splits, exact or nearly"),
    "dedup": ("alike", "copies and near-copies; --out writes a version without them"),
    **{name: ("operate", text) for name, text in OPERATIONS.items() if name != "dedup"},
    "frames": ("film", "frames of a film, chosen by change and by interval, become a dataset version"),
    "replay": ("operate", "make a version again from its recipe and compare"),
    "use": ("use", "choose the version that this workspace's line reads"),
    "push": ("transfer", "send versions and their pictures to the DVC remote"),
    "pull": ("transfer", "get versions and their pictures from the DVC remote"),
    "share": ("transfer", "make a store that several workspaces use"),
}
EXAMPLES = """\
examples:
  visionmill data import ~/pictures --name cells       finds the format, shows what it found
  visionmill data import export.zip --name cells --pictures ~/pictures
  visionmill data list; visionmill data show cells; visionmill data diff cells@1 cells@2
  visionmill data merge cells@1 extra --out cells --conflict newest
  visionmill data filter cells "class in ('RBC', 'WBC') and area > 100" --out big
  visionmill data sample cells --count 100 --stratify --out some
  visionmill data card cells --against cells@1 --out card.html
  visionmill data use cells@2; visionmill run
  visionmill data export cells --format yolo --out ~/yolo

A dataset is NAME (its latest version), NAME@N, or a folder that the line wrote, such as data/split."""


def main(words: list[str]) -> int:
    """Enter the module of one verb."""
    verb = chosen("data", VERBS, EXAMPLES, words)
    if verb is None:
        return 0
    module = import_module(f"flows.commands.data.{VERBS[verb][0]}")
    return int(module.main(verb, words[1:]) or 0)
