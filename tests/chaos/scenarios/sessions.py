"""The workers' sessions in the database: how long they keep transactions open, and what happens when they are ended."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

import psycopg

from tests.chaos.activity import Activity
from tests.chaos.http_sink import Reply, Slowly
from tests.chaos.scenario import scenario
from tests.waiting import wait_until

if TYPE_CHECKING:
    from random import Random

    from tests.chaos.application import Application
    from tests.chaos.http_sink import Request
    from tests.chaos.stage import Stage

_WORKERS = 2
_CONNECTIONS = 5  # of a worker: to claim, to settle, its lifeline's; for a moment, that of a chore, and one to be heard
_SLOW = 1.0
_IN_FLIGHT = 25  # messages: what 500 a second have on their way in 50 ms
_OURS = """
SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'outbox %' ORDER BY pid
"""


@scenario(58, "the sessions are watched while a provider is slow")
def watched_transactions(stage: Stage) -> None:
    seconds = stage.pick(reduced=2.5, full=120.0)
    rate = stage.pick(reduced=200, full=500)
    sink = stage.http_sink()
    calls: list[float] = []

    def behave(request: Request) -> Slowly:
        """Take a second for one in fifty, and 20 ms for the others."""
        slow = len(sink.requests) % 50 == 0
        if slow:
            calls.append(request.at)
        return Slowly(Reply(), after=_SLOW if slow else 0.02)

    sink.behave = behave
    fleet = stage.fleet(http=sink)
    workers = fleet.start(stage.pick(reduced=1, full=_WORKERS), ready=True)
    with Activity(stage.url) as activity, stage.application(rate=rate, channels={"http": 1}) as application:
        time.sleep(seconds)
        application.finish()
        stage.settle(timeout=30)
    stage.exactly([0] * len(workers), "exit codes", fleet.stop())
    stage.at_most(1, "the longest transaction", activity.longest, " s")
    stage.exactly(0, "idle in a transaction", activity.idle)
    stage.at_least(1, "slow calls", len(calls))
    spanned = sum(activity.spans(began, began + _SLOW) for began in calls)
    stage.exactly(0, "transactions open throughout a slow call", spanned)
    stage.at_most(_CONNECTIONS * len(workers), "sessions", activity.most_sessions)
    stage.account(orders=True)
    stage.ran(
        f"{seconds:g} s at {rate}/s, {len(calls):,} calls of {_SLOW:g} s among them; looked {activity.samples:,} times"
    )


class Terminator:
    """Use it as a context manager: it ends a session of some worker, so many times a second."""

    def __init__(self, url: str, rate: float, chance: Random) -> None:
        self._url = url
        self._pause = 1 / rate
        self._random = chance
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="terminator", daemon=True)
        self.terminated = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as conn:
            while not self._stopping.wait(self._pause):
                found = conn.execute(_OURS).fetchall()
                if found:
                    conn.execute("SELECT pg_terminate_backend(%s)", self._random.choice(found))
                    self.terminated += 1


@scenario(36, "sessions of the workers are terminated, ten a second")
def terminated_sessions(stage: Stage) -> None:
    seconds = stage.pick(reduced=3.0, full=120.0)
    rate = stage.pick(reduced=200, full=500)
    sink = stage.http_sink()
    fleet = stage.fleet(http=sink, worker={"lease": "2s"})
    workers = fleet.start(stage.pick(reduced=1, full=_WORKERS), ready=True)
    with Activity(stage.url) as activity, stage.application(rate=rate, channels={"http": 1}) as application:
        wait_until(lambda: application.enqueued > rate // 2)
        began = application.enqueued, len(stage.ledger.deliveries)
        with Terminator(stage.url, 10, stage.random) as terminator:
            time.sleep(seconds)
            during = len(stage.ledger.deliveries) - began[1], application.enqueued - began[0]
        caught_up = _catch_up(stage, application)
        application.finish()
        stage.settle(timeout=30)
    stage.at_least(80, "delivered of what came during it", 100 * during[0] / during[1], " %")
    stage.at_most(3, "at full speed again after", caught_up, " s")
    stage.exactly([0] * len(workers), "exit codes", fleet.stop())
    stage.exactly(0, "sent twice", sink.repeated)
    stage.at_most(_CONNECTIONS * len(workers), "sessions", activity.most_sessions)
    stage.account(orders=True)
    stage.ran(f"{seconds:g} s at {rate}/s, {terminator.terminated:,} sessions of {len(workers)} workers terminated")


def _catch_up(stage: Stage, application: Application) -> float:
    """Return the seconds until what is delivered keeps up with what comes."""
    began = time.monotonic()
    try:
        wait_until(lambda: application.enqueued - len(stage.ledger.deliveries) < _IN_FLIGHT, timeout=10)
    except AssertionError:
        return float("inf")
    return time.monotonic() - began
