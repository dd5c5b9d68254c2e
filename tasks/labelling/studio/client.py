"""Label Studio's HTTP interface: one connection, and errors that say what to do."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tasks.base.errors import DataError, UserError
from tasks.data.formats._superb_json import mapping, parse
from tasks.labelling.studio.access import START, Access

if TYPE_CHECKING:
    import httpx

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
LARGEST = 256 << 20
PAGE = 100
# a list that changes while its pages are read is read again
LOOKS = 4


class StudioAway(UserError):
    """The server does not answer, or says that it cannot just now."""


class StudioDenied(UserError):
    """The server does not take the token."""


class StudioMissing(UserError):
    """What was asked for is not there (any more)."""


class Client:
    """Requests to one server.

    Args:
        timeout_s: seconds without a byte after which a request is given up.
    """

    def __init__(self, access: Access, timeout_s: float = 120.0) -> None:
        import httpx

        self.access, self.url = access, access.url
        local = urlsplit(access.url).hostname in LOOPBACK
        # a proxy of the environment must not be asked for this machine; no redirect may carry the token elsewhere
        self._http = httpx.Client(timeout=httpx.Timeout(timeout_s, connect=10.0), trust_env=not local,
                                  follow_redirects=False, verify=_certificates(access.url))
        self._short_lived: str | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self._http.close()

    def get(self, path: str, **parameters: Any) -> Any:
        return self.ask("GET", path, params=parameters)

    def post(self, path: str, body: Any, **parameters: Any) -> Any:
        return self.ask("POST", path, json=body, params=parameters)

    def patch(self, path: str, body: Any) -> Any:
        return self.ask("PATCH", path, json=body)

    def delete(self, path: str) -> None:
        """Delete what may be gone already."""
        try:
            self.ask("DELETE", path)
        except StudioMissing:
            return

    def ask(self, method: str, path: str, **given: Any) -> Any:
        """The decoded JSON of one request; None for an empty answer.

        Raises:
            StudioAway: nobody answers, too slowly, or with a server's error. StudioDenied: the token is refused.
            StudioMissing: there is no such thing. UserError: the request is refused, or the answer is not JSON.
        """
        status, content = self._once(method, path, given)
        if status == 401 and self._expired():
            status, content = self._once(method, path, given)
        if status < 300:
            return self._decoded(content, path)
        raise self._failure(status, content, method, path)

    def pages(self, path: str, key: str, size: int = PAGE, **parameters: Any) -> list[dict[str, Any]]:
        """All entries of a list that comes in pages, each `id` once."""
        found: dict[int, dict[str, Any]] = {}
        for _ in range(LOOKS):
            told = list(self._entries(path, key, size, parameters))
            found = {entry["id"]: entry for entry, _ in told}
            if not told or len(found) == told[-1][1]:
                break
        return list(found.values())

    def _entries(self, path: str, key: str, size: int,
                 parameters: dict[str, Any]) -> Iterator[tuple[dict[str, Any], int]]:
        page, seen, total = 1, 0, 1
        while seen < total:
            try:
                answer = self.get(path, page=page, page_size=size, **parameters)
            except StudioMissing:
                if page == 1:
                    raise
                return  # the list became shorter meanwhile
            entries, told = rows_in(answer, key, self.url), mapping(answer)
            total = whole(told.get("total", told.get("count")))
            yield from ((entry, total) for entry in entries)
            page, seen = page + 1, seen + len(entries)
            if not entries:
                return

    def _once(self, method: str, path: str, given: dict[str, Any]) -> tuple[int, bytes]:
        import httpx

        try:
            with self._http.stream(method, f"{self.url}{path}", headers=self._headers(), **given) as answer:
                parts, size = [], 0
                for part in answer.iter_bytes():
                    size += len(part)
                    if size > LARGEST:
                        raise UserError(f"Label Studio's answer is larger than {LARGEST >> 20} MB", where=path,
                                        mend="split the job")
                    parts.append(part)
                if answer.is_redirect:
                    raise UserError(f"Label Studio sends us to {answer.headers.get('location', '?')!r}", where=self.url,
                                    mend="name that address in conf/site: labelling.url")
                return answer.status_code, b"".join(parts)
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise self.away(f"{type(error).__name__}: {error}") from error

    def _headers(self) -> dict[str, str]:
        token = self.access.token
        if token.count(".") != 2:
            return {"Authorization": f"Token {token}"}
        # a personal access token is traded for one that is good for minutes
        if self._short_lived is None:
            self._short_lived = self._traded(token)
        return {"Authorization": f"Bearer {self._short_lived}"}

    def _traded(self, token: str) -> str:
        import httpx

        try:
            answer: httpx.Response = self._http.post(f"{self.url}/api/token/refresh", json={"refresh": token})
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise self.away(f"{type(error).__name__}: {error}") from error
        if answer.status_code >= 300:
            raise self._failure(answer.status_code, answer.content, "POST", "/api/token/refresh")
        made = mapping(self._decoded(answer.content, "/api/token/refresh")).get("access")
        if not isinstance(made, str):
            raise UserError("the answer has no token: is this a Label Studio?", where=f"{self.url}/api/token/refresh",
                            mend="conf/site: labelling.url")
        return made

    def _expired(self) -> bool:
        had, self._short_lived = self._short_lived is not None, None
        return had

    def away(self, why: str) -> StudioAway:
        mend = f"{START} starts it; nothing is lost, run this again then" if self.access.own else \
            "try again later, nothing is lost; conf/site: labelling.url names it"
        return StudioAway(f"Label Studio does not answer ({' '.join(why.split())[:200]})", where=self.url, mend=mend)

    def _failure(self, status: int, content: bytes, method: str, path: str) -> UserError:
        said = _told(content)
        where = f"{method} {self.url}{path}"
        if status in (401, 403):
            mend = f"visionmill down; {START}: it reads the token anew" if self.access.own else \
                "take a token from its page `Account & Settings`; conf/site: labelling.token"
            return StudioDenied(f"Label Studio refuses the token ({status}: {said})", where=self.url, mend=mend)
        if status == 404:
            return StudioMissing(f"Label Studio has no {path} ({said})", where=self.url)
        if status >= 500 or status == 429:
            return self.away(f"{status} for {method} {path}: {said}")
        return UserError(f"Label Studio refuses it ({status}): {said}", where=where,
                         mend="is that address a Label Studio of version 1.20 or later?")

    def _decoded(self, content: bytes, path: str) -> Any:
        if not content.strip():
            return None
        try:
            return parse(content, path)
        except DataError:
            raise UserError("the answer is no JSON: is this a Label Studio?", where=f"{self.url}{path}",
                            mend="conf/site: labelling.url") from None


def _certificates(url: str) -> ssl.SSLContext | bool:
    """What proves who a server is; reading all known certificates takes a tenth of a second, and http has no use for
    them."""
    return ssl.create_default_context() if url.startswith("https://") else False


def _told(content: bytes) -> str:
    """What an error's body says, in a line."""
    try:
        told = json.loads(content)
        told = {key: told[key] for key in ("detail", "validation_errors") if told.get(key)} or told
    except (ValueError, RecursionError, AttributeError):
        told = content[:2000].decode(errors="replace") if not content.lstrip().startswith(b"<") else "a page"
    return " ".join(str(told).split())[:400]


def rows_in(answer: Any, key: str, where: str) -> list[dict[str, Any]]:
    """A list of objects with ids that an answer has under `key`, or is.

    Raises:
        UserError: it is something else.
    """
    given = answer.get(key) if isinstance(answer, dict) else answer
    if not isinstance(given, list) or not all(isinstance(one, dict) and isinstance(one.get("id"), int)
                                              for one in given):
        raise UserError(f"Label Studio's answer has no list {key!r} of objects with ids", where=where,
                        mend="is that address a Label Studio of version 1.20 or later?")
    return given


def whole(value: Any) -> int:
    """A count; 0 for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0
