"""`visionmill label auto`: a model looks at every picture of a pool."""

from __future__ import annotations

import argparse
from pathlib import Path

from flows.commands.label.help import parser

EXAMPLES = """\
  visionmill label auto pool --model models:/cells@champion
  visionmill label auto pool --model picodet-s-416 --map person=person,car=vehicle --drop-rest
  visionmill label auto ~/pictures --model exports/cpu-int8/pruned.onnx    a folder is imported first
  visionmill label auto pool --model theirs.onnx --description theirs.yaml --processes 4
  visionmill label auto pool --model models:/cells@champion --for aldd     and what that strategy needs"""


def main(words: list[str]) -> int:
    """Pre-label a pool and publish what is worth showing."""
    asked = _arguments().parse_args(words)
    from flows.datastore import open_store, owner, track
    from tasks.data.crew import cores
    from tasks.labelling.pools import pool_version
    from tasks.labelling.prelabelling import Settings, prelabel
    from tasks.labelling.prelabelling.words import told
    from tasks.labelling.teachers import open_teacher, with_masks
    from tasks.labelling.teachers.mapping import parse_map

    workspace = Path()
    mapping = parse_map(asked.map) if asked.map is not None else None
    store, who, processes = open_store(workspace), owner(workspace), asked.processes or cores()
    threads = 1 if processes > 1 else None
    pool = pool_version(asked.pool, store, who, workspace)
    if asked.allow_download:
        from tasks.labelling.teachers.prompted import fetch_weights

        fetch_weights(asked.model, asked.masks, workspace=workspace)
    teacher = open_teacher(asked.model, pool.meta.classes, mapping, workspace=workspace, drop_rest=asked.drop_rest,
                           join=asked.join, threads=threads, description=asked.description,
                           weights=asked.weights)
    if asked.masks:
        teacher = with_masks(teacher, asked.masks, workspace=workspace, threads=threads)
    print("\n  ".join([f"{teacher.name} looks at {pool.ref}", *getattr(teacher, "notes", [])]), flush=True)
    settings = Settings(flip=_mirrored(asked.flip, workspace), aldd="aldd" in asked.needs,
                        consistency="cald" in asked.needs)
    made = prelabel(pool, store, teacher, settings, workspace, processes)
    version, new = made.version(store, asked.out or f"{pool.name}-auto", who, asked.shown)
    track(store, version)
    print("\n".join([*told(made, store, asked.shown), f"{'made' if new else 'nothing new:'} {version.ref}",
                     f"next:    visionmill mine {pool.ref} --strategy mixed --budget 50",
                     f"         visionmill label send {version.ref} --to label-studio --hardest 50"]))
    return 0


def _mirrored(asked: bool | None, workspace: Path) -> bool:
    """Whether mirror images say anything of these pictures: the line knows, unless the user says."""
    if asked is not None:
        return asked
    from tasks.labelling.mirroring import flip_of

    allowed = flip_of(workspace) != "none"
    if not allowed:
        print("  not at mirror images: params.yaml, train.augment.flip: none (--flip does)", flush=True)
    return allowed


def _arguments() -> argparse.ArgumentParser:
    arguments = parser("auto", EXAMPLES)
    arguments.add_argument("pool", metavar="NAME[@N]|FOLDER", help="a dataset, or a folder of pictures")
    arguments.add_argument("--model", required=True, help="models:/NAME@ALIAS, a file or a folder that the line made, "
                           "an entry of conf/import, any .onnx file, grounding-dino:FOLDER, plugin:NAME")
    arguments.add_argument("--map", metavar="THEIRS=OURS,…", help="classes of the model as those of the pool, `-` for "
                           "none (default: by name, and by the aliases of conf/classes.yaml)")
    arguments.add_argument("--drop-rest", action="store_true", help="the map may leave classes of the model out")
    arguments.add_argument("--join", action="store_true", help="the map may make one class of several")
    arguments.add_argument("--description", metavar="FILE.yaml|NAME", help="how an .onnx file from elsewhere reads and "
                           "speaks, as the files of conf/import")
    arguments.add_argument("--weights", type=Path, metavar="FILE", help="of a catalogue entry, where VISIONMILL_MIRROR "
                           "does not have them")
    arguments.add_argument("--masks", metavar="sam:FOLDER", help="a model that draws outlines into the boxes")
    arguments.add_argument("--allow-download", action="store_true", help="fetch the weights of grounding-dino:ORG/NAME "
                           "and sam:ORG/NAME from the Hugging Face hub")
    arguments.add_argument("--out", metavar="NAME", help="of the version that is made (default: POOL-auto)")
    arguments.add_argument("--processes", type=_at_least_one, metavar="N",
                           help="of one thread each (default: one a core)")
    arguments.add_argument("--flip", action=argparse.BooleanOptionalAction, help="look at the mirrored pictures too: "
                           "half as fast, surer which boxes are right (default: unless params.yaml forbids it, "
                           "train.augment.flip: none)")
    arguments.add_argument("--for", dest="needs", action="append", choices=["aldd", "cald"], default=[],
                           help="look also for what this strategy of `mine` needs; may be repeated")
    arguments.add_argument("--shown", type=_share, default=1 / 3, metavar="P",
                           help="boxes that are right with this probability are shown (default: 0.33, where deleting a "
                                "wrong box costs as much as drawing a right one)")
    return arguments


def _at_least_one(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a number of at least 1, got {text!r}")
    return int(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"a number from 0 to 1, got {text!r}")
    return value
