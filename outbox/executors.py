"""How each driver runs a statement of ours: one class a kind of connection, found by `outbox.connections`.

Statements name their parameters `:name`, and every parameter is text (or a list of texts), cast in the SQL. So no
driver's type codecs, which an application may have changed, ever touch a value of ours. A library is imported where
the caller has a connection of it, and nowhere else.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Row: TypeAlias = Sequence[Any]
    Parameters: TypeAlias = Mapping[str, str | list[str | None] | None]

_NAMED = re.compile(r"(?<!:):([a-z_]+)\b")


class Executor(Protocol):
    """Runs statements on a synchronous connection."""

    def run(self, sql: str, parameters: Parameters) -> Sequence[Row]:
        """Execute and return all rows."""

    def in_transaction(self) -> bool:
        """Tell whether what is run now belongs to a transaction that the caller will commit."""


class AsyncExecutor(Protocol):
    """Runs statements on an asynchronous connection."""

    async def run(self, sql: str, parameters: Parameters) -> Sequence[Row]:
        """Execute and return all rows."""

    async def in_transaction(self) -> bool:
        """Tell whether what is run now belongs to a transaction that the caller will commit."""


@lru_cache
def _pyformat(sql: str) -> str:
    return _NAMED.sub(r"%(\1)s", sql)


@lru_cache
def _numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    names = tuple(dict.fromkeys(_NAMED.findall(sql)))
    return _NAMED.sub(lambda match: f"${names.index(match[1]) + 1}", sql), names


@lru_cache
def _encoded(sql: str) -> tuple[bytes, tuple[str, ...]]:
    numbered, names = _numbered(sql)
    return numbered.encode(), names


@lru_cache
def _text(sql: str) -> Any:
    from sqlalchemy import text  # noqa: PLC0415 - see above

    return text(sql)


@lru_cache
def _raw_cursors() -> tuple[dict[Any, Any], Any]:
    """Return psycopg's usual cursors, each with what takes PostgreSQL's own placeholders instead, and `tuple_row`."""
    import psycopg  # noqa: PLC0415 - see above
    from psycopg.rows import tuple_row  # noqa: PLC0415

    return {psycopg.Cursor: psycopg.RawCursor, psycopg.AsyncCursor: psycopg.AsyncRawCursor}, tuple_row


def _asked(conn: Any, sql: str, parameters: Parameters) -> tuple[Any, str | bytes, Any]:
    """Return a cursor of a psycopg connection, and what it is to execute.

    With PostgreSQL's own placeholders, an enqueue has a tenth less to do in the client. Who has cursors of a kind of
    their own, to trace what is executed, say, is asked for one of these.
    """
    raw, tuple_row = _raw_cursors()
    kind = raw.get(conn.cursor_factory)
    if kind is None:
        return conn.cursor(row_factory=tuple_row), _pyformat(sql), parameters
    numbered, names = _encoded(sql)
    return kind(conn, row_factory=tuple_row), numbered, [parameters[name] for name in names]


class Psycopg:
    """A Connection."""

    def __init__(self, conn: Any) -> None:
        self._conn = conn

    def run(self, sql: str, parameters: Parameters) -> Sequence[Row]:
        """Execute and return all rows."""
        cursor, query, given = _asked(self._conn, sql, parameters)
        return cursor.execute(query, given).fetchall()  # type: ignore[no-any-return]

    def in_transaction(self) -> bool:
        """Tell whether it commits nothing by itself, or is in a transaction all the same."""
        return not self._conn.autocommit or self._conn.info.transaction_status.name != "IDLE"


class AsyncPsycopg:
    """An AsyncConnection."""

    def __init__(self, conn: Any) -> None:
        self._conn = conn

    async def run(self, sql: str, parameters: Parameters) -> Sequence[Row]:
        """Execute and return all rows."""
        cursor, query, given = _asked(self._conn, sql, parameters)
        return await (await cursor.execute(query, given)).fetchall()  # type: ignore[no-any-return]

    async def in_transaction(self) -> bool:
        """Tell whether it commits nothing by itself, or is in a transaction all the same."""
        return Psycopg(self._conn).in_transaction()


class SQLAlchemy:
    """A Connection."""

    def __init__(self, conn: Any) -> None:
        self._conn = conn

    def run(self, sql: str, parameters: Parameters) -> Sequence[Row]:
        """Execute and return all rows."""
        return self._conn.execute(_text(sql), parameters).all()  # type: ignore[no-any-return]

    def in_transaction(self) -> bool:
        """Tell whether its driver commits nothing by itself."""
        return not self._conn.connection.dbapi_connection.autocommit


class SQLAlchemySession(SQLAlchemy):
    """A Session: its connection is the one that its transaction lives on."""

    def __init__(self, session: Any) -> None:
        super().__init__(session.connection())


class AsyncSQLAlchemy:
    """An AsyncConnection: the work is that of the Connection below it."""

    below: type[SQLAlchemy] = SQLAlchemy

    def __init__(self, conn: Any) -> None:
        self._conn = conn

    async def run(self, sql: str, parameters: Parameters) -> Sequence[Row]:
        """Execute and return all rows."""
        return await self._conn.run_sync(lambda conn: self.below(conn).run(sql, parameters))  # type: ignore[no-any-return]

    async def in_transaction(self) -> bool:
        """Tell whether its driver commits nothing by itself."""
        return await self._conn.run_sync(lambda conn: self.below(conn).in_transaction())  # type: ignore[no-any-return]


class AsyncSQLAlchemySession(AsyncSQLAlchemy):
    """An AsyncSession: the work is that of the Session below it."""

    below = SQLAlchemySession


class Django:
    """A connection of `django.db`."""

    def __init__(self, conn: Any) -> None:
        self._conn = conn

    def run(self, sql: str, parameters: Parameters) -> Sequence[Row]:
        """Execute and return all rows."""
        with self._conn.cursor() as cursor:
            cursor.execute(_pyformat(sql), parameters)
            return cursor.fetchall()  # type: ignore[no-any-return]

    def in_transaction(self) -> bool:
        """Tell whether Django will commit, or is told to."""
        return not self._conn.get_autocommit()


class Asyncpg:
    """A Connection, or one that a pool has lent."""

    def __init__(self, conn: Any) -> None:
        self._conn = conn

    async def run(self, sql: str, parameters: Parameters) -> Sequence[Row]:
        """Execute and return all rows."""
        numbered, names = _numbered(sql)
        return await self._conn.fetch(numbered, *(parameters[name] for name in names))  # type: ignore[no-any-return]

    async def in_transaction(self) -> bool:
        """Tell whether a transaction was begun."""
        return self._conn.is_in_transaction()  # type: ignore[no-any-return]
