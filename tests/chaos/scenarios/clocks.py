"""Workers and applications whose wall clocks are an hour wrong, or jump while they hold leases."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg

import outbox
from outbox.children import Children
from tests.chaos.fleet import Fleet
from tests.chaos.http_sink import Reply, Slowly
from tests.chaos.scenario import scenario
from tests.hands import rows

if TYPE_CHECKING:
    from outbox.children import Child
    from tests.chaos.http_sink import HttpSink, Request
    from tests.chaos.stage import Stage

_HOUR = 3_600.0
# Seconds that a clock is ahead, and how far it jumps to and fro.
_CLOCKS = {"an hour ahead": (_HOUR, 0.0), "an hour behind": (-_HOUR, 0.0), "jumping": (-_HOUR, 2 * _HOUR)}
_LEASE = 1.5
_LATE = 10.0
_TICK = 0.002  # seconds by which two measurements of one moment may differ


class SkewedFleet(Fleet):
    """Workers, each with a wrong clock of its own."""

    def start_with(self, clock: str) -> Child:
        """Start one whose clock is wrong in this way."""
        child = self._children.start(f"worker {clock}", "tests.chaos.wrong_clock", self._arguments(clock, "worker"))
        self.live.append(child)
        return child

    def enqueue_with(self, clock: str) -> Child:
        """Enqueue one notification from a program whose clock is wrong in this way."""
        words = self._arguments(clock, "enqueue", "--recipient", clock, "--delay", "1s", "--expires-in", "1m")
        return self._children.start(f"application {clock}", "tests.chaos.wrong_clock", words)

    def _arguments(self, clock: str, *command: str) -> list[str]:
        wrong = [str(seconds) for seconds in _CLOCKS[clock]]
        return [*wrong, "outbox", *command, "--channel", "http", "--config", str(self._config)]


@scenario(47, "clocks are an hour wrong, or jump during a lease")
def wrong_clocks(stage: Stage) -> None:
    seconds = stage.pick(reduced=1.5, full=120.0)
    rate = 50
    first, second = stage.random.sample(("an hour ahead", "an hour behind"), 2)
    clocks = stage.pick(reduced=("jumping",), full=("jumping", second, first))
    sink = stage.http_sink()
    sink.behave = _takes_its_time
    with Children("chaos") as children:
        fleet = _fleet(children, stage.url, sink)
        applications = [fleet.enqueue_with(clock) for clock in (first, second)[: stage.pick(reduced=1, full=2)]]
        workers = [fleet.start_with(clock) for clock in clocks]
        fleet.wait_until_ready(workers[0])
        _schedule(stage, seconds, rate)
        stage.exactly({0}, "enqueues with a wrong clock", {each.process.wait(30) for each in applications})
        stage.settle(timeout=_LATE + 5)
        stage.exactly([0] * len(clocks), "exit codes", fleet.stop())
    stage.exactly(0, "sent before their time", _early(stage, sink))
    stage.exactly(0, "leases lost although nobody died", _lost_leases(stage))
    stage.exactly(0, "sent twice", sink.repeated)
    stage.account(late_after=_LATE)
    count = len(stage.ledger.deliveries)
    stage.ran(f"workers {', '.join(clocks)}; {seconds:g} s, {count:,} scheduled messages, leases of {_LEASE:g} s")


def _fleet(children: Children, url: str, sink: HttpSink) -> SkewedFleet:
    name = "tests.chaos.http_provider"
    return SkewedFleet(
        children,
        url,
        channels={"http": {"providers": [name]}},
        providers={name: {"port": sink.port}},
        worker={"lease": _LEASE, "prefetch": 0},
    )


def _takes_its_time(request: Request) -> Slowly | None:
    """Let some sends outlast their leases by far, so that each must be renewed while the clocks jump."""
    return Slowly(Reply(), after=1.5 * _LEASE) if request.key.endswith(("0", "8")) else None


def _schedule(stage: Stage, seconds: float, rate: int) -> None:
    """Enqueue at the rate, each due up to 2 s later."""
    began, made = time.monotonic(), 0
    with psycopg.connect(stage.url) as conn:
        while (elapsed := time.monotonic() - began) < seconds:
            due = int(elapsed * rate) + 1 - made
            delays = [timedelta(seconds=stage.random.uniform(0, 2)) for _ in range(due)]
            drafts = [{"channel": "http", "recipient": "x", "run_at": delay} for delay in delays]
            stage.ledger.acknowledge(result.id for result in outbox.enqueue_many(conn, drafts))
            conn.commit()
            made += due
            time.sleep(0.05)


def _early(stage: Stage, sink: HttpSink) -> int:
    """Count what arrived before its time, by the database's clock."""
    ((now,),) = rows(stage.url, "SELECT date_part('epoch', clock_timestamp())")
    offset = time.monotonic() - now
    due = dict(rows(stage.url, "SELECT id::text, date_part('epoch', run_at) FROM outbox.notifications"))
    return sum(request.at < due[request.key] + offset - _TICK for request in sink.requests)


def _lost_leases(stage: Stage) -> int:
    ((lost,),) = rows(stage.url, "SELECT count(*) FROM outbox.attempts WHERE outcome = 'lost'")
    return int(lost)
