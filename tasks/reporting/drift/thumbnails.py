"""A small copy of a picture inside the page."""

from __future__ import annotations

from tasks.base.errors import DataError
from tasks.data.pictures import read_picture
from tasks.drift.measures import Entry
from tasks.reporting.markup import Markup, element
from tasks.reporting.pictures import encode

BYTES = 24_000


def shot(entry: Entry) -> Markup:
    """The picture, or the reason why there is none."""
    try:
        source = encode(read_picture(entry.place), BYTES)
    except (DataError, OSError):
        return element("p", f"{entry.name} could not be read.", class_="none")
    picture = element("img", src=source, alt=entry.name, width=entry.width, height=entry.height, loading="lazy",
                      decoding="async")
    return element("div", picture, class_="shot", style=f"aspect-ratio:{entry.width}/{entry.height}")
