"""A database that is killed under load."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.chaos.scenario import scenario
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.chaos.application import Application
    from tests.chaos.stage import Stage

_RECOVERY = 5.0


@scenario(4, "PostgreSQL is killed over and over", own_cluster=True)
def crashed_database(stage: Stage) -> None:
    rate = stage.pick(reduced=100, full=500)
    seconds = stage.pick(reduced=0.5, full=600.0)
    up = stage.pick(reduced=(0.8, 0.8), full=(20.0, 40.0))
    down = stage.pick(reduced=(0.2, 0.2), full=(0.0, 2.0))
    lease = stage.pick(reduced=1.0, full=5.0)
    cluster = stage.cluster()
    sink = stage.http_sink()
    fleet = stage.fleet(http=sink, worker={"lease": lease}, policy={"max_lost": 100})
    fleet.start(2, ready=True)
    shares: list[float] = []
    with stage.watched_sessions(), stage.application(rate=rate, channels={"http": 1}) as application:
        back = began = time.monotonic()
        while back - began < seconds:
            time.sleep(max(back + stage.random.uniform(*up) - time.monotonic(), 0))
            cluster.kill()
            time.sleep(stage.random.uniform(*down))
            back = cluster.start()
            stage.say(f"{len(shares) + 1} crashes, {application.enqueued:,} orders")
            shares.append(_share_after(stage, back, application))
        application.finish()
        took = time.monotonic() - began
    stage.settle(timeout=6 * lease + 10)
    stage.exactly([], "workers that exited", [child.name for child in fleet.ended()])
    stage.exactly([0, 0], "exit codes", fleet.stop())
    audit = stage.account(orders=True)
    stage.at_least(0.95, f"deliveries ÷ orders, {_RECOVERY:g} s after the server accepts connections", min(shares))
    stage.exactly(0, "copies at a provider with keys", audit.copies)
    stage.note(f"{audit.uncertain} commits of which the application never heard")
    stage.ran(f"{took:.0f} s, {application} ({rate:,} asked for), {len(shares)} crashes, lease {lease:g} s")


def _share_after(stage: Stage, back: float, application: Application) -> float:
    """Return deliveries ÷ orders taken in a window that begins `_RECOVERY` seconds after the server is back.

    Reduced, there is no time for that: the first delivery after the crash has to come in time.
    """
    delivered = stage.ledger.deliveries
    before = len(delivered)
    if not stage.full:
        wait_until(lambda: len(delivered) > before, timeout=15)
        return 1.0 if time.monotonic() - back <= _RECOVERY else 0.0
    time.sleep(max(back + _RECOVERY - time.monotonic(), 0))
    before, taken = len(delivered), application.enqueued
    time.sleep(_RECOVERY)
    return (len(delivered) - before) / max(application.enqueued - taken, 1)
