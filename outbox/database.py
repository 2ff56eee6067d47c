"""A worker's connections: each has one purpose, is made anew when it breaks, and never holds a transaction open."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import time
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict

from outbox.errors import ConfigError, clean
from outbox.events import DatabaseBack, DatabaseLost
from outbox.silence import Watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from outbox.events import Listener

T = TypeVar("T")

# A peer that vanished without a word is noticed within about 20 s instead of two hours.
KEEPALIVE: dict[str, Any] = {
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
_CONNECT_TIMEOUT = 5
_FIRST_PAUSES = (0.1, 0.2, 0.4, 0.8, 2.4)  # seconds, each at most
_LATER_PAUSES = (4.6, 4.9)

# Where an application has made another isolation level the database's default, a claim would fail on each row that
# another worker has just claimed, instead of skipping it.
_READ_COMMITTED = "SET default_transaction_isolation = 'read committed'"
# A plan is kept for as long as a connection lives, and one that was made while a table was empty reads all of it: after
# 50,000 enqueues, 500 rows took half a second to claim, and as long to settle. Not through a pooler, where it would
# stay with the next client, and where nothing is prepared: there, each plan is made for the tables as they are.
_LOOKUPS_ONLY = f"{_READ_COMMITTED}; SET enable_seqscan = off; SET jit = off"

# What a new connection may cure: the network, a restart, a failover (the old primary turns read-only), a full disk,
# deadlocks and serialization failures. Anything else is a defect, and is raised.
# A transaction pooler hands a prepared statement's name to a server that never heard of it.
UNPREPARED = (psycopg.errors.InvalidSqlStatementName, psycopg.errors.DuplicatePreparedStatement)
TROUBLE = (
    *UNPREPARED,
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,
    OSError,
    TimeoutError,
)
_LOCKED_PAUSE = 0.05
# Of a value, such as one too long for an index; of a lock that somebody holds; or of a trigger of the application's:
# psycopg counts what an external routine raises (classes 38 and 39), and an object that is in no state for it, with the
# operational errors.
_OF_THE_STATEMENT = re.compile(r"54000|55000|55P03|3[89]...")

# No SQLSTATE (3D000, 28P01, 28000, 42501) comes with a connection that was never made: libpq has the words alone. A
# server that speaks another language is waited for, as one that is not up yet is. The last line is PgBouncer's.
_REFUSAL = re.compile(
    r'database ".*" does not exist|role ".*" does not exist|role ".*" is not permitted to log in'
    r"|authentication failed|no password supplied|pg_hba\.conf|permission denied for database"
    r"|no such (?:database|user)"
)


async def _past_locks(
    work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]], conn: psycopg.AsyncConnection[Any]
) -> T:
    while True:
        with contextlib.suppress(psycopg.errors.LockNotAvailable):
            return await work(conn)
        await asyncio.sleep(_LOCKED_PAUSE)


def _is_of_the_statement(error: BaseException) -> bool:
    """Tell whether a new connection would change nothing, though psycopg counts it with what one may cure."""
    return bool(_OF_THE_STATEMENT.fullmatch(getattr(error, "sqlstate", None) or ""))


def refuses(error: BaseException) -> bool:
    """Tell whether a connection failed because there is no such database, or it is not for us: not because of today."""
    return isinstance(error, psycopg.OperationalError) and bool(_REFUSAL.search(str(error)))


async def is_pooled(conn: psycopg.AsyncConnection[Any]) -> bool:
    """Tell whether a pooler stands between: the process that answers is not the one that the connection was told of.

    Then a statement that was prepared may be unknown to the next server, or, worse, be another client's of that name.
    """
    row = await (await conn.execute("SELECT pg_backend_pid()", prepare=False)).fetchone()
    return row is not None and row[0] != conn.info.backend_pid


def describe(error: BaseException) -> str:
    """Return one line about a database error that holds no value of a row: PostgreSQL puts those into the DETAIL."""
    diag = getattr(error, "diag", None)
    primary = getattr(diag, "message_primary", None)
    return clean(f"{type(error).__name__}: {primary or error}", 300)


def pauses() -> Iterator[float]:
    """Yield the seconds to wait between tries: soon at first, with full jitter so that a fleet does not come at once.

    Then a little less than 5, so that twenty workers ask a server that has no connection left for less than five a
    second, and are all back within 5 s of when it has.
    """
    for ceiling in _FIRST_PAUSES:
        yield random.uniform(_FIRST_PAUSES[0] / 2, ceiling)
    while True:
        yield random.uniform(*_LATER_PAUSES)


class Link:
    """One autocommit connection, used by one statement at a time.

    `run` tries again until the work succeeds, so what it is given must be safe to repeat after a commit whose
    acknowledgement was lost. With `lookups_only`, the planner is kept from reading whole tables. With `lock_timeout`, a
    statement waits for anybody's lock for so many seconds at a time; through a pooler, where no setting can be made,
    for as long as it takes.
    """

    def __init__(
        self,
        url: str,
        purpose: str,
        listener: Listener,
        *,
        patience: float | None = None,
        lookups_only: bool = False,
        lock_timeout: float = 0.0,
    ) -> None:
        self._url = url
        self._purpose = purpose
        self._listener = listener
        settings = _LOOKUPS_ONLY if lookups_only else _READ_COMMITTED
        self._settings = f"{settings}; SET lock_timeout = {lock_timeout * 1000:.0f}"
        self._conn: psycopg.AsyncConnection[Any] | None = None
        self._prepare_after: int | None = 5
        self._watch = Watch(url, patience)
        self._turn = asyncio.Lock()

    async def run(
        self,
        work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]],
        *,
        at_start: bool = False,
        waits: bool = True,
    ) -> T:
        """Do the work on the connection, through any number of reconnections; with `waits`, for as long as locks take.

        Raises:
            psycopg.errors.LockNotAvailable: without `waits`, when somebody held a lock for too long.
            ConfigError: `at_start`, when the database does not exist, or refuses us. Later it is tried again: a
                password may be changed in two places, one after the other.
            psycopg.Error: what a new connection cannot cure, such as a missing table.
        """
        async with self._turn:
            lost_at: float | None = None
            for pause in pauses():
                try:
                    result = await self._once(work, waits=waits)
                except TROUBLE as error:
                    if _is_of_the_statement(error):
                        raise
                    if at_start and refuses(error):
                        raise ConfigError([f"the database in OUTBOX_DATABASE_URL, or database.url: {error}"]) from None
                    if isinstance(error, UNPREPARED):
                        self._prepare_after = None
                    lost_at = lost_at or time.monotonic()
                    await self._drop()
                    self._listener(DatabaseLost(self._purpose, describe(error), pause))
                    await asyncio.sleep(pause)
                else:
                    if lost_at is not None:
                        self._listener(DatabaseBack(self._purpose, time.monotonic() - lost_at))
                    return result
        raise AssertionError  # pauses() never ends

    async def aclose(self) -> None:
        """Close the connection."""
        await self._drop()

    async def _once(self, work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]], *, waits: bool) -> T:
        try:
            if self._conn is None or self._conn.closed:
                self._conn = await self._connect()
                self._watch.can_ask = False
            with self._watch.over(self._conn):
                if self._prepare_after is not None and not self._watch.can_ask:
                    self._watch.can_ask = not await is_pooled(self._conn)
                    if not self._watch.can_ask:
                        self._conn.prepare_threshold = self._prepare_after = None
                    else:
                        await self._conn.execute(self._settings)
                return await (_past_locks(work, self._conn) if waits else work(self._conn))
        except asyncio.CancelledError:
            # A statement cut off in the middle leaves the connection in no known state.
            await self._drop()
            raise

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        # connect_timeout is for each server of the URL, and not for the resolver, which may never answer.
        hosts = str(conninfo_to_dict(self._url).get("host") or "").count(",") + 1
        seconds = _CONNECT_TIMEOUT * (hosts + 1)
        try:
            async with asyncio.timeout(seconds):
                return await psycopg.AsyncConnection.connect(
                    self._url,
                    autocommit=True,
                    prepare_threshold=self._prepare_after,
                    connect_timeout=_CONNECT_TIMEOUT,
                    application_name=f"outbox {self._purpose}",
                    **KEEPALIVE,
                )
        except TimeoutError:
            raise psycopg.errors.ConnectionTimeout(f"no name server or server answered within {seconds:g} s") from None

    async def _drop(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            await conn.close()
