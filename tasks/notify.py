"""Telling people: a JSON POST to each webhook, an e-mail to each receiver. It never raises and never takes long."""

from __future__ import annotations

import json
import smtplib
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextvars import copy_context
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from tasks.base.errors import VisionmillError
from tasks.base.site import Event, Notify, read_site

TRIES = 3
PAUSES_S = (1.0, 3.0)
LIMIT_S = 30.0  # of everything together; what is not delivered by then is given up
REFUSED = 400  # from this status on a webhook has not taken it
Way = Callable[[float], None]  # sends within that many seconds, or raises
# more ways, which flows add: (who, what) → name → way
MORE: list[Callable[[Notify, Mapping[str, Any]], dict[str, Way]]] = []
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def tell(event: Event, subject: str, text: str, *, facts: Mapping[str, Any], workspace: Path = Path()) -> None:
    """Tell whom the site names, if it wants this event. Failures are warned about and nothing more.

    Args:
        event: one of `tasks.base.site.Event`.
        subject: one line.
        text: what a person reads.
        facts: what a program reads; JSON-able, without secrets.
        workspace: whose site is asked.
    """
    try:
        wanted = read_site(workspace).notify
    except VisionmillError as error:
        warn(f"nobody was told ({subject}): {error.what}")
        return
    if event in wanted.on:
        deliver(wanted, message(event, subject, text, facts, workspace))


def message(event: Event, subject: str, text: str, facts: Mapping[str, Any], workspace: Path) -> dict[str, Any]:
    """The body that a webhook gets: event, subject, text, facts, workspace, when."""
    return {"event": event, "subject": _line(subject), "text": text, "facts": dict(facts),
            "workspace": workspace.resolve().name, "when": datetime.now(UTC).isoformat(timespec="seconds")}


def deliver(wanted: Notify, body: Mapping[str, Any]) -> list[str]:
    """Send to all at once, each three times at most, 30 s together.

    Returns:
        What was not delivered and why, without secrets; it was warned about.
    """
    ways: dict[str, Way] = {
        f"webhook {place}/{_host(url)}": _posting(url, body) for place, url in enumerate(wanted.webhooks, 1)}
    if wanted.emails:
        ways["e-mail"] = _mailing(wanted, body)
    for more in MORE:
        ways |= more(wanted, body)
    failed: dict[str, str] = dict.fromkeys(ways, f"no answer within {LIMIT_S:.0f} s")
    end = time.monotonic() + LIMIT_S
    # a daemon: one that hangs must not keep the process alive
    threads = [threading.Thread(target=copy_context().run, args=(_try, name, send, wanted.timeout_s, end, failed),
                                daemon=True) for name, send in ways.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    lost = [f"{name}: {why}" for name, why in list(failed.items())]
    for line in lost:
        warn(f"nobody was told ({body['subject']}) by {line}")
    return lost


def _try(name: str, send: Way, timeout_s: float, end: float, failed: dict[str, str]) -> None:
    for attempt in range(TRIES):
        left = end - time.monotonic()
        if left <= 0:
            return
        try:
            send(min(timeout_s, left))
            failed.pop(name, None)
            return
        except Exception as error:  # whatever a server far away does, a run goes on
            failed[name] = reason(error)
        if attempt < TRIES - 1:
            time.sleep(min(PAUSES_S[attempt], max(0.0, end - time.monotonic())))


def reason(error: Exception) -> str:
    """What went wrong without what was sent: addresses and answers of servers may hold secrets."""
    if isinstance(error, urllib.error.HTTPError):
        return f"it answered {error.code}"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"the mail server answered {error.smtp_code}"
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, OSError):
        error = error.reason
    if isinstance(error, OSError) and error.strerror and not isinstance(error, smtplib.SMTPException):
        return f"{type(error).__name__}: {error.strerror}"
    return type(error).__name__


def _posting(url: str, body: Mapping[str, Any]) -> Way:
    def post(timeout_s: float) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError("not http")
        content = json.dumps(body, ensure_ascii=False, default=str).encode()
        request = urllib.request.Request(url, content, {"Content-Type": "application/json",
                                                        "User-Agent": "visionmill"}, method="POST")
        with _opener().open(request, timeout=timeout_s) as answer:
            if answer.status >= REFUSED:
                raise urllib.error.HTTPError(url, answer.status, "refused", answer.headers, None)

    return post


def _opener() -> urllib.request.OpenerDirector:
    """A POST that is redirected would be asked again as a GET without its body: that counts as not taken."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *words: Any) -> None:
            return None

    return urllib.request.build_opener(Stay)


def _mailing(wanted: Notify, body: Mapping[str, Any]) -> Way:
    def mail(timeout_s: float) -> None:
        where = urlsplit(wanted.smtp or "smtp://localhost:25")
        kind = smtplib.SMTP_SSL if where.scheme == "smtps" else smtplib.SMTP
        port = where.port or (465 if where.scheme == "smtps" else 25)
        with kind(where.hostname or "localhost", port, timeout=timeout_s) as server:
            server.ehlo_or_helo_if_needed()
            tls = where.scheme == "smtps" or server.has_extn("starttls")
            if tls and where.scheme != "smtps":
                server.starttls(context=ssl.create_default_context())
            login_allowed(where, tls=tls)
            if where.username:
                server.login(unquote(where.username), unquote(where.password or ""))
            server.send_message(_letter(wanted, body), to_addrs=wanted.emails)

    return mail


def login_allowed(where: SplitResult, *, tls: bool) -> None:
    """A password does not travel as it is, but to this machine.

    Raises:
        SMTPNotSupportedError: it would.
    """
    if where.username and not tls and where.hostname not in LOOPBACK:
        raise smtplib.SMTPNotSupportedError


def _letter(wanted: Notify, body: Mapping[str, Any]) -> EmailMessage:
    letter = EmailMessage()
    letter["From"], letter["To"] = wanted.sender, ", ".join(wanted.emails)
    letter["Subject"] = f"[visionmill] {body['subject']}"
    facts = json.dumps(body["facts"], indent=2, ensure_ascii=False, default=str)
    letter.set_content(f"{body['text']}\n\nworkspace {body['workspace']}, {body['event']}, {body['when']}\n\n{facts}\n")
    return letter


def warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr, flush=True)


def _host(url: str) -> str:
    """An address without what may be secret in it: of many chat services the path is the password."""
    try:
        return urlsplit(url).hostname or "?"
    except ValueError:
        return "?"


def _line(text: str) -> str:
    """A subject on one line: a break in it would begin another header of a letter."""
    return " ".join(text.split())[:300]
