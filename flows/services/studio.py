"""Label Studio: installed once into a virtual environment of its own, started with its data below `.visionmill/`.

    python -P -m flows.services.studio PORT      in a workspace; `visionmill up --with label-studio` does it
"""

from __future__ import annotations

import base64
import fcntl
import getpass
import hashlib
import json
import os
import re
import secrets
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from flows import processes
from flows.services.ports import HOST
from flows.workspace import NOTES
from tasks.base.errors import UserError
from tasks.base.files import read_json, write_json
from tasks.base.progress import duration

NAME, VERSION, FOLDER = "label-studio", "1.23.2", "VISIONMILL_LABEL_STUDIO"
NOTE, DATA = NOTES / "studio.json", NOTES / "label-studio"
# written last: an environment without it was interrupted
MARK = "visionmill.json"
DATABASE = "label_studio.sqlite3"
NEEDED_BYTES = 2 << 30
PROGRAM = "import sys; from label_studio.server import main; sys.argv[0] = 'label-studio'; main()"
UNFIT = re.compile(r"[^A-Za-z0-9._+-]+|\.(?=\.)")
# all else stays outside: Label Studio reads HOST, DEBUG, CI, USERNAME, STORAGE_TYPE and many more names from there
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME", "PYTHONUNBUFFERED", "NO_COLOR",
        processes.UP, "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
QUIET = {"COLLECT_ANALYTICS": "false", "SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": "", "LATEST_VERSION_CHECK": "false",
         "CONVERTER_DOWNLOAD_RESOURCES": "false"}


def main(words: list[str]) -> None:
    """Become the server of the workspace in the current folder."""
    os.umask(0o077)
    python, workspace = python_of(environment_folder()), Path.cwd()
    if python is None:
        raise UserError("Label Studio is not installed", where=environment_folder(),
                        mend=f"visionmill up --with {NAME}")
    told = make_access(workspace, f"http://{HOST}:{words[0]}")
    begin_from(environment_folder() / DATABASE, workspace / DATA / DATABASE)
    # -P: the workspace is the current folder, and its modules are not Label Studio's
    command = [str(python), "-P", "-c", PROGRAM, "start", "--no-browser", "--internal-host", HOST, "--port", words[0],
               "--log-level", "WARNING"]
    os.execve(command[0], command, server_environment(workspace, told))


def begin_from(empty: Path, database: Path) -> None:
    """A database that is not there yet starts as the empty one that was made when Label Studio was installed: making
    one takes most of the first start."""
    if empty.exists() and not database.exists():
        beside = database.with_name(f".{database.name}.{os.getpid()}")
        shutil.copyfile(empty, beside)
        beside.replace(database)


def server_environment(workspace: Path, told: dict[str, str]) -> dict[str, str]:
    """What the server starts with: its user and token for the first start, its folders, no telemetry."""
    own = {"BASE_DATA_DIR": str(workspace / DATA), "USERNAME": told["user"], "PASSWORD": told["password"],
           "USER_TOKEN": told["token"], "ENABLE_LEGACY_API_TOKEN": "true", "DISABLE_SIGNUP_WITHOUT_LINK": "true",
           "LOCAL_FILES_SERVING_ENABLED": "true", "LOCAL_FILES_DOCUMENT_ROOT": told["folder"], **QUIET}
    return {name: os.environ[name] for name in KEPT if name in os.environ} | {
        f"LABEL_STUDIO_{name}": value for name, value in own.items()}


def user() -> str:
    """Who labels here until others are invited: an address that Label Studio's form takes."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number that has no name
        name = ""
    # a directory's users are called CORP\ann, or ann@corp.example
    return f"{UNFIT.sub('-', name).strip('-.') or 'labeller'}@localhost"


def make_access(workspace: Path, url: str) -> dict[str, str]:
    """Address, user, password and token of the workspace's Label Studio, made once; only their owner may read them.

    A token that a person has renewed in Label Studio is taken over from its database, and without the note that held
    the password a new one is set.
    """
    path, data = workspace / NOTE, workspace / DATA
    try:
        told = dict(read_json(path))
    except (OSError, ValueError, TypeError):
        told = {}
    folder = data / "pictures"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    who = str(told.get("user") or user())
    password = str(told.get("password") or secrets.token_urlsafe(12))
    token = _kept(data / DATABASE, who, None if told.get("password") else password)
    made = {"url": url, "user": who, "password": password, "token": token or told.get("token") or secrets.token_hex(20),
            "folder": str(folder)}
    _write_secret(path, made)
    return made


def _kept(database: Path, who: str, password: str | None) -> str | None:
    """The token that the database has of a user, whose password is set where one is given; None without that user."""
    if not database.exists():
        return None
    try:
        with closing(sqlite3.connect(database, timeout=30)) as connection:
            found = connection.execute("SELECT id FROM htx_user WHERE email = ?", (who,)).fetchone()
            if found is None:
                return None
            if password is not None:
                with connection:
                    connection.execute("UPDATE htx_user SET password = ? WHERE id = ?", (_hashed(password), found[0]))
            row = connection.execute("SELECT key FROM authtoken_token WHERE user_id = ?", found).fetchone()
            return str(row[0]) if row else None
    except sqlite3.Error as error:
        raise UserError(f"Label Studio's database cannot be read: {error}", where=database,
                        mend="move it aside to begin anew, or end what else uses it") from None


def _hashed(password: str, rounds: int = 600_000) -> str:
    """As Django keeps it."""
    salt = secrets.token_hex(8)
    made = hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), rounds)
    return f"pbkdf2_sha256${rounds}${salt}${base64.b64encode(made).decode()}"


def _write_secret(path: Path, value: dict[str, Any]) -> None:
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2)
    Path(beside).chmod(0o600)
    Path(beside).replace(path)


def environment_folder() -> Path:
    """The virtual environment: VISIONMILL_LABEL_STUDIO names one, else it is in the user's cache."""
    if named := os.environ.get(FOLDER):
        return Path(named).expanduser().resolve()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "visionmill" / f"{NAME}-{VERSION}"


def python_of(folder: Path) -> Path | None:
    """The program of an environment that has Label Studio; one that we make has it when its mark is there."""
    python = folder / "bin" / "python"
    has = any(folder.glob("lib/python*/site-packages/label_studio/server.py"))
    return python if python.exists() and has and not (folder / f"{MARK}.begun").exists() else None


def install(folder: Path | None = None) -> Path:
    """The environment, which is made where it is missing: about a gigabyte, from the package index that pip uses.

    Raises:
        UserError: too little room, no network, or the folder holds something else.
    """
    folder = folder or environment_folder()
    if python_of(folder):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if python_of(folder) is None:
            _install(folder)
    return folder


def _install(folder: Path) -> None:
    begun = folder / f"{MARK}.begun"
    if folder.exists() and any(folder.iterdir()) and not begun.exists():
        raise UserError("the folder is no environment with Label Studio", where=folder,
                        mend=f"name another one: {FOLDER}=FOLDER, or unset it")
    free = shutil.disk_usage(folder.parent).free
    if free < NEEDED_BYTES:
        raise UserError(f"Label Studio needs 2 GB while it is installed, {free / 1e9:.1f} GB are free", where=folder,
                        mend=f"free some space, or install elsewhere: {FOLDER}=FOLDER")
    print(f"installing Label Studio {VERSION} into {folder}, once: about 1 GB, one to five minutes", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    begun.touch()
    start = time.monotonic()
    python = str(folder / "bin" / "python")
    _told([sys.executable, "-m", "venv", str(folder)], folder)
    _told([python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off",
           f"label-studio=={VERSION}"], folder)
    make_empty(folder)
    size = sum(path.lstat().st_size for path in folder.rglob("*"))
    write_json(folder / MARK, {"version": VERSION, "bytes": size})
    begun.unlink()
    print(f"installed {size / 1e9:.1f} GB in {duration(time.monotonic() - start)}", flush=True)


def make_empty(folder: Path) -> None:
    """An empty database beside the program, for the first start in each workspace."""
    with tempfile.TemporaryDirectory(prefix="visionmill-studio-") as data:
        _told([str(folder / "bin" / "python"), "-P", "-c", PROGRAM, "version"], folder,
              {"LABEL_STUDIO_BASE_DATA_DIR": data, **{f"LABEL_STUDIO_{name}": value for name, value in QUIET.items()}})
        begin_from(Path(data) / DATABASE, folder / DATABASE)


def _told(command: list[str], folder: Path, more: Mapping[str, str] | None = None) -> None:
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    clean.update(more or {})
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=clean)
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-6:])
        raise UserError(f"Label Studio cannot be installed:\n{said}", where=folder,
                        mend="is the package index reachable (pip config list)? An environment that is there: "
                             f"{FOLDER}=FOLDER; a server elsewhere: conf/site: labelling.url")


if __name__ == "__main__":
    from flows.cli import explain

    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(f"error: {explain(error)}")
