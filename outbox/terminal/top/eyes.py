"""Looks at the database, again and again: reading only, each question within two seconds, and no more than it bears."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg import errors

from outbox.queue.deaths import NEWEST, deaths
from outbox.queue.fleet import Fleet, fleet
from outbox.queue.inspect import Strays, add_up, count_strays, failing_schedules
from outbox.queue.letter_groups import groups_of_newest
from outbox.queue.measure import SETTINGS, Measured
from outbox.queue.measure import look as measure
from outbox.queue.paused import known_targets, list_pauses
from outbox.queue.samples import samples
from outbox.telling.amiss import warnings_of
from outbox.terminal.session import awriting, reading
from outbox.terminal.top.pace import Pace
from outbox.terminal.top.scene import Scene, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from outbox.queue.deaths import Deaths
    from outbox.queue.inspect import Channel
    from outbox.queue.letter_groups import Group
    from outbox.queue.samples import Sample

T = TypeVar("T")

_LONGEST = "2s"
_LIMITS = "SELECT set_config('statement_timeout', %s, true), set_config('transaction_read_only', 'on', true)"
_CLOCK = "SELECT set_config('datestyle', 'ISO', true), clock_timestamp()::text"
_SHARE = 20
"""What took a second is asked again twenty seconds later at the earliest."""
_QUICK = 0.05
_GROUPS = 8
_PAST = timedelta(hours=4)
_NOW_AND_THEN = 5.0
_RARELY = 15.0
_TOO_LATE = (errors.QueryCanceled, errors.LockNotAvailable)


class Eyes:
    """Hold two connections to one database, made when they are needed, and again after trouble."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._open: ExitStack | None = None
        self._runner = asyncio.Runner()
        self._pace = Pace()
        self._known: dict[str, Any] = {}
        self._next: dict[str, float] = {}
        self._late: list[str] = []

    def look(self) -> Scene:
        """Return how things stand.

        Raises:
            psycopg.Error, OSError: the database is away, or refuses.
            NotMigrated: it has no outbox.
        """
        try:
            return self._look(*self._connections())
        except BaseException:
            self._disconnect()
            raise

    def close(self) -> None:
        """Close the connections."""
        self._disconnect()
        self._runner.close()

    def _look(self, conn: psycopg.Connection[Any], aconn: psycopg.AsyncConnection[Any]) -> Scene:
        self._late = []
        workers = self._ask("workers", conn, fleet) or Fleet(())
        pauses = self._ask("pauses", conn, list_pauses) or []
        waiting = self._ask("the queue", conn, lambda _: self._runner.run(_measured(aconn))) or []
        dead = self._ask("dead letters", conn, deaths) or []
        of_what = self._ask("causes", conn, lambda on: _causes(on, dead)) or []
        past = self._ask("history", conn, _history, every=_RARELY) or []
        strays = self._ask("partitions", conn, count_strays, every=_RARELY) or Strays(0, 0)
        failing = self._ask("schedules", conn, failing_schedules, every=_NOW_AND_THEN) or []
        known = self._ask("providers", conn, known_targets, every=_NOW_AND_THEN) or {}
        return Scene(
            at=datetime.now().astimezone(),
            database=f"{conn.info.dbname} on {_host(conn)}",
            waiting=waiting,
            fleet=workers,
            speed=self._pace.after(workers, past),
            samples=past,
            pauses=pauses,
            providers=known.get("provider", []),
            deaths=dead,
            causes=of_what,
            warnings=warnings_of(_channels(waiting, workers), failing, strays, pauses),
            late=self._late,
        )

    def _ask(
        self, what: str, conn: psycopg.Connection[Any], question: Callable[[Any], T], every: float = 0.0
    ) -> T | None:
        """Return the answer, in a transaction of its own; the last one if it is not time yet, or takes too long."""
        now = time.monotonic()
        if now >= self._next.get(what, 0.0):
            try:
                with conn.transaction():
                    conn.execute(_LIMITS, [_LONGEST])
                    self._known[what] = question(conn)
            except _TOO_LATE:
                self._late.append(what)
            took = time.monotonic() - now
            self._next[what] = now + max(every, took * _SHARE if took > _QUICK else 0.0)
        return self._known.get(what)

    def _connections(self) -> tuple[psycopg.Connection[Any], psycopg.AsyncConnection[Any]]:
        if self._open is None:
            with ExitStack() as stack:
                self._conn = stack.enter_context(reading(self._url))
                context = awriting(self._url)
                self._aconn = self._runner.run(context.__aenter__())
                stack.callback(lambda: self._runner.run(context.__aexit__(None, None, None)))
                self._open = stack.pop_all()
        return self._conn, self._aconn

    def _disconnect(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            opened.close()


def _host(conn: psycopg.Connection[Any]) -> str:
    """Return where the database is; a socket is on this machine."""
    host = conn.info.host or conn.info.hostaddr
    return "localhost" if not host or host.startswith(("/", "@")) else host


async def _measured(conn: psycopg.AsyncConnection[Any]) -> list[Waiting]:
    async with conn.transaction():
        await conn.execute(_LIMITS, [_LONGEST])
        row = await (await conn.execute(_CLOCK)).fetchone()
        await conn.execute(SETTINGS)
        found = await measure(conn)
    now = datetime.fromisoformat(row[1]) if row else None
    return sorted(_waiting(each, now) for each in found)


def _waiting(it: Measured, now: datetime | None) -> Waiting:
    oldest = None
    if it.oldest_due_at is not None and now is not None and it.oldest_due_at != "-infinity":
        oldest = max((now - datetime.fromisoformat(it.oldest_due_at)).total_seconds(), 0.0)
    return Waiting(*it[:7], oldest, it.is_estimate)


def _causes(conn: Any, dead: Sequence[Deaths]) -> Sequence[Group]:
    return groups_of_newest(conn, [each.channel for each in dead], newest=NEWEST, limit=_GROUPS).groups


def _history(conn: Any) -> list[Sample]:
    return samples(conn, since=_PAST, by_provider=True)


def _channels(waiting: Sequence[Waiting], workers: Fleet) -> list[Channel]:
    """Return the counts that warnings are about."""
    return [
        add_up(
            name,
            [each for each in waiting if each.channel == name],
            workers=sum(name in worker.channels for worker in workers.workers),
        )
        for name in sorted({each.channel for each in waiting})
    ]
