"""The caller's connection, whatever it is: one way to run a statement on it, inside the transaction it is in.

Statements name their parameters `:name`, and every parameter is text (or a list of texts), cast in the SQL. So no
driver's type codecs, which an application may have changed, ever touch a value of ours.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from outbox.errors import NotInTransaction, NotMigrated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Row: TypeAlias = Sequence[Any]
    Parameters: TypeAlias = Mapping[str, str | list[str | None] | None]

_NAMED = re.compile(r"(?<!:):([a-z_]+)\b")
# undefined_function, undefined_table, undefined_column, invalid_schema_name
_NOT_THERE = frozenset({"42883", "42P01", "42703", "3F000"})


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


def run(conn: Any, sql: str, parameters: Parameters, *, allow_autocommit: bool = False) -> Sequence[Row]:
    """Run one statement on any synchronous connection.

    Raises:
        TypeError: the connection is of no known kind, or asynchronous.
        NotInTransaction: it would commit by itself, and `allow_autocommit` is False.
        NotMigrated: the database has no outbox.
    """
    executor = _executor(conn)
    if not (allow_autocommit or executor.in_transaction()):
        raise NotInTransaction
    try:
        return executor.run(sql, parameters)
    except Exception as error:
        if _sqlstate(error) in _NOT_THERE:
            raise NotMigrated from error
        raise


async def arun(conn: Any, sql: str, parameters: Parameters, *, allow_autocommit: bool = False) -> Sequence[Row]:
    """Run one statement on any asynchronous connection; raises as `run` does."""
    executor = _async_executor(conn)
    if not (allow_autocommit or await executor.in_transaction()):
        raise NotInTransaction
    try:
        return await executor.run(sql, parameters)
    except Exception as error:
        if _sqlstate(error) in _NOT_THERE:
            raise NotMigrated from error
        raise


def in_transaction(conn: Any) -> bool:
    """Tell whether what is run on a synchronous connection belongs to a transaction that the caller will commit."""
    return _executor(conn).in_transaction()


async def ain_transaction(conn: Any) -> bool:
    """Do as `in_transaction` does, for an asynchronous connection."""
    return await _async_executor(conn).in_transaction()


def copy(below: Any, sql: str, pieces: Iterator[str] | Iterator[bytes]) -> Sequence[Row]:
    """COPY what comes through a psycopg connection; raises NotMigrated as `run` does. There are no rows to return."""
    try:
        with below.cursor().copy(sql) as copying:
            for some in pieces:
                copying.write(some)
    except Exception as error:
        if _sqlstate(error) in _NOT_THERE:
            raise NotMigrated from error
        raise
    return ()


async def acopy(below: Any, sql: str, pieces: Iterator[str] | Iterator[bytes]) -> Sequence[Row]:
    """Do as `copy` does, through an asynchronous psycopg connection."""
    try:
        async with below.cursor().copy(sql) as copying:
            for some in pieces:
                await copying.write(some)
    except Exception as error:
        if _sqlstate(error) in _NOT_THERE:
            raise NotMigrated from error
        raise
    return ()


def psycopg_below(conn: Any) -> Any:
    """Return the psycopg connection that `conn` is or rests on, which can COPY; None if there is none.

    None too while it is in no transaction: several statements would then be several transactions.
    """
    kinds = set(_kinds(conn))
    if ("sqlalchemy", "Session") in kinds or ("sqlalchemy", "scoped_session") in kinds:
        conn, kinds = conn.connection(), {("sqlalchemy", "Connection")}
    if ("sqlalchemy", "Connection") in kinds:
        conn = conn.connection.driver_connection
    elif ("django", "ConnectionProxy") in kinds or ("django", "BaseDatabaseWrapper") in kinds:
        conn.ensure_connection()
        conn = conn.connection
    ours = {("psycopg", "Connection"), ("psycopg", "AsyncConnection")}
    return conn if ours.intersection(_kinds(conn)) and _Psycopg(conn).in_transaction() else None


def _executor(conn: Any) -> Executor:
    for kind in _kinds(conn):
        if kind in _SYNC:
            executor: Executor = _SYNC[kind](conn)
            return executor
        if kind in _ASYNC:
            msg = f"{_name(conn)} is asynchronous: use the function whose name begins with an a (aenqueue, acancel)"
            raise TypeError(msg)
    raise TypeError(_unknown(conn))


def _async_executor(conn: Any) -> AsyncExecutor:
    for kind in _kinds(conn):
        if kind in _ASYNC:
            executor: AsyncExecutor = _ASYNC[kind](conn)
            return executor
        if kind in _SYNC:
            msg = f"{_name(conn)} is synchronous: use the function without the a (enqueue, cancel)"
            raise TypeError(msg)
    raise TypeError(_unknown(conn))


def _kinds(conn: Any) -> Iterator[tuple[str, str]]:
    """Yield (package, class) along the class hierarchy: nobody's library is imported just to recognise it."""
    for cls in type(conn).__mro__:
        yield cls.__module__.partition(".")[0], cls.__name__


def _name(conn: Any) -> str:
    return f"{type(conn).__module__}.{type(conn).__qualname__}"


def _unknown(conn: Any) -> str:
    return (
        f"{_name(conn)} is no connection that outbox knows: pass a psycopg Connection or AsyncConnection, a SQLAlchemy "
        "Connection, Session, AsyncConnection or AsyncSession, Django's connection, or an asyncpg Connection"
    )


def _sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE of a driver's error, through the wrappers of SQLAlchemy (`orig`) and Django (`__cause__`)."""
    for candidate in (error, getattr(error, "orig", None), error.__cause__):
        state = getattr(candidate, "sqlstate", None)
        if state is not None:
            return str(state)
    return None


@lru_cache
def _pyformat(sql: str) -> str:
    return _NAMED.sub(r"%(\1)s", sql)


@lru_cache
def _numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    names = tuple(dict.fromkeys(_NAMED.findall(sql)))
    return _NAMED.sub(lambda match: f"${names.index(match[1]) + 1}", sql), names


class _Psycopg:
    def __init__(self, conn: Any) -> None:
        self._conn = conn

    def run(self, sql: str, parameters: Parameters) -> Sequence[Row]:
        from psycopg.rows import tuple_row  # noqa: PLC0415 - only where the caller has psycopg anyway

        with self._conn.cursor(row_factory=tuple_row) as cursor:
            return cursor.execute(_pyformat(sql), parameters).fetchall()  # type: ignore[no-any-return]

    def in_transaction(self) -> bool:
        return not self._conn.autocommit or self._conn.info.transaction_status.name != "IDLE"


class _AsyncPsycopg(_Psycopg):
    async def run(self, sql: str, parameters: Parameters) -> Sequence[Row]:  # type: ignore[override]
        from psycopg.rows import tuple_row  # noqa: PLC0415 - only where the caller has psycopg anyway

        async with self._conn.cursor(row_factory=tuple_row) as cursor:
            return await (await cursor.execute(_pyformat(sql), parameters)).fetchall()  # type: ignore[no-any-return]

    async def in_transaction(self) -> bool:  # type: ignore[override]
        return _Psycopg.in_transaction(self)


class _SQLAlchemy:
    """A Connection; a Session's is the one its transaction lives on."""

    def __init__(self, conn: Any) -> None:
        self._conn = conn

    def run(self, sql: str, parameters: Parameters) -> Sequence[Row]:
        return self._conn.execute(_text(sql), parameters).all()  # type: ignore[no-any-return]

    def in_transaction(self) -> bool:
        return not self._conn.connection.dbapi_connection.autocommit


class _AsyncSQLAlchemy:
    def __init__(self, conn: Any) -> None:
        self._conn = conn

    async def run(self, sql: str, parameters: Parameters) -> Sequence[Row]:
        return await self._conn.run_sync(lambda conn: _executor(conn).run(sql, parameters))  # type: ignore[no-any-return]

    async def in_transaction(self) -> bool:
        return await self._conn.run_sync(lambda conn: _executor(conn).in_transaction())  # type: ignore[no-any-return]


@lru_cache
def _text(sql: str) -> Any:
    from sqlalchemy import text  # noqa: PLC0415 - only where the caller has SQLAlchemy anyway

    return text(sql)


class _Django:
    def __init__(self, conn: Any) -> None:
        self._conn = conn

    def run(self, sql: str, parameters: Parameters) -> Sequence[Row]:
        with self._conn.cursor() as cursor:
            cursor.execute(_pyformat(sql), parameters)
            return cursor.fetchall()  # type: ignore[no-any-return]

    def in_transaction(self) -> bool:
        return not self._conn.get_autocommit()


class _Asyncpg:
    def __init__(self, conn: Any) -> None:
        self._conn = conn

    async def run(self, sql: str, parameters: Parameters) -> Sequence[Row]:
        numbered, names = _numbered(sql)
        return await self._conn.fetch(numbered, *(parameters[name] for name in names))  # type: ignore[no-any-return]

    async def in_transaction(self) -> bool:
        return self._conn.is_in_transaction()  # type: ignore[no-any-return]


def _session(session: Any) -> Executor:
    return _SQLAlchemy(session.connection())


_SYNC: dict[tuple[str, str], Any] = {
    ("psycopg", "Connection"): _Psycopg,
    ("sqlalchemy", "Connection"): _SQLAlchemy,
    ("sqlalchemy", "Session"): _session,
    ("sqlalchemy", "scoped_session"): _session,
    ("django", "ConnectionProxy"): _Django,
    ("django", "BaseDatabaseWrapper"): _Django,
}
_ASYNC: dict[tuple[str, str], Any] = {
    ("psycopg", "AsyncConnection"): _AsyncPsycopg,
    ("sqlalchemy", "AsyncConnection"): _AsyncSQLAlchemy,
    ("sqlalchemy", "AsyncSession"): _AsyncSQLAlchemy,
    ("sqlalchemy", "async_scoped_session"): _AsyncSQLAlchemy,
    ("asyncpg", "Connection"): _Asyncpg,
    ("asyncpg", "PoolConnectionProxy"): _Asyncpg,
    ("outbox", "Bridge"): lambda bridge: bridge.executor,  # what a test's connection is for the engine
}
