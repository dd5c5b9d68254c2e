"""`data frames`: frames of films become a dataset version."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from flows.commands.data.help import parser
from flows.datastore import is_workspace, open_store, owner, track
from tasks.base.params import check
from tasks.data.film import Film, Frames, publish_frames

EXAMPLES = """\
  visionmill data frames street.mp4 --name street               one a second, and where the picture changes
  visionmill data frames *.mp4 --name street --every 0 --change 0.15 --most 200
  visionmill label auto street --model picodet-s-416; visionmill label send street-auto --to files
  visionmill data import cvat-export --format others:cvat --name street-tracks     labels of a film have tracks
  visionmill data interpolate street-tracks --out street        boxes between the labelled frames, by track"""


def main(verb: str, words: list[str]) -> int:
    """Choose frames, say which and why, and list the version."""
    arguments = parser(verb, EXAMPLES)
    arguments.add_argument("clips", nargs="+", type=Path, metavar="CLIP")
    arguments.add_argument("--name", required=True, help="of the dataset")
    arguments.add_argument("--licence")
    for name, about in Frames.model_fields.items():
        kind = {"form": str, "most": int, "quality": int}.get(name, float)
        arguments.add_argument(f"--{name}", type=kind, help=f"{about.description} (default: {about.default})")
    options = arguments.parse_args(words)
    given = {name: getattr(options, name) for name in Frames.model_fields if getattr(options, name) is not None}
    settings = check(Frames, given, "data frames")
    store = open_store()
    version, new, films = publish_frames(store, options.clips, settings, name=options.name, owner=owner(),
                                         classes=_classes(), licence=options.licence)
    track(store, version)
    for film in films:
        _tell(film)
    print(f"{'made' if new else 'nothing new:'} {version.ref}: {sum(len(film.kept) for film in films):,} pictures of "
          f"{len(films)} {'film' if len(films) == 1 else 'films'}\n"
          f"next:    visionmill label auto {version.name} --model MODEL")
    return 0


def _classes() -> list[str]:
    """The workspace's list, where there is one."""
    from tasks.data.classes import read_classes

    return [entry.name for entry in read_classes(Path(), "stop").entries] if is_workspace() else []


def _tell(film: Film) -> None:
    words = {"changed": "because the picture changes", "another": "of another scene"}
    by = Counter(words.get(reason.split()[0], "after the interval") for _, _, reason in film.kept
                 if not reason.startswith("the "))
    told = ", ".join(["the first and the last", *(f"{count} {reason}" for reason, count in by.most_common())])
    print(f"{film.path.name}: {len(film.kept)} of {film.read} frames in {film.seconds:.1f} s: {told}")
    if film.flaw:
        print(f"  it breaks off: {film.flaw}; what could be read is kept")
