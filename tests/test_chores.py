"""Chores are done once in their time by one process of the fleet, whatever becomes of the others."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from outbox import events
from outbox.queue import turn
from outbox.queue.gauge import gauge
from outbox.queue.horizon import find_oldest
from outbox.worker import chores, horizon
from outbox.worker.chores import Chore, run_chores
from outbox.worker.horizon import Horizon
from tests.fleet import ROOT
from tests.hands import enqueue, rows
from tests.listening import handed_notifications
from tests.recorder import Recorder, route
from tests.test_worker import running
from tests.waiting import await_until, wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from psycopg import AsyncConnection


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chores, "_SPREAD", 0.02)
    monkeypatch.setattr(chores, "_BUSY", 0.02)


@contextlib.asynccontextmanager
async def at_it(url: str, *given: Chore, times: int = 1) -> AsyncIterator[list[events.Event]]:
    """So many who look after these chores, for as long as the block lasts; gives what they tell."""
    seen: list[events.Event] = []
    tasks = [asyncio.create_task(run_chores(url, seen.append, given)) for _ in range(times)]
    try:
        yield seen
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


class Step:
    """Counts how often it was done; `behave` is given the connection."""

    def __init__(self, behave: Any = None) -> None:
        self.count = 0
        self.behave = behave

    async def __call__(self, conn: AsyncConnection[Any]) -> float | None:
        self.count += 1
        return None if self.behave is None else await self.behave(conn)


async def test_each_chore_has_its_own_period(database_url: str) -> None:
    often, rarely = Step(), Step()
    async with at_it(database_url, Chore("often", 0.1, often), Chore("rarely", 60, rarely)) as seen:
        await await_until(lambda: often.count >= 5)
    assert rarely.count == 1
    assert seen == []
    by = f"{socket.gethostname()}:{os.getpid()}"
    assert rows(database_url, "SELECT name, done_by, failures, problem FROM outbox.chores ORDER BY 1") == [
        ("often", by, 0, None),
        ("rarely", by, 0, None),
    ]


async def test_the_whole_fleet_does_one_chore_at_a_time_and_no_more_often_than_one_process_would(
    database_url: str,
) -> None:
    now = most = 0

    async def behave(conn: AsyncConnection[Any]) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await conn.execute("SELECT pg_sleep(0.02)")
        now -= 1

    first, second = Step(behave), Step(behave)
    began = time.monotonic()
    async with at_it(database_url, Chore("first", 0.2, first), Chore("second", 0.2, second), times=6):
        await await_until(lambda: min(first.count, second.count) >= 5)
    assert most == 1
    assert max(first.count, second.count) <= (time.monotonic() - began) / 0.2 + 1


async def test_a_chore_that_has_more_to_do_comes_again_at_once_each_time_in_a_transaction_of_its_own(
    database_url: str,
) -> None:
    seen: set[int] = set()

    async def behave(conn: AsyncConnection[Any]) -> float | None:
        ((transaction,),) = await (await conn.execute("SELECT pg_current_xact_id()::text::bigint")).fetchall()
        seen.add(transaction)
        return 0.0 if len(seen) < 20 else None

    step, other = Step(behave), Step()
    async with at_it(database_url, Chore("long", 60, step), Chore("other", 60, other)):
        await await_until(lambda: len(seen) == 20, timeout=5)
        await await_until(lambda: other.count == 1)
    assert step.count == 20


async def test_a_chore_that_pauses_is_gone_on_with_by_the_same_process_and_holds_no_transaction_open_meanwhile(
    database_url: str,
) -> None:
    ours, theirs, other = Step(), Step(), Step()

    async def behave(_: AsyncConnection[Any]) -> float | None:
        return 0.15 if ours.count < 5 else None

    ours.behave = theirs.behave = behave
    began = time.monotonic()
    async with at_it(database_url, Chore("long", 60, ours), Chore("other", 0.1, other)):
        await await_until(lambda: ours.count)
        async with at_it(database_url, Chore("long", 60, theirs)):
            await await_until(lambda: other.count >= 3)
            idle = "state LIKE 'idle in transaction%' AND datname = current_database()"
            look = f"SELECT count(*) FROM pg_stat_activity WHERE {idle}"
            # From a thread: looked at from here, the loop would stand still between two statements, if there it is.
            looks = [await asyncio.to_thread(rows, database_url, look) for _ in range(10)]
            assert looks.count([(0,)]) > 5, "a step is idle between two of its statements, for a moment"
            await await_until(lambda: ours.count == 5)
    assert time.monotonic() - began >= 0.6
    assert theirs.count == 0


async def test_a_chore_that_pauses_is_gone_on_with_by_another_when_its_process_is_gone(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "_GRACE", 0.5)

    async def behave(_: AsyncConnection[Any]) -> float | None:
        return 0.05

    ours, theirs = Step(behave), Step(behave)
    async with at_it(database_url, Chore("long", 60, ours)):
        await await_until(lambda: ours.count >= 3)
    async with at_it(database_url, Chore("long", 60, theirs)):
        await await_until(lambda: theirs.count >= 3)


async def test_a_process_may_be_in_the_middle_of_several_chores(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "_GRACE", 600.0)  # nobody else goes on with them meanwhile
    steps = [Step(), Step()]
    for step in steps:
        step.behave = lambda _, step=step: resting(step)
    async with at_it(database_url, *(Chore(f"long {number}", 600, step) for number, step in enumerate(steps))):
        await await_until(lambda: [step.count for step in steps] == [5, 5])


async def test_a_process_goes_on_with_its_chore_when_another_has_had_the_turn_meanwhile(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "_GRACE", 600.0)
    step = Step()
    step.behave = lambda _: resting(step)
    async with at_it(database_url, Chore("long", 600, step)):
        await await_until(lambda: step.count == 1)
        with psycopg.connect(database_url) as other:
            turns = "SELECT pg_advisory_xact_lock(%s)"
            await asyncio.to_thread(other.execute, turns, [turn._ADVISORY_LOCK])  # noqa: SLF001 - as another process
            before = step.count
            await asyncio.sleep(0.5)
            assert step.count == before, "the turn is another's"
        await await_until(lambda: step.count == 5)


async def resting(step: Step) -> float | None:
    return 0.15 if step.count < 5 else None


async def fails(_: AsyncConnection[Any]) -> None:
    raise KeyError("ada@example.org")


async def is_refused(conn: AsyncConnection[Any]) -> None:
    await conn.execute("SELECT 1/0")


async def is_cut_off(conn: AsyncConnection[Any]) -> None:
    await conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")


@pytest.mark.parametrize(
    ("behave", "problem"),
    [
        (fails, "KeyError at test_chores.py:"),
        (is_refused, "DivisionByZero: division by zero"),
        (is_cut_off, "AdminShutdown: terminating connection due to administrator command"),
    ],
)
async def test_a_chore_that_fails_is_told_and_tried_again_and_stops_no_other(
    database_url: str, behave: Any, problem: str
) -> None:
    bad, good = Step(behave), Step()
    async with at_it(database_url, Chore("bad", 0.2, bad), Chore("good", 0.1, good)) as seen:
        await await_until(lambda: bad.count >= 3 and good.count >= 5)
        assert {(type(event), getattr(event, "chore", None)) for event in seen} == {(events.ChoreFailed, "bad")}
        assert all(problem in getattr(event, "problem", "") for event in seen)
        ((failures, written, done),) = rows(
            database_url, "SELECT failures, problem, done_at FROM outbox.chores WHERE name = 'bad'"
        )
        assert failures >= 2
        assert problem in written
        assert done is None
        bad.behave = None
        await await_until(
            lambda: rows(database_url, "SELECT failures, problem FROM outbox.chores WHERE name = 'bad'") == [(0, None)]
        )


async def test_what_fails_and_fails_again_is_tried_ever_less_often_up_to_its_period(database_url: str) -> None:
    waits = []
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
        for _ in range(6):
            await turn.failed(conn, "bad", every=60, problem="no")
            ((wait,),) = rows(database_url, "SELECT round(extract(epoch FROM due_at - now())) FROM outbox.chores")
            waits.append(int(wait))
    assert waits == [5, 10, 20, 40, 60, 60]


async def test_a_database_clock_that_was_set_back_does_not_put_a_chore_off(database_url: str) -> None:
    rows(database_url, "INSERT INTO outbox.chores (name, due_at) VALUES ('tick', now() + interval '1 year')")
    step = Step()
    async with at_it(database_url, Chore("tick", 60, step)):
        await await_until(lambda: step.count == 1)


async def test_a_lock_that_somebody_holds_on_the_table_is_not_waited_for(cloned_url: str) -> None:
    async def behave(conn: AsyncConnection[Any]) -> None:
        await conn.execute("LOCK TABLE outbox.attempts IN ACCESS EXCLUSIVE MODE")

    with psycopg.connect(cloned_url) as reader:
        reader.execute("SELECT count(*) FROM outbox.attempts")
        async with at_it(cloned_url, Chore("locks", 60, Step(behave))) as seen:
            await await_until(lambda: seen, timeout=5)
            assert "LockNotAvailable" in str(seen[0])
            assert rows(cloned_url, "SELECT count(*) FROM outbox.attempts") == [(0,)]


async def test_a_worker_in_a_database_that_was_not_migrated_since_works_and_says_so(cloned_url: str) -> None:
    rows(cloned_url, "DROP TABLE outbox.chores")
    seen: list[events.Event] = []
    enqueue(cloned_url, 3)
    recorder = Recorder()
    async with running(cloned_url, route(recorder, events=seen)):
        await await_until(lambda: len(recorder.sent) == 3)
        await await_until(lambda: any(isinstance(event, events.ChoreFailed) for event in seen))
    assert len([event for event in seen if isinstance(event, events.ChoreFailed)]) == 1


PROGRAM = """
import asyncio, os, sys
from outbox.worker import chores

chores._FROZEN = 2.0

async def tick(conn):
    await conn.execute(f"INSERT INTO ticks (pid) VALUES ({os.getpid()})")
    await asyncio.sleep(1)

def tell(event):
    print(event, flush=True)

print("up", flush=True)
asyncio.run(chores.run_chores(sys.argv[1], tell, [chores.Chore("tick", 0.2, tick)]))
"""


@pytest.fixture
def pair(cloned_url: str) -> Iterator[dict[int, subprocess.Popen[str]]]:
    """Two processes that have the same chore, which takes a second; by their ids."""
    rows(cloned_url, "CREATE TABLE ticks (pid bigint NOT NULL)")
    command = [sys.executable, "-c", PROGRAM, cloned_url]
    made = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        for process in made:
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n"
        yield {process.pid: process for process in made}
    finally:
        for process in made:
            process.kill()
            process.communicate()


def at_the_chore(url: str) -> list[int]:
    """Whoever is in the middle of it."""
    found = rows(
        url,
        "SELECT substring(query FROM '[0-9]+') FROM pg_stat_activity "
        "WHERE datname = current_database() AND query LIKE 'INSERT INTO ticks%%' AND state = 'idle in transaction'",
    )
    return [int(pid) for (pid,) in found]


def ticks(url: str, pid: int) -> int:
    return int(rows(url, "SELECT count(*) FROM ticks WHERE pid = %s", pid)[0][0])


def test_when_the_one_that_does_the_chores_is_killed_another_goes_on_within_seconds(
    cloned_url: str, pair: dict[int, subprocess.Popen[str]]
) -> None:
    (leader,) = wait_until(lambda: at_the_chore(cloned_url), timeout=20)
    pair[leader].kill()
    (other,) = pair.keys() - {leader}
    killed_at = time.monotonic()
    done = ticks(cloned_url, leader)
    wait_until(lambda: ticks(cloned_url, other), timeout=20)
    assert time.monotonic() - killed_at < 6, "the longest pause between two looks, and the second that it takes"
    assert ticks(cloned_url, leader) == done, "what it had begun is undone"


def test_when_the_one_that_does_the_chores_freezes_its_turn_passes_to_another(
    cloned_url: str, pair: dict[int, subprocess.Popen[str]]
) -> None:
    (leader,) = wait_until(lambda: at_the_chore(cloned_url), timeout=20)
    os.kill(leader, signal.SIGSTOP)
    (other,) = pair.keys() - {leader}
    done = ticks(cloned_url, leader)
    wait_until(lambda: ticks(cloned_url, other), timeout=20)
    assert ticks(cloned_url, leader) == done
    os.kill(leader, signal.SIGCONT)
    told = pair[leader].stdout
    assert told is not None
    assert "ChoreFailed(chore='tick'" in told.readline(), "it hears that it lost its turn"
    pair[other].kill()
    wait_until(lambda: ticks(cloned_url, leader) > done, timeout=20)


async def test_a_worker_does_the_chores_that_are_due_and_no_others(database_url: str) -> None:
    rows(database_url, "INSERT INTO outbox.chores (name, due_at) VALUES ('sweep_workers', now() + interval '30 s')")
    rows(
        database_url,
        "INSERT INTO outbox.workers (pid, host, version, channels, seen_at) "
        "VALUES (1, 'gone', '0', '{email}', now() - interval '1 hour')",
    )
    done = "SELECT done_by IS NOT NULL FROM outbox.chores WHERE name = %s"
    async with running(database_url, route(Recorder())):
        await await_until(lambda: rows(database_url, done, "ensure_partitions") == [(True,)])
    assert rows(database_url, done, "sweep_workers") == [(False,)]
    assert rows(database_url, "SELECT host FROM outbox.workers") == [("gone",)]
    rows(database_url, "UPDATE outbox.chores SET due_at = now()")
    async with running(database_url, route(Recorder())):
        await await_until(lambda: rows(database_url, done, "sweep_workers") == [(True,)])
    assert rows(database_url, "SELECT host FROM outbox.workers") == []


async def test_who_is_handed_what_it_listens_for_keeps_none_open(cloned_url: str) -> None:
    with handed_notifications(cloned_url, application_name="an application") as pid:
        since = "SELECT date_part('epoch', clock_timestamp() - xact_start) > 0.2 FROM pg_stat_activity WHERE pid = %s"
        await await_until(lambda: rows(cloned_url, since, pid) == [(True,)])
        async with await psycopg.AsyncConnection.connect(cloned_url) as conn:
            assert await find_oldest(conn, longer_than=0.1) is None
            await gauge(conn)
            await conn.commit()
    assert rows(cloned_url, "SELECT value FROM outbox.gauges WHERE name = 'oldest_snapshot_seconds'") == [(0.0,)]


async def test_who_keeps_a_transaction_open_is_named_once(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(horizon, "LONG", 0.3)
    seen: list[events.Event] = []
    look = Horizon(seen.append).step
    with psycopg.connect(database_url, application_name="a forgotten psql") as forgotten:
        pid = forgotten.info.backend_pid
        async with at_it(database_url, Chore("look_at_horizon", 0.05, look)):
            await asyncio.sleep(0.4)
            assert seen == [], "it is idle, and in no transaction"
            forgotten.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            forgotten.execute("SELECT count(*) FROM outbox.queue")
            await await_until(lambda: bool(seen))
            await asyncio.sleep(0.3)
        (told,) = seen
    assert isinstance(told, events.HorizonHeld)
    assert (told.pid, told.application) == (pid, "a forgotten psql")
    assert (told.state, told.seconds > 0.3) == ("idle in transaction", True)
