"""The card as one HTML text: head, contents, sections in the order in which a reader asks."""

from __future__ import annotations

from tasks.reporting import words
from tasks.reporting.card import box_views, class_views, gallery, label_views, overview, picture_views
from tasks.reporting.card.frames import Frames, Job, around
from tasks.reporting.card.look import SCRIPT as AGAIN
from tasks.reporting.card.look import STYLE
from tasks.reporting.card.material import Material
from tasks.reporting.markup import shorten
from tasks.reporting.section import Section
from tasks.reporting.shell import render

LIMIT = 11_500_000  # bytes of the whole page


def build_page(material: Material) -> str:
    """The whole card as one HTML text, below `LIMIT` bytes: the more pictures, the coarser they are."""
    text = ""
    for thrift in (1, 2, 4, 8):
        text = _render(material, build_sections(material, thrift))
        if len(text.encode()) < LIMIT:
            break
    return text


def build_sections(material: Material, thrift: int = 1) -> list[Section]:
    """All sections that have something to say."""
    frames = Frames(material.now.pictures, material.now.meta.classes, thrift)
    frames.prepare(_jobs(material))
    found: list[Section | None] = [overview.overview(material)]
    if material.was is not None:
        other = Frames(material.was.pictures, material.was.meta.classes, thrift)
        found.append(overview.difference(material, frames, other))
    found += [overview.stands_out(material), class_views.classes(material), class_views.splits(material),
              box_views.boxes(material), box_views.crowding(material, frames),
              picture_views.pictures(material, frames), label_views.properties(material), label_views.sources(material),
              gallery.near_duplicates(material, frames), gallery.samples(material, frames),
              class_views.strips(material, frames)]
    return [section for section in found if section is not None]


def _jobs(material: Material) -> list[Job]:
    whole = [Job(row.image) for row in material.rows.values()]
    golden = [Job(row.image, file=row.image["reference"]) for row in material.rows.values() if row.image["reference"]]
    crops = [Job(row.image, around(row.boxes[0], row.image) if row.boxes else None)
             for _, rows in material.strips for row in rows]
    return [*whole, *golden, *crops]


def _render(material: Material, parts: list[Section]) -> str:
    facts, classes = material.facts, material.now.meta.classes
    names = ", ".join(shorten(c, 24) for c in classes[:8])
    names += f" and {words.count(len(classes) - 8)} more" if len(classes) > 8 else ""
    told = [("Pictures", words.count(facts["pictures"])), (words.plural(len(classes), "class"), names or "none"),
            ("Licence", facts["licence"]), ("Against", material.names[1] or None)]
    return render(shorten(facts["ref"], 80), "data card", told, parts, style=STYLE, script=AGAIN)
