"""A small stand-in for Label Studio on loopback, whose connection breaks when a test says so."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "0123456789abcdef0123456789abcdef01234567"
WHEN = "2026-03-01T12:00:{:02d}.5Z"


@dataclass
class Fake:
    """What the server has.

    Attributes:
        breaks: number of a request → `before` it is done, or `after`: the connection ends without an answer.
        status: answer everything with this status instead.
    """

    url: str = ""
    token: str = TOKEN
    projects: dict[int, dict[str, Any]] = field(default_factory=dict)
    tasks: dict[int, dict[str, Any]] = field(default_factory=dict)
    storages: list[dict[str, Any]] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    users: list[dict[str, Any]] = field(default_factory=lambda: [{"id": 1, "email": "ann@localhost"},
                                                                 {"id": 2, "email": "bob@localhost"}])
    breaks: dict[int, str] = field(default_factory=dict)
    status: int | None = None
    asked: list[str] = field(default_factory=list)
    numbers: int = 0

    def next(self) -> int:
        self.numbers += 1
        return self.numbers

    def of(self, project: int) -> list[dict[str, Any]]:
        return [task for task in self.tasks.values() if task["project"] == project]

    def answer(self, task: int, result: list[Any], who: int = 1, *, second: int = 0, cancelled: bool = False) -> int:
        """A person hands in an annotation; `second` says when."""
        number = self.next()
        self.tasks[task]["annotations"].append({
            "id": number, "result": result, "completed_by": who, "updated_by": who, "was_cancelled": cancelled,
            "lead_time": 7.5, "created_at": WHEN.format(0), "updated_at": WHEN.format(second)})
        return number

    def told(self, task: dict[str, Any], everything: bool) -> dict[str, Any]:
        skipped = sum(one["was_cancelled"] for one in task["annotations"])
        counts = {"total_annotations": len(task["annotations"]) - skipped, "cancelled_annotations": skipped}
        kept = {key: value for key, value in task.items() if everything or key in ("id", "data", "project")}
        return kept | counts | ({"draft_exists": bool(task["drafts"] or task["hidden_draft"])} if everything else {})


@contextmanager
def fake() -> Iterator[Fake]:
    """A server in a thread of this process."""
    state = Fake()

    class Handler(_Handler):
        fake = state

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    fake: Fake
    protocol_version = "HTTP/1.1"
    # an answer in one packet: two would wait 40 ms for each other
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        return

    def do_GET(self) -> None:
        self._do()

    def do_POST(self) -> None:
        self._do()

    def do_PATCH(self) -> None:
        self._do()

    def do_DELETE(self) -> None:
        self._do()

    def _do(self) -> None:
        state, address = self.fake, urlsplit(self.path)
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        state.asked.append(f"{self.command} {address.path}")
        breaks = state.breaks.pop(len(state.asked), None)
        if breaks == "before":
            self.close_connection = True
            return
        asked = {key: values[0] for key, values in parse_qs(address.query).items()}
        status, answer = self._answer(address.path, asked, content)
        if breaks == "after":
            self.close_connection = True
            return
        body = b"" if answer is None else answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        if status in (301, 302):
            self.send_header("Location", "https://elsewhere.example/")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _answer(self, path: str, asked: dict[str, str], content: bytes) -> tuple[int, Any]:
        state = self.fake
        if state.status:
            return state.status, {"detail": "as the test wants it"}
        if path == "/api/token/refresh":
            return 200, {"access": "short.lived.one"}
        if self.headers["Authorization"] not in (f"Token {state.token}", "Bearer short.lived.one"):
            return 401, {"detail": "Invalid token."}
        for method, pattern, name in ROUTES:
            if method == self.command and (found := re.fullmatch(pattern, path)):
                return getattr(self, name)(asked, content, *(int(part) for part in found.groups()))
        return 404, {"detail": f"no {path}"}

    def version(self, asked: dict[str, str], content: bytes) -> tuple[int, Any]:
        return 200, {"release": "1.23.2"}

    def users(self, asked: dict[str, str], content: bytes) -> tuple[int, Any]:
        return 200, self.fake.users

    def list_projects(self, asked: dict[str, str], content: bytes) -> tuple[int, Any]:
        return self._page(list(self.fake.projects.values()), "results", "count", asked)

    def make_project(self, asked: dict[str, str], content: bytes) -> tuple[int, Any]:
        number = self.fake.next()
        self.fake.projects[number] = {"id": number, **json.loads(content)}
        return 201, self.fake.projects[number]

    def project(self, asked: dict[str, str], content: bytes, number: int) -> tuple[int, Any]:
        found = self.fake.projects.get(number)
        if found and self.command == "PATCH":
            found.update(json.loads(content))
        return (200, found) if found else (404, {"detail": "No Project matches the given query."})

    def storages(self, asked: dict[str, str], content: bytes) -> tuple[int, Any]:
        if self.command == "GET":
            return 200, [one for one in self.fake.storages if one["project"] == int(asked["project"])]
        self.fake.storages.append({"id": self.fake.next(), **json.loads(content)})
        return 201, self.fake.storages[-1]

    def list_files(self, asked: dict[str, str], content: bytes, project: int) -> tuple[int, Any]:
        return 200, [one for one in self.fake.files if one["file"].startswith(f"upload/{project}/")]

    def file(self, asked: dict[str, str], content: bytes, number: int) -> tuple[int, Any]:
        return 200, next(one for one in self.fake.files if one["id"] == number)

    def bring(self, asked: dict[str, str], content: bytes, project: int) -> tuple[int, Any]:
        if self.headers["Content-Type"].startswith("multipart/"):
            made = [self._file(part, project) for part in _parts(self.headers["Content-Type"], content)]
            return 201, {"file_upload_ids": made}
        for told in json.loads(content):
            number = self.fake.next()
            self.fake.tasks[number] = {"id": number, "project": project, "annotations": [], "drafts": [],
                                       "hidden_draft": False, **told}
        return 201, {"task_count": len(json.loads(content))}

    def _file(self, part: Message, project: int) -> int:
        number = self.fake.next()
        name = part.get_filename()
        assert name and part.get_payload(decode=True)
        self.fake.files.append({"id": number, "file": f"upload/{project}/{number:08x}-{name}"})
        return number

    def list_tasks(self, asked: dict[str, str], content: bytes) -> tuple[int, Any]:
        state, project = self.fake, int(asked["project"])
        if project not in state.projects:
            return 404, {"detail": "No Project matches the given query."}
        everything, query = asked.get("fields") == "all", json.loads(asked.get("query", "{}"))
        found = [state.told(task, everything) for task in sorted(state.of(project), key=lambda task: task["id"])]
        if chosen := query.get("selectedItems"):
            found = [task for task in found if task["id"] in chosen["included"]]
        if query.get("filters"):
            found = [task for task in found if task["total_annotations"] or task["cancelled_annotations"]
                     or task.get("draft_exists")]
        return self._page(found, "tasks", "total", asked)

    def drop_task(self, asked: dict[str, str], content: bytes, number: int) -> tuple[int, Any]:
        return (204, None) if self.fake.tasks.pop(number, None) else (404, {"detail": "gone"})

    def _page(self, found: list[Any], key: str, total: str, asked: dict[str, str]) -> tuple[int, Any]:
        page, size = int(asked["page"]), int(asked["page_size"])
        some = found[(page - 1) * size:page * size]
        if page > 1 and not some:
            return 404, {"detail": "Invalid page."}
        return 200, {key: some, total: len(found)}


ROUTES = (
    ("GET", "/api/version", "version"), ("GET", "/api/users", "users"),
    ("GET", "/api/projects", "list_projects"), ("POST", "/api/projects", "make_project"),
    ("GET", r"/api/projects/(\d+)", "project"), ("PATCH", r"/api/projects/(\d+)", "project"),
    ("POST", r"/api/projects/(\d+)/import", "bring"),
    ("GET", r"/api/projects/(\d+)/file-uploads", "list_files"), ("GET", r"/api/import/file-upload/(\d+)", "file"),
    ("GET", "/api/storages/localfiles", "storages"), ("POST", "/api/storages/localfiles", "storages"),
    ("GET", "/api/tasks", "list_tasks"), ("DELETE", r"/api/tasks/(\d+)", "drop_task"),
)


def _parts(kind: str, content: bytes) -> list[Message]:
    whole = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + content)
    parts = whole.get_payload()
    assert isinstance(parts, list)
    return [part for part in parts if isinstance(part, Message)]
