"""A page of a server in headless Chromium, driven by its debugging protocol."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.reporting.browser import chromium

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--window-size=1500,1000", "--remote-debugging-port=0")


class Page:
    """One tab; `hosts` are the servers that it has asked for something."""

    def __init__(self, socket: Any) -> None:
        self.socket, self.number = socket, 0
        self.hosts: set[str] = set()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            told = json.loads(self.socket.recv(120))
            if told.get("method") == "Network.requestWillBeSent":
                self.hosts.add(urlsplit(told["params"]["request"]["url"]).hostname or "")
            if told.get("id") == self.number:
                assert "error" not in told, told
                result: dict[str, Any] = told["result"]
                return result

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression; None where it fails, as while a page is being replaced."""
        with contextlib.suppress(AssertionError):
            return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def until(self, expression: str, seconds: float = 180) -> Any:
        """Wait until an expression is true, and return it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := self.ask(expression):
                return found
            time.sleep(0.2)
        raise AssertionError(f"{expression} did not come: {self.ask('document.body.innerText.slice(0, 1500)')}")

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def picture(self) -> bytes:
        """What is on the screen, as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])


@contextmanager
def page(folder: Path) -> Iterator[Page]:
    """An empty page; the test is skipped without Chromium."""
    from websockets.sync.client import connect

    command, profile = chromium(), folder / "profile"
    browser = subprocess.Popen([command, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        told = profile / "DevToolsActivePort"
        end = time.monotonic() + 120
        while not told.is_file() or not told.read_text().strip():
            assert time.monotonic() < end and browser.poll() is None, "Chromium does not start"
            time.sleep(0.1)
        with urllib.request.urlopen(f"http://127.0.0.1:{told.read_text().split()[0]}/json/list", timeout=60) as answer:
            target = next(one for one in json.load(answer) if one["type"] == "page")
        with connect(target["webSocketDebuggerUrl"], max_size=None, proxy=None, open_timeout=60) as socket:
            made = Page(socket)
            made.call("Page.enable")
            made.call("Network.enable")
            yield made
    finally:
        browser.terminate()
        try:
            browser.wait(30)
        except subprocess.TimeoutExpired:
            browser.kill()
            browser.wait()
