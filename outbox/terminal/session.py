"""A command's connection to the database: one, for as long as the command runs.

Nothing is prepared on it: behind a pooler, the next transaction may be on another connection to the server, where a
statement of that name is unknown, or somebody else's.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import IsolationLevel
from psycopg.conninfo import make_conninfo

from outbox.database import KEEPALIVE
from outbox.errors import ConfigError, OutboxError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_CONNECT_TIMEOUT = 10
_POOLED = (
    "this command needs a session of its own, and the connection goes through a pooler: connect to PostgreSQL itself "
    "(--database-url)"
)


@contextmanager
def reading(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Connect to read: whatever is asked is answered as of one moment, and nothing can be written.

    Raises:
        ConfigError: the URL cannot be understood.
        psycopg.Error: the database cannot be reached, or refuses, for want of a privilege say.
    """
    with writing(url) as conn:
        conn.isolation_level = IsolationLevel.REPEATABLE_READ
        conn.read_only = True
        yield conn


@contextmanager
def writing(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Connect to write: what is done is committed at the end or at each `commit`, and undone after an error.

    Raises:
        ConfigError, psycopg.Error: as `reading`.
    """
    with psycopg.connect(_conninfo(url), prepare_threshold=None) as conn, _let_go_at_ctrl_c(conn):
        yield conn


@contextmanager
def staging(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Connect as `writing` does, for what keeps a temporary table from one transaction to the next.

    Raises:
        OutboxError: a pooler stands between, so that the next transaction may find no such table, or somebody else's.
        ConfigError, psycopg.Error: as `reading`.
    """
    with writing(url) as conn:
        if is_pooled(conn):
            raise OutboxError(_POOLED)
        conn.rollback()
        yield conn


@contextmanager
def watching(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Connect to read again and again: each statement sees what is there by then, and keeps nobody's rows alive.

    Raises:
        ConfigError, psycopg.Error: as `reading`.
    """
    with psycopg.connect(_conninfo(url), autocommit=True, prepare_threshold=None) as conn, _let_go_at_ctrl_c(conn):
        yield conn


@asynccontextmanager
async def awriting(url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """Connect as `writing` does, asynchronously and in autocommit mode, for what makes many small transactions."""
    connected = psycopg.AsyncConnection.connect(_conninfo(url), autocommit=True, prepare_threshold=None)
    async with await connected as conn:
        yield conn


def is_pooled(conn: psycopg.Connection[Any]) -> bool:
    """Tell whether a pooler stands between, in whatever mode, as `outbox.database.is_pooled` does."""
    row = conn.execute("SELECT pg_backend_pid()").fetchone()
    return row is not None and row[0] != conn.info.backend_pid


@contextmanager
def _let_go_at_ctrl_c(conn: psycopg.Connection[Any]) -> Iterator[None]:
    """Close a connection that is left by Ctrl-C: in the middle of a statement it cannot be told to roll back."""
    try:
        yield
    except KeyboardInterrupt:
        conn.close()
        raise


def _conninfo(url: str) -> str:
    try:
        return make_conninfo(url, connect_timeout=_CONNECT_TIMEOUT, application_name="outbox command", **KEEPALIVE)
    except psycopg.ProgrammingError:
        # What it says quotes the URL, and with it the password.
        raise ConfigError(["the database URL cannot be understood: write postgresql://user@host:5432/name"]) from None
