"""scheduling: runs schedules when they come due, each occurrence once in the whole fleet, whoever comes first."""

from __future__ import annotations

import asyncio
import random
import re
import time
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg

from outbox.database import Link, describe
from outbox.events import ChoreFailed
from outbox.occurrences import Occurrences
from outbox.queue import fire
from outbox.schedule_events import ScheduleFailed, ScheduleRan, ScheduleSkipped

if TYPE_CHECKING:
    from datetime import datetime

    from psycopg import AsyncConnection

    from outbox.events import Event, Listener
    from outbox.queue.fire import Due, Taken

CHANGED = "*schedules"
"""What the database notifies when schedules have changed."""
GRACE = timedelta(minutes=1)
"""What is no later than this was not missed."""
_LONGEST_SLEEP = 60.0  # a notification that is lost, or swallowed by a pooler, costs no more
_BUSY = 2.0  # others are at what is due; should they die, it is due again
_SPREAD = 0.5  # so that not all processes of a fleet look at the same moment
_NOT_MIGRATED = 600.0
_PATIENCE = 10.0  # beyond a schedule's timeout
_QUOTED = re.compile(r"\".*\"|'.*'")
_KEY = re.compile(r"'.*'")


class _Failed(Exception):
    def __init__(self, taken: Taken, occurrence: datetime, problem: str) -> None:
        super().__init__(problem)
        self.taken = taken
        self.occurrence = occurrence
        self.problem = problem


class Scheduling:
    """Sleeps until something is due. It looks through the worker's own connection, and makes one only to run something.

    So schedules cost a look once a minute where there are none.
    """

    def __init__(self, url: str, looks: Link, listener: Listener) -> None:
        self._url = url
        self._looks = looks
        self._listener = listener
        self._hint = asyncio.Event()

    def hint(self) -> None:
        """Note that schedules have changed."""
        self._hint.set()

    async def run(self) -> None:
        """Look, run what is due, sleep until the next is; until cancelled."""
        while True:
            self._hint.clear()
            try:
                due = await self._looks.run(fire.find)
                if due.names:
                    await self._run_due(due)
                    continue
                pause = _pause(due)
            except psycopg.Error as error:
                self._listener(
                    ChoreFailed("schedules", describe(error))
                )  # `outbox migrate` has yet to make their table
                pause = _NOT_MIGRATED
            try:
                async with asyncio.timeout(pause + random.uniform(0, _SPREAD)):
                    await self._hint.wait()
            except TimeoutError:
                continue

    async def _run_due(self, due: Due) -> None:
        """Run one occurrence of each, so that none that has many to make up for keeps the others waiting."""
        # Behind a pooler, what takes longer than the patience is cancelled; the server sees to how long a run may take.
        link = Link(self._url, "schedules", self._listener, patience=(due.timeout or 0.0) + _PATIENCE)
        try:
            for name in due.names:
                try:
                    told = await link.run(partial(run_one, name=name))
                except _Failed as failure:
                    told = await self._note(link, name, failure)
                if told is not None:
                    self._listener(told)
        finally:
            await link.aclose()

    async def _note(self, link: Link, name: str, failure: _Failed) -> Event | None:
        taken, occurrence, problem = failure.taken, failure.occurrence, failure.problem
        pause = await link.run(
            lambda conn: fire.failed(conn, name, next_at=taken.next_at, occurrence=occurrence, problem=problem)
        )
        return None if pause is None else ScheduleFailed(name, occurrence, problem, pause)


async def run_one(conn: AsyncConnection[Any], name: str) -> Event | None:
    """Run what a schedule is due for, in one transaction; return what to tell, None if it was not ours to run.

    Raises:
        psycopg.Error: before it was taken.
        _Failed: after that, whatever it was; nothing is left of it.
    """
    began = time.monotonic()
    taken, occurrence = None, None
    try:
        async with conn.transaction():
            taken = await fire.take(conn, name)
            if taken is None:
                return None
            occurrence = taken.next_at
            occurrence, next_at, missed = choose(taken)
            enqueued = None if missed else await fire.fire(conn, name, occurrence)
            await fire.done(conn, name, next_at=next_at)
    except Exception as error:
        if taken is None or occurrence is None:
            raise
        raise _Failed(taken, occurrence, _problem(error)) from error
    if missed:
        return ScheduleSkipped(name, occurrence, next_at)
    if enqueued is None:
        return None
    late = (taken.now - occurrence).total_seconds()
    return ScheduleRan(name, occurrence, enqueued, time.monotonic() - began, late)


def choose(taken: Taken) -> tuple[datetime, datetime, bool]:
    """Return the occurrence to run, the one after it, and whether it was missed and is skipped.

    By the database's clock alone. One that failed is not missed: whoever tried it was there in time.
    """
    occurrences = Occurrences(taken.cron, taken.time_zone)
    if taken.missed == "all":
        return taken.next_at, occurrences.first_after(taken.next_at), False
    latest = occurrences.latest(taken.next_at, taken.now)
    is_missed = taken.missed == "skip" and not taken.failures and taken.now - latest > GRACE
    return latest, occurrences.first_after(taken.now), is_missed


def _pause(due: Due) -> float:
    pause = _LONGEST_SLEEP if due.pause is None else min(due.pause, _LONGEST_SLEEP)
    return pause if due.timeout is None else min(pause, _BUSY)


def _problem(error: Exception) -> str:
    """Say what happened, without a value of a row: errors about data quote it, and ours about a key quotes the key."""
    words = describe(error)
    if isinstance(error, psycopg.DataError | psycopg.errors.RaiseException):
        return _QUOTED.sub("…", words)
    return _KEY.sub("…", words) if isinstance(error, psycopg.IntegrityError) else words
