"""Which Label Studio a workspace uses: the one that its site names, else the one of `visionmill up`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tasks.base.errors import UserError
from tasks.base.files import read_json
from tasks.base.site import read_site

# written by `visionmill up --with label-studio`, for its owner's eyes alone
NOTE = Path(".visionmill/studio.json")
START = "visionmill up --with label-studio"


@dataclass(frozen=True)
class Access:
    """An address and a token.

    Attributes:
        folder: what the server shows files of, on this machine; None: pictures are uploaded.
        own: whether `visionmill up` of this workspace starts it.
    """

    url: str
    token: str
    folder: Path | None = None
    own: bool = False

    @property
    def server(self) -> str:
        """Which server it is: the workspace's own keeps its projects when its port changes."""
        return "own" if self.own else self.url

    def __repr__(self) -> str:
        # a token must not get into a log by way of an error's text
        return f"Access({self.url!r})"


def find_access(workspace: Path) -> Access:
    """How to reach Label Studio.

    Raises:
        UserError: the site names none, and none was ever started here; or the site has an address and no token.
    """
    named = read_site(workspace).labelling
    if named.url:
        if not named.token:
            raise UserError("the site names a Label Studio and no token for it", where=named.url,
                            mend="conf/site: labelling: {url: …, token: ${LABEL_STUDIO_TOKEN}}; its page `Account & "
                                 "Settings` shows the token")
        return Access(_checked(named.url), _fit(named.token))
    path = workspace / NOTE
    try:
        told = read_json(path)
        return Access(_checked(told["url"]), str(told["token"]), Path(str(told["folder"])), own=True)
    except FileNotFoundError:
        raise UserError("no Label Studio is known here", where=path,
                        mend=f"{START}, or name one: conf/site: labelling: {{url: …, token: …}}") from None
    except (ValueError, KeyError, TypeError):
        raise UserError("the note on Label Studio is damaged", where=path, mend=f"{START} writes it again") from None


def _checked(url: str) -> str:
    if not isinstance(url, str) or not url.startswith(("http://", "https://")) or not _has_host(url):
        raise UserError(f"{url!r} is no address of a Label Studio", where="labelling.url", mend="http://HOST:PORT")
    return url.rstrip("/")


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a bracket that is left open
        return False


def _fit(token: str) -> str:
    """A token as it goes into a header; it is not shown, also where it is none."""
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise UserError("what is named as Label Studio's token cannot be one", where="labelling.token",
                        mend="take it anew from its page `Account & Settings`; conf/site: token: ${LABEL_STUDIO_TOKEN}")
    return token
