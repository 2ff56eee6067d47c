"""patient: what there is to look at, the database and the configuration, and how it is looked at without doing harm."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import IsolationLevel
from psycopg.conninfo import make_conninfo
from psycopg.rows import namedtuple_row

from outbox.database import KEEPALIVE
from outbox.errors import ConfigError, OutboxError, clean
from outbox.silence import limited

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import LiteralString

    from outbox.config import Config

PATIENCE = 5.0
"""Seconds that a check may take."""
_CONNECT_TIMEOUT = 5
_GRACE = 2.0
_LOCK_TIMEOUT = "250ms"
_LONGEST = 300

# Through a pooler, too, these end with the transaction. What is looked at is named in full, and printed so.
_LIMITS = """
SELECT set_config('statement_timeout', %(statement)s, true) AS statement,
       set_config('lock_timeout', %(lock)s, true) AS lock,
       set_config('search_path', 'pg_catalog, pg_temp', true) AS path, current_user AS role
"""


class Unreachable(OutboxError):
    """There is no connection to be had: the message says why, without the URL."""


class Patient:
    """A database, by its URL (None: nobody has named one), and a configuration with the mistakes that are in it.

    `url` is also what a check opens further connections with, by `another`.
    """

    def __init__(self, url: str | None, config: Config, problems: Sequence[str] = ()) -> None:
        self.role = ""
        """As whom we look, as soon as we do."""
        self.config = config
        self.problems = problems
        self._url = url
        self._patience = PATIENCE
        self._conn: psycopg.Connection[Any] | None = None

    @contextmanager
    def another(self, seconds: float = PATIENCE) -> Iterator[psycopg.Connection[Any]]:
        """Give a further connection for as long as the block lasts, and no longer than so many seconds.

        Raises:
            Unreachable: there is none to be had.
        """
        with self._connect() as conn, limited(conn, seconds):
            yield conn

    def _connect(self) -> psycopg.Connection[Any]:
        """Return a new connection in autocommit mode, which prepares nothing."""
        if self._url is None:
            raise Unreachable("no database is named: set OUTBOX_DATABASE_URL, or give --database-url")
        try:
            where = make_conninfo(
                self._url, connect_timeout=_CONNECT_TIMEOUT, application_name="outbox doctor", **KEEPALIVE
            )
            return psycopg.connect(where, autocommit=True, prepare_threshold=None)
        except psycopg.ProgrammingError:
            # What it says quotes the URL, and with it the password.
            problem = "the database's URL cannot be understood: write postgresql://user@host:5432/name"
            raise Unreachable(problem) from None
        except (psycopg.Error, ConfigError) as error:
            raise Unreachable(clean(str(error), _LONGEST)) from None

    @contextmanager
    def sitting(self, seconds: float = PATIENCE) -> Iterator[None]:
        """Let a check `ask`: in a transaction that only reads, and whose statements are cut off after a while.

        Raises:
            Unreachable: the database cannot be reached.
        """
        if self._conn is None or self._conn.closed:
            self._conn = self._connect()
            self._conn.read_only = True
            self._conn.isolation_level = IsolationLevel.READ_COMMITTED
        self._patience = seconds
        with self._conn.transaction():
            limited = self.ask_one(_LIMITS, statement=f"{seconds * 1000:.0f}ms", lock=_LOCK_TIMEOUT)
            self.role = str(limited.role)
            yield

    @property
    def conn(self) -> psycopg.Connection[Any]:
        """The connection of the sitting."""
        assert self._conn is not None, "a check that needs the server was called without a sitting"  # noqa: S101
        return self._conn

    def ask(self, sql: LiteralString, **parameters: Any) -> list[Any]:
        """Return the rows of a query, whose columns are attributes."""
        with limited(self.conn, self._patience + _GRACE), self.conn.cursor(row_factory=namedtuple_row) as cursor:
            return cursor.execute(sql, parameters or None).fetchall()

    def ask_one(self, sql: LiteralString, **parameters: Any) -> Any:
        """Return the one row of a query."""
        return self.ask(sql, **parameters)[0]

    def close(self) -> None:
        """Let go of the connection."""
        if self._conn is not None:
            self._conn.close()
