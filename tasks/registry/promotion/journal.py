"""The table that no alias change escapes: in the registry's own database where it can be reached, else in the
workspace.

In a database, triggers on MLflow's `registered_model_aliases` write each change in the transaction that makes it, so
that one which came and went between two looks is there too. They name no other table of MLflow's: SQLite refuses to
rename a table while a trigger names one that is missing, and `mlflow db upgrade` drops and renames them. An upgrade
that rebuilds the table of aliases takes the triggers with it; the next opening makes them again and compares.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.registry import store

TABLE = "visionmill_alias_audit"
ALIASES = "registered_model_aliases"
COLUMNS = ("seq", "at_ms", "kind", "name", "alias", "from_version", "to_version", "ref", "who", "how", "gate",
           "gate_hash", "reason", "event", "place")
LOCAL = "audit.db"
WAIT_S = 20  # as long as MLflow waits for a locked SQLite file
LOCK = 7_116_405_311  # of PostgreSQL's advisory locks: the order of numbers is then the order of commits
TEXTS = "who TEXT, how TEXT, gate TEXT, gate_hash TEXT, reason TEXT, event TEXT, place TEXT"
SQLITE_NOW = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
MOVE = f"INSERT INTO {TABLE} (at_ms, kind, name, alias, from_version, to_version)"


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        seq: its number; order is by number, since clocks jump.
        at_ms: what the clock said, ms since 1970.
        kind: `began` the table was made; `move` an alias changed; `found` it was there when the table was made; `told`
            a change that we are about to make, with its reason; `seen` what is known of the move `ref`; `notified` of
            the move `ref`; `withdrawn` the announced change `ref` never came.
        from_version, to_version: None where the alias was not, or is not, there.
        how: `ours`, `hand`, `webhook` or `found`.
        place: the workspace that wrote it.
    """

    seq: int
    at_ms: int
    kind: str
    name: str | None
    alias: str | None
    from_version: str | None
    to_version: str | None
    ref: int | None
    who: str | None
    how: str | None
    gate: str | None
    gate_hash: str | None
    reason: str | None
    event: str | None
    place: str | None


@dataclass
class Journal:
    """An open table.

    Attributes:
        base: a DB-API connection.
        mark: its placeholder for a value.
        direct: True when the table lies beside MLflow's own and triggers fill it.
    """

    base: Any
    mark: str
    direct: bool

    def add(self, kind: str, at_ms: int, **values: Any) -> int:
        """Append a row; returns its number."""
        given = {"kind": kind, "at_ms": at_ms, **values}
        marks = ", ".join([self.mark] * len(given))
        number = self.run(f"INSERT INTO {TABLE} ({', '.join(given)}) VALUES ({marks}) RETURNING seq", *given.values())
        self.base.commit()
        return int(number[0][0])

    def rows(self, name: str | None = None) -> list[Row]:
        """All rows, or those of one model, in the order that they were written."""
        where = f" WHERE name = {self.mark}" if name else ""
        found = self.run(f"SELECT {', '.join(COLUMNS)} FROM {TABLE}{where} ORDER BY seq", *([name] if name else []))
        self.base.commit()
        return [_row(dict(zip(COLUMNS, row, strict=True))) for row in found]

    def began(self) -> bool:
        """Whether what was there before the table has been written down."""
        found = bool(self.run(f"SELECT 1 FROM {TABLE} WHERE kind = 'began'"))
        self.base.commit()
        return found

    def run(self, text: str, *values: Any) -> list[Any]:
        """Run one statement inside the open transaction."""
        with closing(self.base.cursor()) as cursor:
            cursor.execute(text, values)
            return cursor.fetchall() if cursor.description else []

    def compare(self, now: Mapping[tuple[str, str], str] | None, at_ms: int) -> None:
        """Write down the differences between what was last written and what is: `move`, or `found` the first time.

        Args:
            now: (name, alias) → version as a server said; None: the database's own table is read.
        """
        self._alone()
        first = not self.run(f"SELECT 1 FROM {TABLE} WHERE kind = 'began'")
        if first:
            self._write("began", at_ms, None, None, None, None)
        if now is None:
            now = {(row[0], row[1]): str(row[2]) for row in self.run(f"SELECT name, alias, version FROM {ALIASES}")}
        before = self._last()
        for name, alias in sorted({*before, *now}):
            old, new = before.get((name, alias)), now.get((name, alias))
            if old != new:
                self._write("found" if first else "move", at_ms, name, alias, old, new)
        self.base.commit()

    def _last(self) -> dict[tuple[str, str], str]:
        """(name, alias) → version by the last row on it."""
        found = self.run(f"SELECT name, alias, to_version FROM {TABLE} WHERE kind IN ('move', 'found') ORDER BY seq")
        return {pair: str(to) for pair, to in {(row[0], row[1]): row[2] for row in found}.items() if to is not None}

    def _write(self, kind: str, at_ms: int, *values: Any) -> None:
        self.run(f"INSERT INTO {TABLE} (kind, at_ms, name, alias, from_version, to_version) "
                 f"VALUES ({', '.join([self.mark] * 6)})", kind, at_ms, *values)

    def _alone(self) -> None:
        """Nobody moves an alias between reading the table of aliases and writing ours."""
        self.run(f"SELECT pg_advisory_xact_lock({LOCK})" if self.mark == "%s" else "BEGIN IMMEDIATE")


def registry_uri(workspace: Path = Path()) -> str:
    """Address of the registry, which may be another than that of the runs."""
    return os.environ.get("MLFLOW_REGISTRY_URI") or store.tracking_uri(workspace)


def is_direct(workspace: Path = Path()) -> bool:
    """Whether the registry's database can be reached, so that triggers see every change."""
    return registry_uri(workspace).startswith(("sqlite:///", "postgresql"))


@contextmanager
def opened(workspace: Path = Path()) -> Iterator[Journal | None]:
    """The table of a workspace's registry, made when it is not there; None while the registry's SQLite file is not.

    Raises:
        sqlite3.Error, sqlalchemy.exc.SQLAlchemyError: the database cannot be used.
    """
    uri = registry_uri(workspace)
    if uri.startswith("postgresql"):
        with _postgres(uri) as journal:
            yield journal
        return
    direct = uri.startswith("sqlite:///")
    file = store.sqlite_file(uri) or workspace.resolve() / store.STATE / LOCAL
    if direct and not file.is_file():
        yield None
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    # autocommit: a transaction begins where BEGIN says so
    with closing(sqlite3.connect(file, timeout=WAIT_S, isolation_level=None)) as base:
        if direct and not base.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (ALIASES,)).fetchone():
            yield None  # MLflow has not made its tables yet
            return
        _make_sqlite(base, direct)
        yield Journal(base, "?", direct)


def _row(values: dict[str, Any]) -> Row:
    return Row(**{**values, "from_version": _text(values["from_version"]), "to_version": _text(values["to_version"])})


def _text(version: Any) -> str | None:
    return None if version is None else str(version)


def _make_sqlite(base: sqlite3.Connection, direct: bool) -> None:
    wanted = _sqlite_triggers(direct)
    there = {row[0] for row in base.execute("SELECT name FROM sqlite_master WHERE name LIKE 'visionmill_%'")}
    if {TABLE, *wanted} <= there:
        return
    base.execute("BEGIN IMMEDIATE")
    base.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} (seq INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, "
                 "kind TEXT NOT NULL, name TEXT, alias TEXT, from_version INTEGER, to_version INTEGER, ref INTEGER, "
                 f"{TEXTS})")
    for name, text in wanted.items():
        base.execute(f"CREATE TRIGGER IF NOT EXISTS {name} {text}")
    base.execute("COMMIT")


def _sqlite_triggers(direct: bool) -> dict[str, str]:
    refuse = f"BEGIN SELECT RAISE(ABORT, '{TABLE} only grows'); END"
    kept = {f"{TABLE}_no_update": f"BEFORE UPDATE ON {TABLE} {refuse}",
            f"{TABLE}_no_delete": f"BEFORE DELETE ON {TABLE} {refuse}"}
    if not direct:
        return kept
    put = f"{MOVE} VALUES ({SQLITE_NOW}, 'move',"
    gone, new = f"{put} OLD.name, OLD.alias, OLD.version, NULL);", f"{put} NEW.name, NEW.alias, NULL, NEW.version);"
    same = "OLD.name = NEW.name AND OLD.alias = NEW.alias"
    return kept | {
        f"{TABLE}_insert": f"AFTER INSERT ON {ALIASES} BEGIN {new} END",
        f"{TABLE}_delete": f"AFTER DELETE ON {ALIASES} BEGIN {gone} END",
        f"{TABLE}_update": f"AFTER UPDATE ON {ALIASES} WHEN {same} AND OLD.version <> NEW.version "
                           f"BEGIN {put} NEW.name, NEW.alias, OLD.version, NEW.version); END",
        # a renamed model takes its aliases along
        f"{TABLE}_rename": f"AFTER UPDATE ON {ALIASES} WHEN NOT ({same}) BEGIN {gone} {new} END"}


@contextmanager
def _postgres(uri: str) -> Iterator[Journal | None]:
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    engine = create_engine(uri, poolclass=NullPool)
    base = engine.raw_connection()
    try:
        journal = Journal(base, "%s", True)
        if journal.run("SELECT to_regclass(%s)", ALIASES)[0][0] is None:
            yield None
            return
        _make_postgres(journal)
        yield journal
    finally:
        base.close()
        engine.dispose()


def _make_postgres(journal: Journal) -> None:
    there = {row[0] for row in journal.run("SELECT tgname FROM pg_trigger WHERE tgname LIKE 'visionmill_%%'", )}
    if {f"{TABLE}_kept", f"{TABLE}_move"} <= there:
        journal.base.commit()
        return
    journal.run(f"SELECT pg_advisory_xact_lock({LOCK})")
    journal.run(f"CREATE TABLE IF NOT EXISTS {TABLE} (seq BIGSERIAL PRIMARY KEY, at_ms BIGINT NOT NULL, "
                "kind TEXT NOT NULL, name TEXT, alias TEXT, from_version INTEGER, to_version INTEGER, ref BIGINT, "
                f"{TEXTS})")
    journal.run(f"CREATE OR REPLACE FUNCTION {TABLE}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
                f"$$ BEGIN RAISE EXCEPTION '{TABLE} only grows'; END $$")
    journal.run(f"CREATE OR REPLACE FUNCTION {TABLE}_write() RETURNS trigger LANGUAGE plpgsql AS $${_plpgsql()}$$")
    journal.run(f"DROP TRIGGER IF EXISTS {TABLE}_kept ON {TABLE}")
    journal.run(f"CREATE TRIGGER {TABLE}_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON {TABLE} "
                f"FOR EACH STATEMENT EXECUTE FUNCTION {TABLE}_refuse()")
    journal.run(f"DROP TRIGGER IF EXISTS {TABLE}_move ON {ALIASES}")
    journal.run(f"CREATE TRIGGER {TABLE}_move AFTER INSERT OR UPDATE OR DELETE ON {ALIASES} "
                f"FOR EACH ROW EXECUTE FUNCTION {TABLE}_write()")
    journal.base.commit()


def _plpgsql() -> str:
    """The body of the trigger on MLflow's table; `who` is the database's user, usually MLflow's server."""
    put = f"{MOVE} VALUES ((extract(epoch FROM clock_timestamp()) * 1000)::bigint, 'move',"
    return f"""
    BEGIN
      PERFORM pg_advisory_xact_lock({LOCK});
      IF TG_OP = 'UPDATE' AND OLD.name = NEW.name AND OLD.alias = NEW.alias THEN
        IF OLD.version <> NEW.version THEN
          {put} NEW.name, NEW.alias, OLD.version, NEW.version);
        END IF;
        RETURN NULL;
      END IF;
      IF TG_OP <> 'INSERT' THEN
        {put} OLD.name, OLD.alias, OLD.version, NULL);
      END IF;
      IF TG_OP <> 'DELETE' THEN
        {put} NEW.name, NEW.alias, NULL, NEW.version);
      END IF;
      RETURN NULL;
    END """
