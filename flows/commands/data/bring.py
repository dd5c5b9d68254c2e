"""`data import`: pictures and labels from outside become a version of the store."""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from flows.commands.data.help import parser
from flows.datastore import is_workspace, open_store, owner, track
from tasks.base.errors import UserError
from tasks.data.classes import read_classes, save_classes
from tasks.data.formats import READERS
from tasks.data.reading import reader
from tasks.data.store.importing import Imported, Importing, bring_in
from tasks.data.store.layout import Store

EXAMPLES = """\
  visionmill data import ~/pictures                      format found by looking, named after the folder
  visionmill data import labels.zip --pictures ~/photos --name cells
  visionmill data import https://example.org/cells.zip --name cells
  visionmill data import ~/pictures --format kitti --unknown add --allow missing_picture"""


def main(verb: str, words: list[str]) -> int:
    """Import, show what was found, and list the version."""
    arguments = parser(verb, EXAMPLES)
    arguments.add_argument("source", metavar="PATH|ARCHIVE|URL")
    arguments.add_argument("--name", help="of the dataset (default: the folder's or the archive's)")
    arguments.add_argument("--format", default="auto", help=f"auto, or one of: {', '.join(READERS)}; "
                                                            "pictures takes a folder without labels; others:FORMAT "
                                                            "reads with datumaro")
    arguments.add_argument("--annotations", nargs="+", default=[], metavar="FILE", help="read these alone")
    arguments.add_argument("--pictures", type=Path, metavar="DIR", help="where the pictures are, if not there")
    arguments.add_argument("--unknown", choices=("stop", "ignore", "add"), default="stop",
                           help="classes that conf/classes.yaml does not have (default: stop)")
    arguments.add_argument("--allow", nargs="+", default=[], metavar="KIND", help="kinds of flaws that do not stop it")
    arguments.add_argument("--licence")
    arguments.add_argument("--voc-pixels", choices=("corners", "inclusive"), default="corners")
    arguments.add_argument("--shard-over", type=int, default=20_000, metavar="N",
                           help="more pictures than this go into archives (default: 20000)")
    arguments.add_argument("--allow-private", action="store_true", help="a URL may lead to a private address")
    options = arguments.parse_args(words)
    store = open_store()
    with _room() as room:
        folder = _gather(options, room)
        classes = read_classes(Path(), options.unknown)
        wanted = Importing(folder, options.name or name_of(options.source), options.source, classes,
                           format=options.format, annotations=options.annotations, allow=options.allow,
                           licence=options.licence, pixels=options.voc_pixels, shard_over=options.shard_over)
        found = bring_in(store, wanted, owner())
    if is_workspace():
        save_classes(Path(), classes)
    track(store, found.version)
    _tell(found, store, classes.ignored)
    return 0


@contextmanager
def _room() -> Iterator[Path]:
    """Where archives are unpacked. In a workspace it outlives a kill, so that a download goes on from where it was."""
    if not is_workspace():
        with tempfile.TemporaryDirectory(prefix="visionmill-") as folder:
            yield Path(folder)
        return
    room = Path(".visionmill/incoming").resolve()
    try:
        for name in ("labels", "together"):
            shutil.rmtree(room / name, ignore_errors=True)
        room.mkdir(parents=True, exist_ok=True)
        yield room
    finally:
        for name in ("labels", "together"):
            shutil.rmtree(room / name, ignore_errors=True)


def name_of(source: str) -> str:
    """A dataset's name from what a person imports: the last part, without what no name may have."""
    path = urlsplit(source).path if "://" in source else str(Path(source).expanduser().resolve())
    stem = re.sub(r"(\.(zip|tar|tgz|gz|bz2|xz))+$", "", PurePosixPath(path).name)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.")
    if not name:
        raise UserError("no name can be made of that", where=source, mend="--name NAME")
    return name


def _gather(options: argparse.Namespace, room: Path) -> Path:
    """The folder to read; labels and pictures that lie apart are brought together by links."""
    from tasks.data.incoming import bring

    folder = bring(options.source, room / "labels", allow_private=options.allow_private)
    pictures: Path | None = options.pictures
    if pictures is None:
        return folder
    if not pictures.is_dir():
        raise UserError("no such folder", where=pictures, mend="--pictures DIR")
    together = room / "together"
    together.mkdir()
    _link_tree(folder, together)
    _link_tree(pictures.resolve(), together / "pictures")
    return together


def _link_tree(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        if path.is_file():
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path)


def _tell(found: Imported, store: Store, ignored: Counter[str]) -> None:
    titles = sorted({f"{reader(source.format).TITLE}" for source in found.sources})
    meta, built = found.version.meta, found.built
    print(f"found:   {', '.join(titles)}; problem: {meta.problem}")
    print(f"holds:   {built.images:,} pictures, {built.annotations + built.labels:,} labels")
    print(f"classes: {', '.join(meta.classes[:20])}{' …' if len(meta.classes) > 20 else ''}")
    print(f"splits:  {', '.join(f'{name} {count:,}' for name, count in sorted(built.splits.items()))}")
    if ignored:
        print("ignored: " + ", ".join(f"{count} {label}" for label, count in ignored.most_common()))
    if found.notes:
        kinds = Counter(note.kind for note in found.notes)
        print("allowed: " + ", ".join(f"{count} {kind}" for kind, count in kinds.items())
              + f"; listed in {found.version.folder / 'notes.json'}")
    told = "made" if found.new else "nothing new: the same pictures and labels are"
    pool = {source.format for source in found.sources} == {"pictures"}
    after = f"visionmill label auto {found.version.ref} --model NAME" if pool else (
        f"visionmill data use {found.version.ref}; visionmill run")
    print(f"{told} {found.version.ref} in {store.root}\nnext:    {after}")
