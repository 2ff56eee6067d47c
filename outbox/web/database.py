"""The dashboard's connections: a few, each in a thread's hands for one short transaction, and closed when unused."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import anyio
import psycopg
from anyio import to_thread
from psycopg import IsolationLevel
from psycopg.conninfo import make_conninfo

from outbox.database import KEEPALIVE
from outbox.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Connection = psycopg.Connection[Any]

P = ParamSpec("P")
T = TypeVar("T")

_AT_ONCE = 4
_CONNECT_TIMEOUT = 5
_READING = "SELECT set_config('statement_timeout', %s, true)"
_WRITING = "SELECT set_config('statement_timeout', %s, true), set_config('lock_timeout', '3000', true)"
_PATIENCE = 5.0  # seconds, for one statement
_UNUSED = 60.0  # seconds after which a connection is not trusted any more


class Database:
    """Runs functions on connections to `url`, in threads, four at once."""

    def __init__(self, url: str) -> None:
        try:
            self._conninfo = make_conninfo(
                url, connect_timeout=_CONNECT_TIMEOUT, application_name="outbox web", **KEEPALIVE
            )
        except psycopg.ProgrammingError:
            # What it says quotes the URL, and with it the password.
            problem = "the database URL cannot be understood: write postgresql://user@host:5432/name"
            raise ConfigError([problem]) from None
        self._idle: list[tuple[float, Connection]] = []
        self._lock = threading.Lock()
        self._closed = False
        self._turns: anyio.CapacityLimiter | None = None

    async def read(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `function(conn, …)` does in a transaction that can write nothing, and sees one moment.

        Raises:
            psycopg.Error: the database is away, refuses, or a statement took more than 5 s.
        """

        def work() -> T:
            with self._borrowed() as conn:
                conn.read_only, conn.isolation_level = True, IsolationLevel.REPEATABLE_READ
                conn.execute(_READING, [str(int(_PATIENCE * 1_000))])
                return function(conn, *args, **kwargs)

        return await to_thread.run_sync(work, limiter=self._limiter(), abandon_on_cancel=True)

    async def write(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `function(conn, …)` does in a transaction, which is committed; or nothing of it is done.

        Raises:
            psycopg.Error: as `read`, and where somebody holds a lock for more than 3 s.
        """

        def work() -> T:
            with self._borrowed() as conn:
                conn.read_only, conn.isolation_level = False, IsolationLevel.READ_COMMITTED
                conn.execute(_WRITING, [str(int(_PATIENCE * 1_000))])
                done = function(conn, *args, **kwargs)
                conn.commit()
                return done

        return await to_thread.run_sync(work, limiter=self._limiter())

    def close(self) -> None:
        """Close what is not in use now, and the rest when it is not any more."""
        with self._lock:
            self._closed = True
            unused, self._idle = self._idle, []
        for _, conn in unused:
            conn.close()

    def _limiter(self) -> anyio.CapacityLimiter:
        if self._turns is None:  # made where there is an event loop
            self._turns = anyio.CapacityLimiter(_AT_ONCE)
        return self._turns

    @contextmanager
    def _borrowed(self) -> Iterator[Connection]:
        conn = self._take() or psycopg.connect(self._conninfo, prepare_threshold=None)
        try:
            yield conn
            conn.rollback()
        except BaseException:
            conn.close()
            raise
        with self._lock:
            if not self._closed:
                self._idle.append((time.monotonic(), conn))
                return
        conn.close()

    def _take(self) -> Connection | None:
        """Return a connection that was used a moment ago, the last one first, and close those that were not."""
        with self._lock:
            fresh = [each for each in self._idle if time.monotonic() - each[0] < _UNUSED]
            stale = [conn for used, conn in self._idle if time.monotonic() - used >= _UNUSED]
            self._idle = fresh
            found = fresh.pop()[1] if fresh else None
        for conn in stale:
            conn.close()
        return found
