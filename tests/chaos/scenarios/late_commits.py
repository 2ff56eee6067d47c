"""Rows that become due in the past: committed late, put back, moved up, or stamped by a clock that jumps.

A claim does not look all the way back each time, so that these are the ones that it might never see.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import psycopg

import outbox
from tests.chaos.scenario import scenario
from tests.chaos.scenarios.snapshots import held_snapshot, litter
from tests.hands import enqueue, rows

if TYPE_CHECKING:
    from tests.chaos.http_sink import HttpSink
    from tests.chaos.stage import Stage

_LIMIT = 6.0
_STEP = 5.0

# A clock of the test's own, in place of the database's, for the sessions that look for functions here first.
_CLOCK = """
CREATE SCHEMA skewed;
CREATE TABLE skewed.clock (ahead interval NOT NULL);
INSERT INTO skewed.clock VALUES ('0');
CREATE FUNCTION skewed.now() RETURNS timestamptz LANGUAGE sql STABLE
    AS 'SELECT pg_catalog.now() + ahead FROM skewed.clock';
CREATE FUNCTION skewed.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS 'SELECT pg_catalog.clock_timestamp() + ahead FROM skewed.clock';
"""


class Clock:
    """The clock that the worker's sessions see, and all its jumps."""

    def __init__(self, url: str) -> None:
        self._url = url
        rows(url, _CLOCK)
        self._steps = [(0.0, 0.0)]
        """When (`time.monotonic()`) it was set how far ahead, in order."""

    @property
    def url(self) -> str:
        """The database's URL for sessions that see this clock."""
        return f"{self._url}{'&' if '?' in self._url else '?'}options=-csearch_path%3Dskewed%2Cpg_catalog"

    def set(self, ahead: float) -> None:
        """Let it jump."""
        rows(self._url, "UPDATE skewed.clock SET ahead = make_interval(secs => %s)", ahead)
        self._steps.append((time.monotonic(), ahead))

    def due_since(self, run_at: float, claimed: float) -> float:
        """Return since when what was claimed at `claimed` was due without a break; all in `time.monotonic()`."""
        since = claimed
        for at, ahead in reversed(self._steps):
            if at > claimed:
                continue
            due = max(at, run_at - ahead)
            if due >= since:
                return since
            since = due
            if due > at:
                return since
        return since


class Row(NamedTuple):
    """When it was committed, and when it was to run; both in `time.monotonic()`."""

    committed: float
    run_at: float


class Latecomers:
    """What becomes due in the past."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._lock = threading.Lock()
        self.rows: dict[str, Row] = {}
        scheduled = enqueue(stage.url, stage.pick(reduced=20, full=600), channel="http", run_at=timedelta(hours=1))
        stage.ledger.acknowledge(scheduled)
        self._scheduled = [str(identity) for identity in scheduled]

    def commit_late(self, count: int, age: float) -> None:
        """Enqueue so many in a transaction that stays open for `age` seconds."""
        with psycopg.connect(self._stage.url) as conn:
            made = outbox.enqueue_many(conn, [{"channel": "http", "recipient": "late"}] * count)
            run_at = time.monotonic()
            time.sleep(age)
            conn.commit()
        self._note([str(each.id) for each in made], run_at)

    def schedule_in_the_past(self, count: int) -> None:
        """Enqueue so many that were due up to an hour ago."""
        ago = timedelta(seconds=self._stage.random.uniform(0, 3_600))
        made = enqueue(self._stage.url, count, channel="http", run_at=datetime.now(UTC) - ago)
        self._note([str(identity) for identity in made], time.monotonic() - ago.total_seconds())

    def put_back(self, count: int) -> None:
        """Let so many scheduled ones be due up to a minute ago, as a retry that somebody edits."""
        self._move("attempt = 1", count)

    def move_up(self, count: int) -> None:
        """Let so many scheduled ones have another priority, and be due up to a minute ago."""
        self._move(f"priority = {self._stage.random.choice((0, 2, 8))}", count)

    def _move(self, change: str, count: int) -> None:
        chosen, self._scheduled = self._scheduled[:count], self._scheduled[count:]
        ago = self._stage.random.uniform(0, 60)
        rows(
            self._stage.url,
            f"UPDATE outbox.queue SET run_at = clock_timestamp() - make_interval(secs => %s), {change} "
            "WHERE id = ANY (%s::uuid[])",
            ago,
            chosen,
        )
        self._note(chosen, time.monotonic() - ago)

    def _note(self, ids: list[str], run_at: float) -> None:
        row = Row(time.monotonic(), run_at)
        with self._lock:
            self.rows |= dict.fromkeys(ids, row)
        self._stage.ledger.acknowledge(ids)

    def finish(self) -> None:
        """Let go of what is still scheduled."""
        with psycopg.connect(self._stage.url) as conn:
            for identity in self._scheduled:
                outbox.cancel(conn, id=identity)


@scenario(8, "rows become due in the past")
def due_in_the_past(stage: Stage) -> None:
    transactions = stage.pick(reduced=2, full=20)
    each = stage.pick(reduced=10, full=50)
    age = stage.pick(reduced=1.5, full=30.0)
    turns = stage.pick(reduced=2, full=90)
    clock = Clock(stage.url)
    latecomers = Latecomers(stage)
    sink = stage.http_sink()
    fleet = stage.fleet(url=clock.url, http=sink)
    fleet.start(ready=True)
    with stage.application(rate=100, channels={"http": 1}) as application, held_snapshot(stage.url):
        # It makes a look at everything expensive, and so rare.
        litter(stage.url, stage.pick(reduced=40_000, full=300_000))
        with ThreadPoolExecutor(transactions) as others:
            ages = [age * stage.random.uniform(0.8, 1) for _ in range(transactions)]
            late = [others.submit(latecomers.commit_late, each, age) for age in ages]
            for turn in range(turns):
                stage.say(f"turn {turn + 1} of {turns}")
                if turn % stage.pick(reduced=1, full=7) == 0:
                    clock.set(stage.random.choice(stage.pick(reduced=(0.0, _STEP), full=(0.0, _STEP, -_STEP))))
                latecomers.schedule_in_the_past(3)
                latecomers.put_back(3)
                latecomers.move_up(3)
                time.sleep(stage.pick(reduced=0.5, full=1.0))
            for done in late:
                done.result()
        clock.set(0.0)
        application.finish()
        latecomers.finish()
        stage.settle(timeout=30)
    stage.exactly([0], "exit code", fleet.stop())
    waits = _waits(latecomers, clock, sink)
    stage.exactly(len(latecomers.rows), "claimed", len(waits))
    stage.at_most(_LIMIT, "the longest wait after the commit", max(waits, default=0.0), " s")
    stage.account()
    stage.ran(
        f"{transactions * each:,} rows of transactions {age:g} s old, {9 * turns:,} put into the past, "
        f"the database's clock stepping by {_STEP:g} s"
    )


def _waits(latecomers: Latecomers, clock: Clock, sink: HttpSink) -> list[float]:
    """Return how long each waited for its first send, since it was both committed and due."""
    first: dict[str, float] = {}
    for request in sink.requests:
        first.setdefault(request.key, request.at)
    return [
        sent - max(row.committed, clock.due_since(row.run_at, sent))
        for identity, row in latecomers.rows.items()
        if (sent := first.get(identity)) is not None
    ]
