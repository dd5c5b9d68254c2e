"""`data export`: a version written in another format."""

from __future__ import annotations

from pathlib import Path

from flows.commands.data.help import named, parser
from tasks.base.errors import UserError
from tasks.data.formats import WRITERS, load

EXAMPLES = """\
  visionmill data export cells --format yolo --out ~/yolo
  visionmill data export data/split --format coco --out coco"""


def main(verb: str, words: list[str]) -> int:
    """Write the files, and say what the format could not carry."""
    arguments = parser(verb, EXAMPLES)
    arguments.add_argument("dataset", metavar="NAME[@N]|FOLDER")
    arguments.add_argument("--format", required=True, metavar="FORMAT", help=f"one of: {', '.join(WRITERS)}")
    arguments.add_argument("--out", required=True, type=Path, help="folder; must not exist, or be empty")
    options = arguments.parse_args(words)
    load(options.format, WRITERS)
    out: Path = options.out.expanduser()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError("the folder is not empty, and nothing in it is touched", where=out, mend="choose another path")
    from tasks.data.exporting import export

    found = named(options.dataset)
    lost = export(found.folder, found.pictures, options.format, out)
    print(f"{found.ref} as {load(options.format, WRITERS).TITLE} in {out}")
    for what, count in sorted(lost.items()):
        print(f"lost:    {what} of {count:,}")
    return 0
