"""The caller's connection, whatever it is: one way to run a statement on it, inside the transaction it is in."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from outbox import executors
from outbox.errors import NotInTransaction, NotMigrated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from outbox.executors import AsyncExecutor, Executor

    Row: TypeAlias = executors.Row
    Parameters: TypeAlias = executors.Parameters

# undefined_function, undefined_table, undefined_column, invalid_schema_name
_NOT_THERE = frozenset({"42883", "42P01", "42703", "3F000"})


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
    kinds = set(_kinds(type(conn)))
    if ("sqlalchemy", "Session") in kinds or ("sqlalchemy", "scoped_session") in kinds:
        conn, kinds = conn.connection(), {("sqlalchemy", "Connection")}
    if ("sqlalchemy", "Connection") in kinds:
        conn = conn.connection.driver_connection
    elif ("django", "ConnectionProxy") in kinds or ("django", "BaseDatabaseWrapper") in kinds:
        conn.ensure_connection()
        conn = conn.connection
    ours = {("psycopg", "Connection"), ("psycopg", "AsyncConnection")}
    return conn if ours.intersection(_kinds(type(conn))) and executors.Psycopg(conn).in_transaction() else None


def _executor(conn: Any) -> Executor:
    return _sync(type(conn))(conn)  # type: ignore[arg-type]  # a class can be hashed


def _async_executor(conn: Any) -> AsyncExecutor:
    return _async(type(conn))(conn)  # type: ignore[arg-type]


@lru_cache
def _sync(cls: type) -> Callable[[Any], Executor]:
    for kind in _kinds(cls):
        if kind in _SYNC:
            return _SYNC[kind]
        if kind in _ASYNC:
            msg = f"{_name(cls)} is asynchronous: use the function whose name begins with an a (aenqueue, acancel)"
            raise TypeError(msg)
    raise TypeError(_unknown(cls))


@lru_cache
def _async(cls: type) -> Callable[[Any], AsyncExecutor]:
    for kind in _kinds(cls):
        if kind in _ASYNC:
            return _ASYNC[kind]
        if kind in _SYNC:
            msg = f"{_name(cls)} is synchronous: use the function without the a (enqueue, cancel)"
            raise TypeError(msg)
    raise TypeError(_unknown(cls))


def _kinds(cls: type) -> Iterator[tuple[str, str]]:
    """Yield (package, class) along the class hierarchy: nobody's library is imported just to recognise it."""
    for above in cls.__mro__:
        yield above.__module__.partition(".")[0], above.__name__


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _unknown(cls: type) -> str:
    return (
        f"{_name(cls)} is no connection that outbox knows: pass a psycopg Connection or AsyncConnection, a SQLAlchemy "
        "Connection, Session, AsyncConnection or AsyncSession, Django's connection, or an asyncpg Connection"
    )


def _sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE of a driver's error, through the wrappers of SQLAlchemy (`orig`) and Django (`__cause__`)."""
    for candidate in (error, getattr(error, "orig", None), error.__cause__):
        state = getattr(candidate, "sqlstate", None)
        if state is not None:
            return str(state)
    return None


_SYNC: dict[tuple[str, str], Callable[[Any], Executor]] = {
    ("psycopg", "Connection"): executors.Psycopg,
    ("sqlalchemy", "Connection"): executors.SQLAlchemy,
    ("sqlalchemy", "Session"): executors.SQLAlchemySession,
    ("sqlalchemy", "scoped_session"): executors.SQLAlchemySession,
    ("django", "ConnectionProxy"): executors.Django,
    ("django", "BaseDatabaseWrapper"): executors.Django,
}
_ASYNC: dict[tuple[str, str], Callable[[Any], AsyncExecutor]] = {
    ("psycopg", "AsyncConnection"): executors.AsyncPsycopg,
    ("sqlalchemy", "AsyncConnection"): executors.AsyncSQLAlchemy,
    ("sqlalchemy", "AsyncSession"): executors.AsyncSQLAlchemySession,
    ("sqlalchemy", "async_scoped_session"): executors.AsyncSQLAlchemySession,
    ("asyncpg", "Connection"): executors.Asyncpg,
    ("asyncpg", "PoolConnectionProxy"): executors.Asyncpg,
    ("outbox", "Bridge"): lambda bridge: bridge.executor,  # what a test's connection is for the engine
}
