"""Providers that are down for a while, or that say when to come back."""

from __future__ import annotations

import time
from email.utils import formatdate
from statistics import quantiles
from typing import TYPE_CHECKING

from tests.chaos.http_sink import Reply, Silence
from tests.chaos.scenario import scenario
from tests.hands import enqueue, rows
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.http_sink import Act, HttpSink, Request
    from tests.chaos.stage import Stage

_DAY = 24 * 3600.0
_USED = """
SELECT max(used), sum(used) FROM (
    SELECT count(*) FILTER (WHERE outcome IN ('retry', 'dead', 'ambiguous')) AS used
    FROM outbox.attempts JOIN outbox.notifications n ON n.id = notification_id AND n.channel = 'http'
    GROUP BY notification_id
) each
"""
_LETTERS = "SELECT count(*) FROM outbox.dead_letters"
_LATENCIES = """
SELECT date_part('epoch', a.finished_at - n.created_at) FROM outbox.notifications n
JOIN outbox.attempts a ON a.notification_id = n.id AND a.outcome = 'sent'
WHERE n.channel = 'email' AND n.created_at BETWEEN to_timestamp(%s) AND to_timestamp(%s)
"""


@scenario(23, "a provider is down, with a backlog, and comes back")
def provider_outage(stage: Stage) -> None:
    backlog = stage.pick(reduced=200, full=20_000)
    seconds = stage.pick(reduced=1.0, full=60.0)
    down, mail = stage.http_sink(), stage.mail_sink()
    fleet = stage.fleet(http=down, mail=mail, worker={"lease": "30s"}, provider={"timeout": 2})
    fleet.start(2, ready=True)
    with stage.application(rate=50, channels={"email": 1}):
        healthy = _spell(stage, seconds)
        stage.say("the provider refuses connections")
        stage.background.run(down.close())
        stage.ledger.acknowledge(enqueue(stage.url, backlog, channel="http"))
        began = time.time()
        time.sleep(seconds)
        stage.say("it answers 503")
        down.behave = lambda _: Reply(503)
        stage.background.run(down.open())
        time.sleep(seconds)
        stage.say("it says nothing")
        down.behave = lambda _: Silence()
        time.sleep(seconds)
        outage = began, time.time()
        stage.say("it is back")
        down.behave = lambda _: None
    most, total = rows(stage.url, _USED)[0]
    recovery = stage.settle(timeout=60 + 2 * seconds)
    stage.exactly([0, 0], "exit codes", fleet.stop())
    stage.account(silent=False)
    stage.exactly(0, "dead letters for an outage", rows(stage.url, _LETTERS)[0][0])
    stage.at_most(backlog * 1.1, "attempts used during it", float(total or 0))
    before, during = (_p99(stage, *spell) for spell in (healthy, outage))
    if stage.full:
        stage.at_most(1.1 * before, "p99 of the other channel during it", during, " ms")
    stage.note(
        f"at most {most} attempts a message; p99 of the other channel {before:.0f} ms before, {during:.0f} during"
    )
    stage.ran(f"{3 * seconds:.0f} s (refused, 503, silent), {backlog:,} waiting; settled {recovery:.0f} s after")


def _spell(stage: Stage, seconds: float) -> tuple[float, float]:
    stage.say("all is well")
    began = time.time()
    time.sleep(seconds)
    return began, time.time()


def _p99(stage: Stage, began: float, ended: float) -> float:
    latencies = [float(latency) * 1000 for (latency,) in rows(stage.url, _LATENCIES, began, ended)]
    return quantiles(latencies, n=100)[98]


@scenario(24, "a provider says 429, and when to come back")
def told_when(stage: Stage) -> None:
    wait = stage.pick(reduced=2, full=20)
    each = stage.pick(reduced=5, full=100)
    told: dict[str, Callable[[], str | None]] = {
        "seconds": lambda: str(wait),
        "date": lambda: formatdate(time.time() + wait + 1, usegmt=True),  # a date has no fractions
        "negative": lambda: "-5",
        "nonsense": lambda: "soon",
        "nothing": lambda: None,
        "absurd": lambda: "1e12",
        "endless": lambda: "inf",
    }
    sink = stage.http_sink()
    kinds = {
        str(identity): kind
        for kind in told
        for identity in enqueue(stage.url, each, channel="http", recipient=f"{kind}@example.org")
    }
    first: dict[str, float] = {}

    def behave(request: Request) -> Act | None:
        if request.number > 1:
            return None
        first[request.key] = request.at
        value = told[kinds[request.key]]()
        return Reply(429, () if value is None else (("Retry-After", value),))

    sink.behave = behave
    stage.ledger.acknowledge(kinds)
    fleet = stage.fleet(http=sink, worker={"idle_poll": "50ms"})
    fleet.start(2)
    for_ever = 2 * each
    wait_until(lambda: stage.unsettled() == for_ever, timeout=wait + 30)
    stage.exactly([0, 0], "exit codes", fleet.stop())
    waited = _waited(sink, first, kinds)
    ahead = "SELECT min(date_part('epoch', run_at - now())), max(date_part('epoch', run_at - now())) FROM outbox.queue"
    least, most = rows(stage.url, ahead)[0]
    for kind in ("seconds", "date"):
        stage.at_least(wait, f"{kind}: the shortest wait", waited[kind], " s")
    stage.at_least(_DAY - 120, "absurd: the shortest wait", float(least), " s")
    stage.at_most(_DAY, "absurd: the longest wait", float(most), " s")
    stage.exactly(each * 5, "delivered in time", len(stage.ledger.deliveries))
    used = rows(stage.url, "SELECT count(*) FROM outbox.attempts WHERE outcome <> 'sent' AND attempt > 0")[0][0]
    stage.exactly(0, "attempts used by a 429", used)
    stage.ran(f"{each} messages each of {', '.join(told)}; told to wait {wait} s")


def _waited(sink: HttpSink, first: dict[str, float], kinds: dict[str, str]) -> dict[str, float]:
    shortest: dict[str, float] = {}
    for request in sink.requests:
        if request.number > 1:
            kind = kinds[request.key]
            shortest[kind] = min(shortest.get(kind, float("inf")), request.at - first[request.key])
    return shortest
