"""A server that has no connection left: for the workers that run, and for those that start."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

import psycopg

import outbox
from tests.chaos.scenario import scenario
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outbox.children import Child
    from tests.chaos.fleet import Fleet
    from tests.chaos.stage import Stage

_MESSAGES = 100
_SPARE = 10  # connections beyond the three of each worker
_PATIENCE = 30.0


class Crowd:
    """Use it as a context manager: other clients of the server, one of which is an application."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._others: list[psycopg.Connection[Any]] = []

    def __enter__(self) -> Self:
        self.application = psycopg.connect(self._url)
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()
        self.application.close()

    def fill(self, *, but: int) -> None:
        """Take every connection that is left, except so many."""
        try:
            while True:
                self._others.append(psycopg.connect(self._url))
        except psycopg.OperationalError:
            for _ in range(but):
                self._others.pop().close()

    def leave(self) -> None:
        """Give all of them back."""
        while self._others:
            self._others.pop().close()


@scenario(37, "other clients hold the connections", own_cluster=True)
def no_connection_left(stage: Stage) -> None:
    restarted = stage.pick(reduced=2, full=20)
    stage.cluster({"max_connections": str(3 * restarted + _SPARE), "superuser_reserved_connections": "0"})
    sink = stage.http_sink()
    fleet = stage.fleet(http=sink, worker={"lease": "2s"})
    with Crowd(stage.url) as crowd:
        if stage.full:
            crowd.fill(but=2)
            _work(stage, crowd, fleet, fleet.start(), left=2)
            stage.exactly([0], "exit code", fleet.stop())
        crowd.fill(but=0)
        _work(stage, crowd, fleet, fleet.start(restarted), left=0)
        stage.exactly([0] * restarted, "exit codes", fleet.stop())
    stage.exactly(0, "sent twice", sink.repeated)
    stage.account()
    stage.ran(
        stage.pick(reduced="", full="two left to a worker, then ") + f"none left to {restarted} workers that start"
    )


def _work(stage: Stage, crowd: Crowd, fleet: Fleet, workers: Sequence[Child], *, left: int) -> None:
    """Let messages wait while there are only so many connections left, then let the others leave."""
    seconds, when = stage.pick(reduced=1.5, full=120.0), f"with {left or 'none'} left"
    drafts = [{"channel": "http", "recipient": "x"}] * _MESSAGES
    stage.ledger.acknowledge(result.id for result in outbox.enqueue_many(crowd.application, drafts))
    crowd.application.commit()
    stage.say(when)
    # The first try of each is no reconnection, and tells when it has come so far.
    wait_until(
        lambda: all(_tries(worker) or "serves" in worker.log.read_text() for worker in workers), timeout=_PATIENCE
    )
    before, began = sum(map(_tries, workers)), time.monotonic()
    time.sleep(seconds)
    tries = (sum(map(_tries, workers)) - before) / (time.monotonic() - began)
    stage.exactly([], f"workers that ended, {when}", [child.name for child in fleet.ended()])
    # Reduced, all of it lies in the first seconds, when they are the most hopeful.
    stage.at_most(stage.pick(reduced=12, full=5), f"tries a second, {when}", tries)
    crowd.leave()
    began = time.monotonic()
    for worker in workers:
        fleet.wait_until_ready(worker)
    stage.settle(timeout=_PATIENCE)
    stage.at_most(5, f"all served and sent after it, {when}", time.monotonic() - began, " s")


def _tries(worker: Child) -> int:
    return worker.log.read_text().count(" away, next try in ")
