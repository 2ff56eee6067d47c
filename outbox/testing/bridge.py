"""bridge: the engine's statements, on the connection of a test, in the transaction that it is in.

To a transition it looks like the connection that a worker gives it. Beneath, each statement goes the way of `enqueue`,
so any connection will do. What is different inside a test's transaction is made up for here: `now()` stands still
there, while a worker, whose every statement is a transaction, has the time of the statement; a claim takes none but the
test's own notifications; and where a test has travelled in time, the times of notifications are read accordingly.
"""

from __future__ import annotations

import asyncio
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from outbox import arrays, connections
from outbox.queue.claim import CLAIM

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from types import TracebackType

    from outbox.connections import Parameters, Row
    from outbox.testing.desk import Desk
    from outbox.testing.travelling import Leap

_PARAMETER = re.compile(r"%\((\w+)\)s(::)?")
_CLOCK = re.compile(r"\bnow\(\)")
_OF_NOTIFICATIONS = re.compile(r"\bn\.(?:run_at|expires_at)\b")
_VERB = re.compile(r"^(SELECT|INSERT|UPDATE|DELETE)\b", re.MULTILINE)
_DUE = "AND waiting.run_at <= now()"
_SMALLINT, _INTEGER = 2**15, 2**31


class Aborted(Exception):
    """The transaction was aborted by an earlier statement: nothing that the engine knows how to go on after."""


class Bridge:
    """A connection for the engine: only what transitions use of one."""

    def __init__(self, conn: Any, desk: Desk | None = None) -> None:
        """Take an asynchronous connection; or one that is not, and the desk in its thread."""
        self._conn = conn
        self._desk = desk
        self._turn = asyncio.Lock()
        self.executor = _Executor(self)
        self.leaps: Sequence[Leap] = ()
        """How far the test has travelled, and when."""
        self.failure: Exception | None = None
        """What went wrong first. A worker goes on after it; the rest of a transaction fails as well."""
        self.own: Sequence[str] | None = None
        """The ids that a claim is limited to, if it is."""

    def cursor(self, **_: object) -> _Cursor:
        """Return a cursor; rows are tuples, whatever is asked for."""
        return _Cursor(self)

    async def execute(self, sql: str, parameters: Mapping[str, Any] | None = None, **_: object) -> _Cursor:
        """Run a statement; return the cursor with its rows."""
        cursor = _Cursor(self)
        await cursor.execute(sql, parameters)
        return cursor

    async def run(self, work: Callable[[Any], Awaitable[Any]], **_: object) -> Any:
        """Do the work on this connection, as `outbox.database.Link` does on its own."""
        return await work(self)

    async def ask(self, sql: str, parameters: Parameters) -> Sequence[Row]:
        """Run a statement in the form that `outbox.connections` takes."""
        async with self._turn:
            try:
                if self._desk is None:
                    return await connections.arun(self._conn, sql, parameters, allow_autocommit=True)
                return self._desk.ask(lambda: connections.run(self._conn, sql, parameters, allow_autocommit=True))
            except Exception as error:
                if self.failure is not None:
                    raise Aborted from self.failure
                self.failure = error
                raise

    async def fetch(self, sql: str, parameters: Mapping[str, Any]) -> Sequence[Row]:
        """Run a statement of the engine's."""
        if self.own is not None and sql == CLAIM:
            sql, parameters = narrowed(CLAIM), {**parameters, "own": arrays.plain(self.own)}
        sql, given = _as_text(with_rows(sql), parameters)
        return await self.ask(_OF_NOTIFICATIONS.sub(self._earlier, timed(sql)), given)

    def _earlier(self, match: re.Match[str]) -> str:
        """Return a time of a notification's, less what has gone by since that was enqueued."""
        if not self.leaps:
            return match[0]
        later = [
            f"WHEN n.created_at < to_timestamp({leap.moment!r}) THEN {sum(self._since(leap))!r}" for leap in self.leaps
        ]
        return f"({match[0]} - make_interval(secs => CASE {' '.join(later)} ELSE 0.0 END))"

    def _since(self, first: Leap) -> list[float]:
        return [leap.seconds for leap in self.leaps if leap.moment >= first.moment]


def timed(sql: str) -> str:
    """Return a statement for which it is as late as when it is run, and not as when the transaction began."""
    return _CLOCK.sub("statement_timestamp()", sql)


class _Executor:
    """For what goes through `outbox.connections` itself."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    async def run(self, sql: str, parameters: Parameters) -> Sequence[Row]:
        return await self._bridge.ask(sql, parameters)

    async def in_transaction(self) -> bool:
        return True


class _Cursor:
    """The rows of the last statement."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._rows: list[tuple[Any, ...]] = []
        self.rowcount = -1

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        """There is nothing to close."""

    async def execute(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        self._rows = [tuple(row) for row in await self._bridge.fetch(sql, parameters or {})]
        self.rowcount = len(self._rows)

    async def fetchall(self) -> list[tuple[Any, ...]]:
        return self._rows

    async def fetchone(self) -> tuple[Any, ...] | None:
        return self._rows[0] if self._rows else None


class _Typed(NamedTuple):
    text: str | None
    type: str


@lru_cache
def narrowed(claim: str) -> str:
    """Return what claims none but the notifications in `own`."""
    if claim.count(_DUE) != 1:
        raise AssertionError("CLAIM has another form than outbox.testing knows")
    return claim.replace(_DUE, f"{_DUE} AND waiting.id = ANY (%(own)s::uuid[])")


@lru_cache
def with_rows(sql: str) -> str:
    """Return a statement that returns a row for each that it changed, where it would return none."""
    verbs = list(_VERB.finditer(sql))
    if not verbs or verbs[-1][1] == "SELECT" or "RETURNING" in sql[verbs[-1].start() :]:
        return sql
    return f"{sql.rstrip()}\nRETURNING 1"


def _as_text(sql: str, parameters: Mapping[str, Any]) -> tuple[str, dict[str, str | list[str | None] | None]]:
    """Return the statement with each parameter as text that it casts itself, to what psycopg would have made of it."""
    typed = {name: _typed(value) for name, value in parameters.items()}

    def place(match: re.Match[str]) -> str:
        name, is_cast = match.groups()
        text = f"CAST(:{name} AS text)"
        return f"{text}::" if is_cast else f"CAST({text} AS {typed[name].type})"

    wanted = {match[1] for match in _PARAMETER.finditer(sql)}
    return _PARAMETER.sub(place, sql), {name: each.text for name, each in typed.items() if name in wanted}


def _typed(value: Any) -> _Typed:
    match value:
        case bool():
            return _Typed(str(value).lower(), "boolean")
        case int():
            return _Typed(
                str(value), "smallint" if abs(value) < _SMALLINT else "integer" if abs(value) < _INTEGER else "bigint"
            )
        case float():
            return _Typed(repr(value), "float8")
        case list() | tuple():
            return _Typed(arrays.texts([None if one is None else str(one) for one in value]), "text[]")
        case _:
            return _Typed(None if value is None else str(value), "text")
