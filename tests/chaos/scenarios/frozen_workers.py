"""Workers that stand still without knowing it: stopped by a signal, or by a provider that blocks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.chaos.http_sink import Reply, Slowly
from tests.chaos.scenario import scenario
from tests.hands import enqueue, rows
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.http_sink import Act, Request
    from tests.chaos.stage import Stage

_CONCURRENCY = 20

_SENT = "SELECT count(*) FROM outbox.attempts WHERE outcome = 'sent'"
_DEAD_AND_DELIVERED = "SELECT notification_id::text FROM outbox.dead_letters"


@scenario(5, "a worker is frozen in the middle of its sends, and wakes when its leases are over")
def frozen_workers(stage: Stage) -> None:
    freezes = stage.pick(reduced=1, full=50)
    lease = 1.0
    sink = stage.http_sink(idempotent=False)
    sink.behave = _answer(stage)
    how = {"lease": lease, "concurrency": _CONCURRENCY, "idle_poll": "50ms"}
    fleet = stage.fleet(http=sink, worker=how, policy={"max_lost": 100, "backoff": ["200ms"]})
    fleet.start(2, ready=True)
    in_flight = begun_late = 0
    for number in range(1, freezes + 1):
        stage.ledger.acknowledge(enqueue(stage.url, 200, channel="http"))
        victim = stage.random.choice(fleet.live)
        seen = len(sink.requests)
        wait_until(lambda seen=seen: len(sink.requests) >= seen + 60)  # type: ignore[misc]
        fleet.freeze(victim)
        in_flight += min(_held_by(stage.url, victim.pid), _CONCURRENCY)  # others are held ahead
        time.sleep(4 * lease)
        wait_until(lambda: stage.unsettled() == 0, timeout=30)
        asked = {request.key for request in sink.requests}
        fleet.thaw(victim)
        woken = time.monotonic()
        stage.say(f"freeze {number} of {freezes}")
        time.sleep(0.5)
        late = (request for request in sink.requests if request.begun > woken and request.worker == victim.pid)
        begun_late += sum(request.key in asked for request in late)
    stage.settle(timeout=30)
    stage.exactly([0, 0], "exit codes", fleet.stop())
    audit = stage.account()
    dead = {identity for (identity,) in rows(stage.url, _DEAD_AND_DELIVERED)}
    deliveries = sum(stage.ledger.deliveries.values())
    stage.exactly(0, "stale verdicts applied (dead, though delivered)", len(dead & set(stage.ledger.deliveries)))
    stage.exactly(deliveries, "acceptances on record", rows(stage.url, _SENT)[0][0])
    stage.at_most(in_flight, "copies (as many were on their way)", audit.copies)
    stage.exactly(0, "sends begun after waking with a lease that was over", begun_late)
    stage.ran(f"{freezes} freezes of {4 * lease:g} s, lease {lease:g} s, {_CONCURRENCY} sends at a time")


def _answer(stage: Stage) -> Callable[[Request], Act]:
    """Of the first requests, a fifth is refused for good and a fifth for now: as stale verdicts they must not count."""
    fates = (Reply(), Reply(), Reply(), Reply(400), Reply(503))

    def behave(request: Request) -> Act:
        reply = stage.random.choice(fates) if request.number == 1 else Reply()
        return Slowly(reply, after=0.1)

    return behave


def _held_by(url: str, pid: int) -> int:
    query = "SELECT count(*) FROM outbox.queue q JOIN outbox.workers w ON w.id = q.worker WHERE w.pid = %s"
    return int(rows(url, query, pid)[0][0])
