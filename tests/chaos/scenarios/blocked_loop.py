"""Providers that block the whole process they run in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos.http_sink import Slowly
from tests.chaos.scenario import scenario
from tests.hands import enqueue, rows
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.chaos.stage import Stage

_WARNING = "the event loop stood still for "
_LOST = "SELECT count(*) FROM outbox.attempts WHERE outcome = 'lost'"


@scenario(21, "a provider blocks its worker's event loop for three leases")
def blocked_loop(stage: Stage) -> None:
    blocks = stage.pick(reduced=1, full=10)
    lease = stage.pick(reduced=2.0, full=5.0)
    beside = stage.pick(reduced=100, full=1_000)
    sink = stage.http_sink(idempotent=False)
    sink.behave = lambda _: Slowly(after=0.1)
    fleet = stage.fleet(http=sink, worker={"lease": lease, "concurrency": 40}, provider={"timeout": 10 * lease})
    fleet.start(2, ready=True)
    for number in range(1, blocks + 1):
        stage.say(f"block {number} of {blocks}")
        stage.ledger.acknowledge(enqueue(stage.url, beside, channel="http"))
        recipient = f"block@{3 * lease}"
        stage.ledger.acknowledge(enqueue(stage.url, channel="http", recipient=recipient, priority="urgent"))
        wait_until(lambda: stage.unsettled() == 0, timeout=20 * lease)
    logs = [child.log for child in fleet.live]
    stage.exactly([0, 0], "exit codes", fleet.stop())
    warnings = sum(log.read_text().count(_WARNING) for log in logs)
    stage.at_least(blocks, "warnings that the loop stood still", warnings)
    audit = stage.account()
    stage.exactly(0, "leases lost", rows(stage.url, _LOST)[0][0])
    stage.exactly(0, "copies", audit.copies)
    stage.ran(f"{blocks} blocks of {3 * lease:g} s, each with {beside:,} others to send; lease {lease:g} s")
