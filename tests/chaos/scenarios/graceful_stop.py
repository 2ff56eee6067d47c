"""Workers that are told to stop while they send."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.chaos.http_sink import Slowly
from tests.chaos.scenario import scenario
from tests.hands import rows

if TYPE_CHECKING:
    from outbox.children import Child
    from tests.chaos.stage import Stage

_GRACE = 10.0
_LEFT = """
SELECT count(*) FROM outbox.queue q
WHERE q.worker IS NOT NULL AND NOT EXISTS (SELECT FROM outbox.workers w WHERE w.id = q.worker)
"""
_BURNT = "SELECT count(*) FROM outbox.attempts WHERE attempt > 1 OR outcome <> 'sent'"


@scenario(22, "workers are told to stop under load")
def graceful_stop(stage: Stage) -> None:
    rate = stage.pick(reduced=200, full=1_000)
    stops = stage.pick(reduced=2, full=100)
    sink = stage.http_sink(idempotent=False)
    sink.behave = lambda _: Slowly(after=stage.random.choice((0.0, 0.0, 0.0, 0.02, 0.2)))
    fleet = stage.fleet(http=sink, worker={"grace": _GRACE, "lease": "3s", "concurrency": 100})
    fleet.start(3, ready=True)
    longest, codes, left = 0.0, set[int](), 0
    with stage.application(rate=rate, channels={"http": 1}) as application:
        for number in range(1, stops + 1):
            time.sleep(0.5)
            victim = fleet.live[stage.random.choice((0, 1))]
            fleet.wait_until_ready(victim)
            took, code = _stop(victim)
            fleet.live.remove(victim)
            if number < stops:
                fleet.start()
            longest, codes = max(longest, took), codes | {code}
            left += int(rows(stage.url, _LEFT)[0][0])
            stage.say(f"stop {number} of {stops}, {application.enqueued:,} orders")
        application.finish()
    stage.settle(timeout=60)
    fleet.stop()
    audit = stage.account(orders=True)
    stage.exactly(0, "copies", audit.copies)
    stage.exactly({0}, "exit codes", codes)
    stage.at_most(_GRACE + 2, "the slowest stop", longest, " s")
    stage.exactly(0, "rows left leased by who had gone", left)
    stage.exactly(0, "attempts used, or ended otherwise than sent", rows(stage.url, _BURNT)[0][0])
    stage.ran(f"{stops} stops, {application} ({rate:,} asked for), grace {_GRACE:g} s")


def _stop(child: Child) -> tuple[float, int]:
    began = time.monotonic()
    child.process.terminate()
    code = child.process.wait(60)
    return time.monotonic() - began, code
