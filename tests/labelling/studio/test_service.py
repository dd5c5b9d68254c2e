"""How Label Studio is installed, what it is started with, and who may read its secrets; without the real one."""

from __future__ import annotations

import base64
import hashlib
import shutil
import sqlite3
import stat
from collections import namedtuple
from pathlib import Path

import pytest

from flows.services import plan, studio
from tasks.base.errors import UserError
from tasks.base.files import read_json
from tasks.base.site import Labelling, Site
from tasks.labelling.studio.access import find_access


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like an environment with Label Studio."""
    folder = tmp_path / "environment"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/python").touch()
    package = folder / "lib/python3.11/site-packages/label_studio"
    package.mkdir(parents=True)
    (package / "server.py").touch()
    monkeypatch.setenv(studio.FOLDER, str(folder))
    return folder


def test_the_environment_is_the_named_one_or_in_the_cache(
        program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert studio.environment_folder() == program and studio.install() == program
    monkeypatch.delenv(studio.FOLDER)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert studio.environment_folder() == tmp_path / f"visionmill/label-studio-{studio.VERSION}"
    assert studio.python_of(studio.environment_folder()) is None


def test_an_interrupted_installation_begins_anew_and_is_told(
        program: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    begun = program / f"{studio.MARK}.begun"
    begun.touch()
    assert studio.python_of(program) is None
    commands: list[list[str]] = []

    def run(command: list[str], folder: Path, more: dict[str, str] | None = None) -> None:
        commands.append(command)
        if "venv" in command:
            (folder / "bin").mkdir()
            (folder / "bin/python").touch()
        if "install" in command:
            package = folder / "lib/python3.11/site-packages/label_studio"
            package.mkdir(parents=True)
            (package / "server.py").touch()

    monkeypatch.setattr(studio, "_told", run)
    studio.install()
    assert f"label-studio=={studio.VERSION}" in commands[1] and not begun.exists()
    assert studio.python_of(program) and read_json(program / studio.MARK)["version"] == studio.VERSION
    assert "about 1 GB, one to five minutes" in capsys.readouterr().out


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(UserError, match="no environment with Label Studio"):
        studio.install(tmp_path)
    assert (tmp_path / "mine.txt").exists()


def test_what_pip_says_and_too_little_room_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = tmp_path / "python"
    failing.write_text("#!/bin/sh\necho 'no index answers' >&2\nexit 1\n", encoding="utf-8")
    failing.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(failing))
    with pytest.raises(UserError, match=r"(?s)cannot be installed:\nno index answers.*labelling\.url"):
        studio.install(tmp_path / "none")
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(9, 8, 1))
    with pytest.raises(UserError, match="needs 2 GB"):
        studio.install(tmp_path / "small")


@pytest.mark.parametrize(("name", "said"), [
    ("ann", "ann@localhost"), ("CORP\\ann", "CORP-ann@localhost"), ("ann@corp.example", "ann-corp.example@localhost"),
    ("a..b lee.", "a-.b-lee@localhost"), ("ann.lee", "ann.lee@localhost"), ("анна", "labeller@localhost"),
    (KeyError("uid not found: 1234"), "labeller@localhost"),
])
def test_whoever_starts_it_gets_a_name_to_log_in_with(
        monkeypatch: pytest.MonkeyPatch, name: str | KeyError, said: str) -> None:
    def named() -> str:
        if isinstance(name, KeyError):
            raise name
        return name

    monkeypatch.setattr("getpass.getuser", named)
    assert studio.user() == said


def test_secrets_are_made_once_and_are_their_owners_alone(tmp_path: Path) -> None:
    first = studio.make_access(tmp_path, "http://127.0.0.1:8080")
    again = studio.make_access(tmp_path, "http://127.0.0.1:8081")
    note = tmp_path / ".visionmill/studio.json"
    assert stat.S_IMODE(note.stat().st_mode) == 0o600
    assert again == first | {"url": "http://127.0.0.1:8081"} == read_json(note)
    access = find_access(tmp_path)
    assert (access.url, access.token, access.folder) == (again["url"], first["token"], Path(first["folder"]))
    assert first["token"] not in repr(access)


def test_a_token_that_was_renewed_there_is_taken_over_and_a_lost_password_is_set_anew(tmp_path: Path) -> None:
    first = studio.make_access(tmp_path, "http://127.0.0.1:8080")
    database = tmp_path / studio.DATA / studio.DATABASE
    with sqlite3.connect(database) as made:
        made.executescript("CREATE TABLE htx_user (id INTEGER, email TEXT, password TEXT);"
                           "CREATE TABLE authtoken_token (key TEXT, user_id INTEGER)")
        made.execute("INSERT INTO htx_user VALUES (7, ?, 'old')", (first["user"],))
        made.execute("INSERT INTO authtoken_token VALUES ('renewed', 7)")
    made.close()
    told = studio.make_access(tmp_path, "http://127.0.0.1:8080")
    assert told == first | {"token": "renewed"} and password_of(database) == "old"
    (tmp_path / studio.NOTE).unlink()
    anew = studio.make_access(tmp_path, "http://127.0.0.1:8080")
    kind, rounds, salt, kept = password_of(database).split("$")
    made_of = hashlib.pbkdf2_hmac("sha256", anew["password"].encode(), salt.encode(), int(rounds))
    assert kind == "pbkdf2_sha256" and base64.b64encode(made_of).decode() == kept and anew["token"] == "renewed"
    database.write_bytes(b"no database at all, but long enough to be looked at as one")
    with pytest.raises(UserError, match="database cannot be read"):
        studio.make_access(tmp_path, "http://127.0.0.1:8080")


def password_of(database: Path) -> str:
    opened = sqlite3.connect(database)
    try:
        return str(opened.execute("SELECT password FROM htx_user").fetchone()[0])
    finally:
        opened.close()


def test_it_starts_without_telemetry_and_without_names_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOST", "DEBUG", "STORAGE_TYPE", "AWS_SECRET_ACCESS_KEY", "LABEL_STUDIO_HOST"):
        monkeypatch.setenv(name, "surprise")
    told = studio.make_access(tmp_path, "http://127.0.0.1:8080")
    env = studio.server_environment(tmp_path, told)
    assert "surprise" not in env.values() and env["PATH"]
    assert env["LABEL_STUDIO_COLLECT_ANALYTICS"] == "false" and env["LABEL_STUDIO_FRONTEND_SENTRY_DSN"] == ""
    assert env["LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT"] == str(tmp_path / ".visionmill/label-studio/pictures")
    assert env["LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK"] == "true"


def test_up_starts_it_only_when_asked_and_not_where_the_site_names_another(tmp_path: Path) -> None:
    names = [one.name for one in plan.make_plan(tmp_path, Site()).services]
    assert studio.NAME not in names
    asked = plan.make_plan(tmp_path, Site(), [studio.NAME])
    (service,) = [one for one in asked.services if one.name == studio.NAME]
    assert service.wanted_port == 8080 and service.command(8090)[-2:] == ["flows.services.studio", "8090"]
    assert any("log in with" in note for note in asked.notes)
    away = plan.make_plan(tmp_path, Site(labelling=Labelling(url="https://team.example/", token="x")), [studio.NAME])
    assert away.elsewhere[studio.NAME] == ("https://team.example/", "https://team.example/health")
    assert studio.NAME not in [one.name for one in away.services]


def test_a_site_with_an_address_and_no_token_is_told(tmp_path: Path) -> None:
    site = tmp_path / "conf/site/local.yaml"
    site.parent.mkdir(parents=True)
    site.write_text("labelling: {url: https://team.example}\n", encoding="utf-8")
    with pytest.raises(UserError, match="no token"):
        find_access(tmp_path)
    site.write_text("labelling: {url: 'file:///etc/passwd', token: x}\n", encoding="utf-8")
    with pytest.raises(UserError, match="no address"):
        find_access(tmp_path)
