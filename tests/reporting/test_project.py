"""The pages about versions: numbers, empty states, names that would break them, and how a browser sees them."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tasks.reporting.project.graph import graph
from tasks.reporting.project.lineage_page import lineage_page
from tasks.reporting.project.page import project_page
from tasks.reporting.project.trends import arrow, verdict
from tests.reporting.browser import look

EVIL = "<script>alert('x')</script>&\x1b"
VOID = {"img", "meta", "input", "br", "link"}


class Checked(HTMLParser):
    """Every element is closed in the order in which it was opened; anchors lead somewhere."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.feed(page)
        assert not self.open and self.links <= self.ids

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if name := told.get("id"):
            assert name not in self.ids
            self.ids.add(name)
        if (href := told.get("href") or "").startswith("#"):
            self.links.add(href[1:])
        assert "src" not in told and not any(name.startswith("on") for name in told)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def row(number: int, **more: Any) -> dict[str, Any]:
    return {"version": str(number), "created": 1_760_000_000_000 + number, "aliases": [], "AP": 0.5 + number / 1000,
            "AP50": 0.8, "bytes": 1e6, "median_ms": 2.0, "pictures": 700.0, "boxes": 3000.0, "low": None, "high": None,
            "gate": "passed", "test_hash": "t" * 64, "data_hash": "d" * 32, "artefact": "pruned/cpu-int8",
            "by_hand": False, "imported": False} | more


def history(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "cells", "versions": list(rows), "reports": {}, "models": ["cells"], "audit": [], "deployed": [],
            "drift": None} | more


def test_without_a_version_it_says_what_to_do_first() -> None:
    page = project_page(history(models=["nuts"]), {"workspace": "/w"})
    Checked(page)
    assert "What to do first" in page and "visionmill run" in page and "nuts" in page
    assert "Versions over time" not in page


def test_one_version_has_no_arrow_and_a_point() -> None:
    page = project_page(history(row(1, aliases=["champion"], low=0.45, high=0.55)), {})
    Checked(page)
    assert "AP 0.450 \u2013 0.550 at 95 %" in page and " ↑" not in page and "Champion, version 1" in page


def test_twelve_versions_with_all_around_them() -> None:
    rows = [row(n, gate="refused: AP floor, size" if n == 12 else "passed", pictures=600.0 + n) for n in range(1, 13)]
    rows[10]["aliases"] = ["champion"]
    report = {"passed": False, "rules": [{"name": "size", "verdict": "pass", "reason": "1 MB, at most 50 MB"},
                                         {"name": "AP floor", "verdict": "fail", "reason": "0.2, at least 0.25"}]}
    entry = {"when": "2026-11-22T08:00:00+00:00", "name": "cells", "alias": "champion", "from_version": "10",
             "to_version": "11", "who": "eva", "gate": "passed", "gate_hash": "x", "reason": "better", "by": "ours"}
    around = {"workspace": "/w", "notes": {
        "last_run": {"finished": "2026-11-22 09:33:56", "exit_code": 3, "error": None, "outcomes": [
            {"stage": "train", "what": "ran", "seconds": 300.0, "reason": ""}, {"stage": "code", "what": "ran"}]},
        "last_retrain": {"schema": 1, "finished": "2026-11-22 02:00:00", "outcome": "registered", "exit_code": 0,
                         "steps": {"push": {"ok": True, "text": "3 files sent"}},
                         "reasons": [{"kind": "new data", "text": "raw"}]}},
        "flows": [{"name": "odd-lynx", "state": "Completed", "started": 1_760_000_000_000, "seconds": 61.0}],
        "services": {"mlflow": "http://127.0.0.1:5000"}}
    page = project_page(history(*rows, reports={"12": report}, audit=[entry], drift={"when": 1, "verdict": "drift"},
                                deployed=[{"target": "cpu-int8", "version": "11", "whole": False}]), around)
    Checked(page)
    # a refusing rule stands first, with its reason
    assert page.index("0.2, at least 0.25") < page.index("1 MB, at most 50 MB")
    for text in ("a gate refused", "odd-lynx", "new data: raw", "3 files sent", "eva", "files are missing or changed",
                 "version 11", "5 min", "127.0.0.1:5000", "refused"):
        assert text in page
    assert page.count("http") == page.count("http-equiv") + page.count("http://127.0.0.1:5000")


def test_three_hundred_versions_stay_small() -> None:
    page = project_page(history(*(row(n, test_hash=str(n // 40)) for n in range(1, 301))), {})
    Checked(page)
    assert len(page) < 600_000 and "300 versions" in page and "A line breaks where the test set changed" in page


def test_versions_without_any_number() -> None:
    nothing = dict.fromkeys(("AP", "AP50", "bytes", "median_ms", "pictures", "boxes", "test_hash", "data_hash", "gate"))
    page = project_page(history(row(1, **nothing), row(2, **nothing, imported=True)), {})
    Checked(page)
    assert "No version has an accuracy." in page and "not asked" in page and ">nan<" not in page.lower()


@pytest.mark.parametrize(("key", "was", "now", "shown", "class_"), [
    ("AP", 0.50, 0.52, "↑", "up"), ("AP", 0.52, 0.50, "↓", "down"), ("AP", 0.5, 0.5004, "→", "flat"),
    ("median_ms", 2.0, 1.0, "↓", "up"), ("median_ms", 2.0, 3.0, "↑", "down"), ("bytes", 100.0, 101.0, "→", "flat")])
def test_an_arrow_says_what_is_better(key: str, was: float, now: float, shown: str, class_: str) -> None:
    mark = arrow(row(2, **{key: now}), row(1, **{key: was}), key)
    assert shown in mark and f'class="{class_}"' in mark
    assert arrow(row(2), None, key) == "" and arrow(row(2), row(1, **{key: None}), key) == ""


def test_two_test_sets_do_not_compare() -> None:
    page = project_page(history(row(1), row(2, test_hash="other", AP=0.9, median_ms=2.0, bytes=1e6)), {})
    assert 'class="up"' not in page and 'class="flat"' in page


def test_a_verdict_names_the_rules_that_refused() -> None:
    told = "".join(map(str, verdict(row(1, gate="refused: AP floor, size", by_hand=True))))
    assert "refused</span> AP floor, size promoted by hand" in told


def test_hostile_names() -> None:
    bad = row(1, aliases=[EVIL], gate=f"refused: {EVIL}", test_hash=EVIL)
    report = {"passed": True, "rules": [{"name": EVIL, "verdict": EVIL, "reason": EVIL}, "no rule"]}
    entry = dict.fromkeys(("when", "name", "alias", "from_version", "to_version", "who", "gate", "reason", "by"), EVIL)
    page = project_page(history(bad, name=EVIL, reports={"1": report}, audit=[entry], deployed=[{"target": EVIL}],
                                drift={"when": "x", "verdict": EVIL}),
                        {"workspace": EVIL, "notes": {
                            "last_run": {"exit_code": EVIL, "outcomes": [EVIL], "error": EVIL},
                            "last_retrain": {EVIL: [EVIL, {EVIL: None}]}},
                         "flows": [{"name": EVIL, "state": EVIL, "seconds": "x"}], "services": {EVIL: EVIL}})
    Checked(page)
    assert "<script>alert" not in page and "\x1b" not in page


def trail(stages: list[dict[str, Any]]) -> dict[str, Any]:
    return {"version": {"name": "cells", "version": "1", "aliases": [], "created": None, "uri": "u", "tags": {}},
            "papers": "git", "params": {}, "stages": stages, "runs": [], "files": [], "audit": [], "deployed": [],
            "code": {**dict.fromkeys(("commit", "package_commit", "package_version", "uncommitted")), "commits": []},
            "pictures": {"hash": None, "files": None, "licence": None, "split_hash": None, "test_hash": None,
                         "bytes": None}, "labels": {}, "datasets": [],
            "gate": {"verdict": None, "preset": None, "hash": None, "rules": []}, "missing": []}


def stage(name: str, deps: list[str], outs: list[str]) -> dict[str, Any]:
    return {"name": name, "cmd": "c", "params": {}, "deps": [{"path": path, "hash": "h"} for path in deps],
            "outs": [{"path": path, "hash": "h" * 32} for path in outs]}


def test_the_drawing_shows_each_stage_once_and_no_way_round() -> None:
    stages = [stage("split", [], ["data/split"]), stage("train", ["data/split"], ["models/trained"]),
              *(stage(f"export@t{n}", ["models/trained", "data/split"], [f"exports/t{n}"]) for n in range(4)),
              stage("evaluate", ["exports", "models/trained", "data/split"], ["results/evaluate"])]
    drawn = str(graph(trail(stages)))
    names = re.findall(r'class="name">([^<]*)<', drawn)
    assert [name for name in names if name in ("split", "train", "export", "evaluate")] == ["split", "train", "export",
                                                                                            "evaluate"]
    # 4 feed the line, 3 within it, 1 out of it, then version, gate, aliases and deployment
    assert drawn.count('class="edge"') == 4 + 3 + 1 + 3


@pytest.mark.parametrize("stages", [[], [stage("a", ["y"], ["x"]), stage("b", ["x"], ["y"])]])
def test_a_drawing_of_little_or_of_a_circle(stages: list[dict[str, Any]]) -> None:
    page = lineage_page(trail(stages))
    Checked(page)
    assert json.dumps(trail(stages)) and "nowhere known" in page


@pytest.mark.parametrize("width", [1200, 500])
def test_a_browser_shows_the_project_without_scrolling_sideways(width: int, tmp_path: Path) -> None:
    rows = [row(n, pictures=600.0 + n) for n in range(1, 13)]
    seen = look(project_page(history(*rows), {}), tmp_path, width=width)
    assert seen.faults == [] and seen.console == [] and not seen.empty
    assert seen.wide <= seen.inner and seen.plots == 6
