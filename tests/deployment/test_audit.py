"""Every change of an alias is written down, flagged where no gate had passed, and given back when asked."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tasks.base.errors import UserError
from tasks.registry import store
from tasks.registry.promotion import aliases, audit, journal

from .cases import NAME, tags
from .cases import aliases as held

Add = Callable[..., str]


@pytest.fixture
def three(add: Add, root: Path) -> list[str]:
    numbers = [add() for _ in range(3)]
    audit.look(root)  # the triggers are there from the first look on
    return numbers


def moves(root: Path, alias: str = "champion") -> list[tuple[str | None, str | None, str]]:
    return [(e.from_version, e.to_version, e.by) for e in audit.entries(NAME, root) if e.alias == alias]


def test_a_move_that_came_and_went_between_two_looks_is_there(root: Path, mlflow: Any, three: list[str]) -> None:
    aliases.promote(mlflow, NAME, "1", reason="first", workspace=root)
    mlflow.set_registered_model_alias(NAME, "champion", "2")
    mlflow.set_registered_model_alias(NAME, "champion", "1")
    fresh = [(e.from_version, e.to_version, e.by) for e in audit.look(root) if e.alias == "champion"]
    assert fresh == [("1", "2", "hand"), ("2", "1", "hand")]
    assert moves(root) == [(None, "1", "ours"), *fresh]
    assert audit.look(root) == [] and not audit.has_gaps(root)


def test_a_deletion_and_one_of_another_program_are_there(root: Path, mlflow: Any, three: list[str]) -> None:
    mlflow.set_registered_model_alias(NAME, "champion", "2")
    mlflow.delete_registered_model_alias(NAME, "champion")
    with closing(sqlite3.connect(root / "mlflow.db")) as base, base:
        base.execute("INSERT INTO registered_model_aliases (name, alias, version) VALUES (?, 'champion', 3)", (NAME,))
    assert moves(root) == [(None, "2", "hand"), ("2", None, "hand"), (None, "3", "hand")]
    mlflow.delete_model_version(NAME, "3")  # takes its aliases along
    audit.look(root)
    assert moves(root)[-1] == ("3", None, "hand")


def test_what_was_there_before_is_found_and_not_by_hand(root: Path, mlflow: Any, add: Add,
                                                      heard: list[tuple[str, str]]) -> None:
    mlflow.set_registered_model_alias(NAME if add() else "", "champion", "1")
    assert [(e.to_version, e.by) for e in audit.look(root)] == [("1", "found")]
    assert heard == []


@pytest.mark.parametrize("statement", ["UPDATE {} SET reason = 'none'", "DELETE FROM {}",
                                       "UPDATE {} SET to_version = 9 WHERE kind = 'move'"])
def test_the_table_only_grows(root: Path, mlflow: Any, three: list[str], statement: str) -> None:
    aliases.promote(mlflow, NAME, "1", reason="first", workspace=root)
    with (closing(sqlite3.connect(root / "mlflow.db")) as base,
          pytest.raises(sqlite3.IntegrityError, match="only grows")):
        base.execute(statement.format(journal.TABLE))


def test_an_upgrade_of_mlflow_that_rebuilds_its_table_loses_nothing(root: Path, mlflow: Any, three: list[str]) -> None:
    from mlflow.store.db.utils import _upgrade_db
    from sqlalchemy import create_engine

    aliases.promote(mlflow, NAME, "1", reason="first", workspace=root)
    _upgrade_db(create_engine(store.tracking_uri(root)))
    with closing(sqlite3.connect(root / "mlflow.db", isolation_level=None)) as base:
        # as Alembic does it: a copy, with the rows, takes the name
        made = base.execute("SELECT sql FROM sqlite_master WHERE name = 'registered_model_aliases'").fetchone()[0]
        base.execute(made.replace("registered_model_aliases", "_alembic_tmp", 1))
        base.execute("INSERT INTO _alembic_tmp SELECT * FROM registered_model_aliases")
        base.execute("DROP TABLE registered_model_aliases")
        base.execute("ALTER TABLE _alembic_tmp RENAME TO registered_model_aliases")
    mlflow.set_registered_model_alias(NAME, "champion", "2")  # while no trigger sees it
    audit.look(root)
    mlflow.set_registered_model_alias(NAME, "champion", "3")
    assert moves(root) == [(None, "1", "ours"), ("1", "2", "hand"), ("2", "3", "hand")]


def test_order_is_by_number_though_the_clock_jumps(root: Path, mlflow: Any, three: list[str],
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "is_direct", lambda workspace: False)
    monkeypatch.setattr(journal, "registry_uri", lambda workspace: "http://127.0.0.1:1")
    for at_ms, number in ((3_000_000, "1"), (1_000, "2"), (2_000_000, "3")):
        monkeypatch.setattr(audit, "now_ms", lambda at_ms=at_ms: at_ms)
        aliases.promote(mlflow, NAME, number, reason="clock", workspace=root)
    told = [e for e in audit.entries(NAME, root) if e.alias == "champion"]
    assert [e.to_version for e in told] == ["1", "2", "3"]
    assert [e.when[:19] for e in told] == ["1970-01-01T00:50:00", "1970-01-01T00:00:01", "1970-01-01T00:33:20"]


def test_over_http_the_table_lies_in_the_workspace_and_says_that_it_may_have_gaps(
        root: Path, mlflow: Any, add: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "registry_uri", lambda workspace: "http://127.0.0.1:1")
    for _ in range(3):
        add()
    audit.look(root)
    aliases.promote(mlflow, NAME, "1", reason="first", workspace=root)
    audit.received(NAME, "champion", "2", root)  # a webhook; it went away before anyone looked
    mlflow.set_registered_model_alias(NAME, "champion", "3")
    audit.look(root)
    assert moves(root) == [(None, "1", "ours"), ("1", "2", "webhook"), ("2", "3", "hand")]
    audit.received(NAME, "champion", "3", root)  # late: known already
    assert len(moves(root)) == 3 and audit.has_gaps(root)
    with (closing(sqlite3.connect(root / ".visionmill/audit.db")) as base,
          pytest.raises(sqlite3.IntegrityError, match="only grows")):
        base.execute(f"DELETE FROM {journal.TABLE}")


@pytest.mark.parametrize("gate", ["refused: AP", None])
def test_a_promotion_by_hand_without_a_passing_gate_is_flagged_and_told_and_stays(
        root: Path, mlflow: Any, add: Add, heard: list[tuple[str, str]], gate: str | None) -> None:
    add()
    add(gate=gate)
    aliases.promote(mlflow, NAME, "1", reason="first", workspace=root)
    mlflow.set_registered_model_alias(NAME, "champion", "2")
    audit.look(root)
    version = mlflow.get_model_version(NAME, "2")
    assert held(mlflow) == {"champion": "2", "previous": "1"}
    assert version.tags["visionmill.by_hand"] == "yes" and "without a passing gate" in version.description
    assert heard == [("promoted", f"{NAME} version 1 is champion"),
                     ("by-hand", f"{NAME} version 2 was made champion by hand without a passing gate")]
    audit.look(root)
    assert len(heard) == 2 and version.description.count("by-hand") == 1


def test_by_hand_with_a_passing_gate_is_no_reason_to_worry(root: Path, mlflow: Any, three: list[str],
                                                           heard: list[tuple[str, str]]) -> None:
    mlflow.set_registered_model_alias(NAME, "champion", "2")
    entry = audit.look(root)[0]
    assert (entry.gate, entry.gate_hash, entry.by) == ("passed", "abcdef12", "hand")
    assert "by_hand" not in tags(mlflow, "2") and heard == [("promoted", f"{NAME} version 2 is champion")]


def test_the_history_is_a_tag_of_each_version_that_it_touched(root: Path, mlflow: Any, three: list[str]) -> None:
    aliases.promote(mlflow, NAME, "1", reason="first", workspace=root)
    aliases.promote(mlflow, NAME, "2", reason="better", workspace=root)
    told = json.loads(tags(mlflow, "1")["aliases"])
    assert [(e["alias"], e["what"], e["by"]) for e in told] == [
        ("champion", "got", "ours"), ("previous", "got", "ours"), ("champion", "lost", "ours")]
    own = audit.entries(NAME, root)[-1]
    assert own.reason == "better" and own.event == "promoted" and own.who not in ("", "unknown")


def test_a_promotion_killed_between_its_two_aliases_is_finished_by_the_next(
        root: Path, mlflow: Any, three: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    aliases.promote(mlflow, NAME, "1", reason="first", workspace=root)
    aliases.promote(mlflow, NAME, "2", reason="second", workspace=root)
    real = mlflow.set_registered_model_alias

    def killed(name: str, alias: str, version: str) -> None:
        if alias == "champion":
            raise KeyboardInterrupt
        real(name, alias, version)

    monkeypatch.setattr(mlflow, "set_registered_model_alias", killed)
    with pytest.raises(KeyboardInterrupt):
        aliases.promote(mlflow, NAME, "3", reason="third", workspace=root)
    monkeypatch.undo()
    assert held(mlflow) == {"champion": "2", "previous": "2"}
    aliases.promote(mlflow, NAME, "2", reason="again", workspace=root)  # any call mends `previous`
    assert held(mlflow) == {"champion": "2", "previous": "1"}
    mlflow.set_registered_model_alias(NAME, "champion", "3")  # the killed announcement must not claim this
    assert [e.by for e in audit.look(root) if e.alias == "champion"] == ["hand"]
    assert held(mlflow) == {"champion": "3", "previous": "2"}


def test_two_that_promote_at_once_leave_one_champion_and_a_whole_table(root: Path, mlflow: Any,
                                                                       three: list[str]) -> None:
    def promote(number: str) -> None:
        aliases.promote(store.client(root), NAME, number, reason="race", workspace=root)

    threads = [threading.Thread(target=promote, args=(number,)) for number in ("1", "2", "3")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    path = moves(root)
    assert held(mlflow)["champion"] == path[-1][1] and held(mlflow)["previous"] == path[-1][0]
    assert [by for *_, by in path] == ["ours"] * 3


def test_rollback_goes_back_one_champion_at_a_time(root: Path, mlflow: Any, three: list[str],
                                                   heard: list[tuple[str, str]]) -> None:
    for number in three:
        aliases.promote(mlflow, NAME, number, reason="better", workspace=root)
    heard.clear()
    done = aliases.roll_back(reason="too slow", workspace=root)
    assert (done.from_version, done.to_version) == ("3", "2") and held(mlflow) == {"champion": "2", "previous": "1"}
    assert heard == [("rolled-back", f"{NAME} version 2 is champion again")]
    aliases.roll_back(reason="too slow", workspace=root)
    assert held(mlflow) == {"champion": "1"}
    with pytest.raises(UserError, match="no champion before"):
        aliases.roll_back(reason="further", workspace=root)
    aliases.roll_back(reason="to a named one", workspace=root, to="3")
    assert held(mlflow) == {"champion": "3"}  # what was left is not what to go back to
    assert [e.reason for e in audit.entries(NAME, root) if e.event == "rolled-back"] == [
        "too slow", "too slow", "to a named one"]


def test_rollback_skips_a_version_that_was_deleted_and_refuses_one_that_is_not_there(
        root: Path, mlflow: Any, three: list[str]) -> None:
    with pytest.raises(UserError, match="no version of 'cells' is champion"):
        aliases.roll_back(reason="nothing yet", workspace=root)
    for number in three:
        aliases.promote(mlflow, NAME, number, reason="better", workspace=root)
    mlflow.delete_model_version(NAME, "2")
    with pytest.raises(UserError, match="version 2 of 'cells' is not there"):
        aliases.roll_back(reason="deleted", workspace=root, to="2")
    assert aliases.roll_back(reason="deleted", workspace=root).to_version == "1"


def test_the_verbs_print_and_roll_back(root: Path, mlflow: Any, three: list[str], monkeypatch: pytest.MonkeyPatch,
                                       capsys: pytest.CaptureFixture[str]) -> None:
    from flows.cli import main

    monkeypatch.chdir(root)
    assert main(["audit"]) == 0 and "no alias was ever moved" in capsys.readouterr().out
    for number in three:
        aliases.promote(mlflow, NAME, number, reason="better", workspace=root)
    assert main(["rollback", "--reason", "counts too much"]) == 0
    assert "version 2 is champion again, version 3 was" in capsys.readouterr().out
    assert main(["audit", NAME]) == 0 and "counts too much" in capsys.readouterr().out
    assert main(["audit", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["gaps"] is False and told["entries"][0]["to_version"] == "1"
    assert main(["rollback", "--to", "9"]) == 2 and "other versions: 3, 1" in capsys.readouterr().err


def test_a_table_in_postgresql_sees_what_came_and_went(root: Path, add: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    psycopg2 = pytest.importorskip("psycopg2")
    from tests import servers

    with servers.postgres() as (_, address):
        uri = servers.make_database(address, "registry")
        monkeypatch.setenv("MLFLOW_REGISTRY_URI", uri)
        mlflow = store.client(root)
        mlflow.create_registered_model(NAME)
        for _ in range(2):
            mlflow.create_model_version(NAME, "s3://nowhere/model", tags={"visionmill.gate": "passed"})
        audit.look(root)
        aliases.promote(mlflow, NAME, "1", reason="first", workspace=root)
        mlflow.set_registered_model_alias(NAME, "champion", "2")
        mlflow.delete_registered_model_alias(NAME, "champion")
        mlflow.set_registered_model_alias(NAME, "champion", "1")
        audit.look(root)
        assert moves(root) == [(None, "1", "ours"), ("1", "2", "hand"), ("2", None, "hand"), (None, "1", "hand")]
        base = psycopg2.connect(uri)
        for statement in ("UPDATE {} SET reason = ''", "DELETE FROM {}", "TRUNCATE {}"):
            with base.cursor() as cursor, pytest.raises(psycopg2.errors.RaiseException, match="only grows"):
                cursor.execute(statement.format(journal.TABLE))
            base.rollback()
        base.close()
