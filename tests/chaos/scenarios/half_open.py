"""Connections to the database that are alive for TCP, and silent: what a firewall leaves that has forgotten them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.chaos.scenario import scenario
from tests.hands import enqueue
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.chaos.proxy import Proxy
    from tests.chaos.stage import Stage

_EVERY = "outbox "  # what all purposes begin with
_PURPOSES = ("outbox claim", "outbox settle", "outbox lifeline", _EVERY)
_SERVING_AGAIN = 10.0
_PER_WORKER = 4  # claim, settle, lifeline, and one for the moment of a chore


@scenario(11, "connections to the database fall silent, and stay open")
def half_open(stage: Stage) -> None:
    purposes = stage.pick(reduced=(_EVERY,), full=_PURPOSES)
    rounds = stage.pick(reduced=1, full=5)
    workers = stage.pick(reduced=1, full=4)
    lease = stage.pick(reduced=3.0, full=6.0)
    patience = stage.pick(reduced=16.0, full=75.0)
    sink = stage.http_sink(idempotent=False)
    proxy, url = stage.proxy()
    fleet = stage.fleet(url=url, http=sink, worker={"lease": lease, "concurrency": 10}, policy={"max_lost": 100})
    fleet.start(workers, ready=True)
    longest = dict.fromkeys(purposes, 0.0)
    freezes = 0
    for number in range(rounds):
        for purpose in purposes:
            stage.say(f"round {number + 1} of {rounds}: {purpose}")
            took, frozen = _freeze(stage, proxy, purpose, workers, patience)
            longest[purpose] = max(longest[purpose], took)
            freezes += frozen
    stage.settle(timeout=patience)
    connections = len(_alive(stage, proxy, _EVERY))
    stage.background.call(proxy.thaw)
    stage.exactly([0] * workers, "exit codes", fleet.stop())
    audit = stage.account()
    for purpose, seconds in longest.items():
        name = purpose.removeprefix(_EVERY) or "all at once"
        stage.at_most(_SERVING_AGAIN, f"{name}: everything delivered and settled after", seconds, " s")
    stage.exactly(0, "copies", audit.copies)
    stage.at_most(_PER_WORKER * workers, "connections at the end", connections)
    stage.ran(f"{freezes} connections of {workers} workers silenced for ever, lease {lease:g} s")


def _freeze(stage: Stage, proxy: Proxy, purpose: str, workers: int, patience: float) -> tuple[float, int]:
    """Freeze what has this purpose; return the seconds until what is enqueued then has ended, and how many were frozen.

    New connections work: that is how a worker gets out of it.
    """
    wait_until(lambda: len(_alive(stage, proxy, purpose)) >= workers, patience)
    frozen = stage.background.call(lambda: proxy.freeze(purpose))
    began = time.monotonic()
    stage.ledger.acknowledge(enqueue(stage.url, 20 * workers, channel="http"))
    if purpose == "outbox lifeline":  # sends go on without it, but not for longer than a lease
        wait_until(lambda: len(_alive(stage, proxy, purpose)) >= workers, patience)
    stage.settle(patience)
    return time.monotonic() - began, frozen


def _alive(stage: Stage, proxy: Proxy, purpose: str) -> list[str]:
    def purposes() -> list[str]:
        return [link.purpose for link in proxy.links if link.purpose.startswith(purpose) and not link.frozen]

    return stage.background.call(purposes)
