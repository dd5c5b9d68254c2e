"""Which worker has which trial of a study that several share. A journal file has one worker: everything is its own.

In PostgreSQL a worker holds advisory locks on one connection. The server gives them back when the connection ends,
however the worker died, so that no clock and no heartbeat has to be believed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tasks.base.errors import UserError
from tasks.registry.store import shown, told

if TYPE_CHECKING:
    from optuna import Study
    from sqlalchemy import Connection

SPACE = 86_200_516  # of our advisory locks among those of other programs in the same database
STUDIES = SPACE + 1
# a machine that lost its network holds its trial for about two minutes
KEEPALIVE = {"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 9}


class Turns:
    """The locks of this process; those of a process that stands alone are always free."""

    @contextmanager
    def choosing(self, study_id: int) -> Iterator[None]:
        """One worker at a time chooses a trial of the study, or makes its tables (0)."""
        yield

    def take(self, trial_id: int) -> bool:
        """Make a trial this worker's; False while another one is at it."""
        return True

    def give_back(self) -> None:
        """The trials of this worker are done."""


class SharedTurns(Turns):
    """Advisory locks of one PostgreSQL connection.

    Raises:
        UserError: the server cannot be reached, or its driver is not installed.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._open: Connection | None = None
        self._held: set[int] = set()

    @contextmanager
    def choosing(self, study_id: int) -> Iterator[None]:
        self._ask("select pg_advisory_lock(:space, :which)", STUDIES, study_id)
        try:
            yield
        finally:
            self._ask("select pg_advisory_unlock(:space, :which)", STUDIES, study_id)

    def take(self, trial_id: int) -> bool:
        if trial_id in self._held:
            return True
        if self._ask("select pg_try_advisory_lock(:space, :which)", SPACE, trial_id):
            self._held.add(trial_id)
            return True
        return False

    def give_back(self) -> None:
        for trial_id in self._held:
            self._ask("select pg_advisory_unlock(:space, :which)", SPACE, trial_id)
        self._held.clear()

    def _ask(self, query: str, space: int, which: int) -> bool:
        from sqlalchemy import text
        from sqlalchemy.exc import OperationalError

        try:
            return bool(self._connection().execute(text(query), {"space": space, "which": which}).scalar())
        except OperationalError:
            # the server was restarted, and all locks went with it
            held, self._open, self._held = self._held, None, set()
            answer = bool(self._connection().execute(text(query), {"space": space, "which": which}).scalar())
            for trial_id in held:
                self.take(trial_id)
            return answer

    def _connection(self) -> Connection:
        if self._open is None:
            import sqlalchemy

            try:
                engine = sqlalchemy.create_engine(self.url, poolclass=sqlalchemy.pool.NullPool, connect_args=KEEPALIVE,
                                                  isolation_level="AUTOCOMMIT")
                self._open = engine.connect()
            except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
                raise away(error, self.url) from error
        return self._open


def away(error: Exception, url: str) -> UserError:
    mend = 'pip install "visionmill[team]"' if isinstance(error, ImportError) else \
        "start that server (docs/team.md); trials that are done are kept. VISIONMILL_SITE=local searches here, anew"
    return UserError(f"the sweep's database cannot be reached: {told(error)}", where=shown(url), mend=mend)


@functools.cache
def turns_at(url: str | None) -> Turns:
    """The turns of a storage: shared ones in PostgreSQL, else those of a worker that stands alone."""
    return SharedTurns(url) if url and url.startswith("postgresql") else Turns()


def turns_of(study: Study) -> Turns:
    # Optuna puts a cache before a database
    return turns_at(getattr(getattr(study._storage, "_backend", None), "url", None))
