"""Messages that kill whoever sends them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.chaos.http_sink import Reply, Silence
from tests.chaos.scenario import scenario
from tests.hands import enqueue, rows
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.chaos.fleet import Fleet
    from tests.chaos.stage import Stage

_DEATHS = 3
_SUSPECT = 2  # from so many losses on, nothing else that may be the killer is in hand beside it
_MEMORY = 2_000_000_000
_LETTERS = "SELECT notification_id, reason FROM outbox.dead_letters"
_LOST = """
SELECT n.recipient LIKE 'user%', count(*) FILTER (WHERE a.outcome = 'lost')
FROM outbox.notifications n LEFT JOIN outbox.attempts a ON a.notification_id = n.id
GROUP BY n.id, n.recipient
"""


@scenario(12, "some messages kill their worker")
def poison(stage: Stage) -> None:
    good = stage.pick(reduced=200, full=10_000)
    kinds = stage.pick(reduced=("segfault", "loop"), full=("exit", "segfault", "oom", "memory", "loop") * 2)
    lease = stage.pick(reduced=1.0, full=2.0)
    sink = stage.http_sink(idempotent=False)
    stage.ledger.acknowledge(enqueue(stage.url, good, channel="http"))
    for number, kind in enumerate(kinds):
        stage.ledger.acknowledge(enqueue(stage.url, 1, channel="http", recipient=f"{kind}@{number}", priority="urgent"))
    fleet = stage.fleet(
        http=sink,
        worker={"lease": lease, "concurrency": 20},
        policy={
            "max_lost": _DEATHS,
            "max_attempts": _DEATHS,
            "backoff": ["100ms"],
            "timeout": stage.pick(reduced="1s", full="5s"),
        },
        provider={"memory": _MEMORY, "took": 0.005},
    )
    fleet.start(2)
    deaths = _keep_two_alive(stage, fleet, timeout=240)
    fleet.stop()
    stage.account()
    lost = rows(stage.url, _LOST)
    of_poison = [count for is_good, count in lost if not is_good]
    of_good = [count for is_good, count in lost if is_good]
    delivered = rows(stage.url, "SELECT count(*) FROM outbox.status WHERE state = 'sent' AND recipient LIKE 'user%'")
    stage.exactly(good, "good messages delivered", delivered[0][0])
    stage.exactly(len(kinds), "killers that are dead letters", len(rows(stage.url, _LETTERS)))
    stage.at_most(_DEATHS, "deaths a killer", max(of_poison))
    stage.at_most(_SUSPECT, "times that a good message was lost beside a killer", max(of_good))
    stage.note(f"{sum(count > 0 for count in of_good)} good messages were lost at least once; {deaths} workers died")
    stage.ran(f"{len(kinds)} killers ({', '.join(sorted(set(kinds)))}) among {good:,}, lease {lease:g} s")


def _keep_two_alive(stage: Stage, fleet: Fleet, timeout: float) -> int:
    """Start a worker for each that died, until nothing is left to do; return how many died."""
    deaths = 0
    deadline = time.monotonic() + timeout
    while stage.unsettled() and time.monotonic() < deadline:
        gone = len(fleet.ended())
        fleet.start(gone)
        deaths += gone
        stage.say(f"{deaths} workers died, {stage.unsettled():,} left")
        time.sleep(0.1)
    return deaths


@scenario(13, "workers are killed during what is the last chance of all that they send")
def last_chances(stage: Stage) -> None:
    count = stage.pick(reduced=30, full=200)
    lease = stage.pick(reduced=2.0, full=5.0)
    sink = stage.http_sink(idempotent=False)
    sink.behave = lambda request: Reply(503) if request.number == 1 else Silence()
    stage.ledger.acknowledge(enqueue(stage.url, count, channel="http"))
    fleet = stage.fleet(
        http=sink,
        worker={"lease": lease, "concurrency": count, "prefetch": 2 * count},
        policy={"max_lost": 2, "max_attempts": 2, "backoff": ["50ms"]},
        provider={"timeout": 600},
    )
    for chance in (1, 2):
        (victim,) = fleet.start(ready=True)
        wanted = (chance + 1) * count  # one was refused, the others hang
        wait_until(lambda wanted=wanted: len(sink.requests) >= wanted, timeout=30)  # type: ignore[misc]
        fleet.kill(victim)
    fleet.start(ready=True)
    took = stage.settle(timeout=10 * lease)
    fleet.stop()
    stage.account()
    reasons = [reason for _, reason in rows(stage.url, _LETTERS)]
    stage.exactly(count, "dead letters with the reason poison", reasons.count("poison"))
    stage.exactly(0, "left in the queue", stage.unsettled())
    stage.at_most(2 * lease, "all ended, once there was another worker, within", took, " s")
    stage.ran(f"{count} messages, each on its last attempt and its last death; lease {lease:g} s")
