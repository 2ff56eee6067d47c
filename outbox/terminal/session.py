"""A command's connection to the database: one, for as long as the command runs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import IsolationLevel
from psycopg.conninfo import make_conninfo

from outbox.database import KEEPALIVE, describe
from outbox.errors import ConfigError, OutboxError

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONNECT_TIMEOUT = 10


@contextmanager
def reading(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Connect to read: whatever is asked is answered as of one moment, and nothing can be written.

    Raises:
        ConfigError: the URL cannot be understood.
        OutboxError: the database refuses, for want of a privilege say.
        psycopg.OperationalError: it cannot be reached.
    """
    with writing(url) as conn:
        conn.isolation_level = IsolationLevel.REPEATABLE_READ
        conn.read_only = True
        yield conn


@contextmanager
def writing(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Connect to write: what is done is committed at the end or at each `commit`, and undone after an error.

    Raises:
        ConfigError, OutboxError, psycopg.OperationalError: as `reading`.
    """
    try:
        with psycopg.connect(_conninfo(url)) as conn:
            yield conn
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        raise OutboxError(f"the database said no: {describe(error)}") from error


def _conninfo(url: str) -> str:
    try:
        return make_conninfo(url, connect_timeout=_CONNECT_TIMEOUT, application_name="outbox command", **KEEPALIVE)
    except psycopg.ProgrammingError:
        # What it says quotes the URL, and with it the password.
        raise ConfigError(["the database URL cannot be understood: write postgresql://user@host:5432/name"]) from None
