"""Opens a page in headless Chromium and asks it what a reader would see."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--v=0",
    "--virtual-time-budget=10000",
    "--dump-dom",
)
LISTEN = """<script>window.faults = [];
addEventListener('error', e => faults.push('error: ' + (e.message || e.target.outerHTML.slice(0, 200))), true);
addEventListener('unhandledrejection', e => faults.push('rejected: ' + e.reason));
addEventListener('securitypolicyviolation', e => faults.push('policy: ' + e.blockedURI + ' ' + e.violatedDirective));
</script>"""
PROBE = """<script>addEventListener('load', () => {
  const images = [...document.images], empty = [];
  for (const image of images) if (!image.naturalWidth) empty.push('img ' + image.alt);
  for (const svg of document.querySelectorAll('svg.plot, svg.boxes')) {
    const marks = [...svg.querySelectorAll('.line path, .bar, .bubble, .cell, .dot, .box rect')];
    const drawn = marks.filter(mark => {
      const box = mark.getBoundingClientRect();
      return mark.closest('.below') || box.width > 0 || box.height > 0;
    });
    const size = svg.getBoundingClientRect();
    if (!drawn.length || !size.width || !size.height) empty.push('svg ' + svg.getAttribute('aria-label'));
  }
  const told = {faults, empty, images: images.length, plots: document.querySelectorAll('svg.plot').length,
    scripts: document.scripts.length, wide: document.documentElement.scrollWidth, inner: innerWidth,
    boxes: document.querySelectorAll('.boxes rect').length, tips: document.querySelectorAll('[data-tip]').length,
    hidden: document.querySelectorAll('.boxes .below').length};
  const out = document.createElement('pre');
  out.id = 'told'; out.textContent = JSON.stringify(told); document.body.append(out);
});</script>"""


@dataclass
class Seen:
    """What the browser says of a page."""

    faults: list[str]
    empty: list[str]
    console: list[str]
    images: int
    plots: int
    scripts: int
    wide: int
    inner: int
    boxes: int
    tips: int
    hidden: int


def chromium() -> str:
    """The browser's command; the test is skipped where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium here: the page cannot be opened (Debian: apt-get install chromium)")
    return found


def look(page: str, folder: Path, *, width: int = 1400) -> Seen:
    """Open a copy of `page`, with a listener at its start and a probe at its end."""
    command = chromium()
    copy = folder / f"copy-{width}.html"
    # lazy pictures would wait for a reader to scroll; so all of them are there when the page has loaded
    eager = page.replace(' loading="lazy" decoding="async"', "")
    copy.write_text(
        eager.replace("<head>", "<head>" + LISTEN, 1).replace("</body>", PROBE + "</body>"), encoding="utf-8"
    )
    profile = folder / f"profile-{width}"
    done = subprocess.run(
        [command, *FLAGS, f"--user-data-dir={profile}", f"--window-size={width},2000", copy.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    told = re.search(r'<pre id="told">(.*?)</pre>', done.stdout, re.S)
    assert told, f"the page did not finish: {done.stderr[-2000:]}"
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Seen(console=console, **json.loads(html.unescape(told.group(1))))
