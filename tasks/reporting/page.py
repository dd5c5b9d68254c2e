"""The page: sections in the order in which a reader asks, with head, contents and foot."""

from __future__ import annotations

from tasks.reporting import accuracy, comparison, data, learning, results, robust, words
from tasks.reporting.inputs import Material
from tasks.reporting.markup import Markup, element, join, shorten, trusted
from tasks.reporting.pictures import BUDGET, Album
from tasks.reporting.script import SCRIPT
from tasks.reporting.section import Section
from tasks.reporting.style import stylesheet

LIMIT = 8_000_000  # bytes of the whole page
# nothing is fetched: pictures are data URIs, style and script are in the page
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
LOGO = trusted(
    '<svg viewBox="0 0 20 20" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.8">'
    '<path d="M2 6V2h4M14 2h4v4M18 14v4h-4M6 18H2v-4"/><circle cx="10" cy="10" r="3.4"/></svg>'
)


def build_page(
    material: Material, *, workspace: str, samples: int, mistakes: int, comparisons: int, score_threshold: float
) -> str:
    """The whole report as one HTML text of at most `LIMIT` bytes where its numbers alone leave room for it.

    Args:
        workspace: name of the workspace.
        samples: pictures of each split with their labels.
        mistakes: worst mistakes shown.
        comparisons: pictures shown through all artefacts.
        score_threshold: detections below it do not count in confusion, mistakes and comparisons, 0..1.
    """
    shots = samples * len(material.splits) + mistakes + comparisons * (len(material.detections) + 1)
    text = ""
    for budget in (BUDGET, BUDGET // 2, BUDGET // 4):
        album = Album(material.raw, material.dataset.images, shots, budget)
        opening = [
            results.summary(material),
            results.artefacts(material),
            comparison.comparison(material, album, comparisons, score_threshold),
            robust.robustness(material),
            accuracy.classes(material),
            accuracy.precision_recall(material),
            accuracy.confusions(material, score_threshold),
            accuracy.mistakes(material, album, mistakes, score_threshold),
        ]
        making = [learning.training(material), learning.pruning(material)]
        source = [data.distributions(material), data.findings(material), data.samples(material, album, samples)]
        text = _render(material, workspace, [*opening, *making, *source])
        if len(text.encode()) < LIMIT:
            break
    return text


def _render(material: Material, workspace: str, sections: list[Section]) -> str:
    title = f"{shorten(material.dataset.meta.name, 60)}: report"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("title", title),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="referrer", content="no-referrer"),
        element("link", rel="icon", href="data:,"),
        element("style", trusted(stylesheet())),
    )
    shell = element(
        "div",
        _header(material, workspace),
        _contents(sections),
        element("main", [section.render() for section in sections]),
        _footer(material),
        class_="shell",
    )
    body = element("body", shell, element("script", trusted(SCRIPT)))
    return "<!doctype html>\n" + element("html", head, body, lang="en") + "\n"


def _header(material: Material, workspace: str) -> Markup:
    kicker = element("p", LOGO, element("span", f"visionmill · {shorten(workspace, 60)}"), class_="kicker")
    card, classes = material.trained.card, material.classes
    names = ", ".join(shorten(c, 24) for c in classes[:8]) + (
        f" and {len(classes) - 8} more" if len(classes) > 8 else ""
    )
    facts = [
        ("Line", element("code", shorten(str(material.line), 16), title=str(material.line)) if material.line else None),
        ("Pictures", words.count(material.dataset.images.num_rows)),
        (words.plural(len(classes), "class"), names or "none"),
        ("Network", _network(card)),
        ("Input", _input(card)),
        ("Licence", material.dataset.meta.licence),
    ]
    entries = [element("li", element("b", name), " ", value) for name, value in facts if value]
    return element(
        "header",
        kicker,
        element("h1", shorten(material.dataset.meta.name, 80)),
        element("ul", entries, class_="facts"),
        class_="top",
    )


def _network(card: dict[str, object]) -> str | None:
    preset = card.get("preset")
    if not isinstance(preset, dict):
        return None
    parts = [str(preset[key]) for key in ("architecture", "backbone") if preset.get(key)]
    return " on ".join(parts).replace("_", " ") or None


def _input(card: dict[str, object]) -> str | None:
    width, height = card.get("width"), card.get("height")
    return f"{width} × {height} px" if width and height else None


def _contents(sections: list[Section]) -> Markup:
    links = [element("li", element("a", section.title, href=f"#{section.name}")) for section in sections]
    return element("nav", element("h2", "Contents"), element("ol", links), aria_label="Contents")


def _footer(material: Material) -> Markup:
    said = ["Made by visionmill. This page needs no network and no other file."]
    if material.metrics.get("test_hash"):
        said.append(
            f"Measured on the {material.split} pictures and labels with the digest "
            f"{str(material.metrics['test_hash'])[:16]}."
        )
    return element("footer", join(said, " "))
