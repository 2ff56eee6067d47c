"""telling: when a worker says what it knows of itself: with each heartbeat, and between two if that is new."""

from __future__ import annotations

import json
import random
import time
from typing import TYPE_CHECKING, Any

from outbox.queue import attend, sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from outbox.reports import Report
    from outbox.worker.reporting import Reporting

EVERY = 5.0
"""Seconds between two looks whether there is something new: whoever watches a fleet sees it so soon."""
_MINUTE = 60.0
_SPREAD = 1.0  # so that not all workers add to the history in the same moment


class Telling:
    """One worker's, on the connection of its lifeline, in its thread."""

    def __init__(
        self, reporting: Reporting, worker: int, channels: Sequence[str], providers: Sequence[str] = ()
    ) -> None:
        self._reporting = reporting
        self._worker = worker
        self._channels = channels
        self._providers = providers
        self._told: dict[str, Any] | None = None
        self._minute = _minute()
        self._put_off()
        self.listening: bool | None = None

    def heartbeat(self, conn: Connection[Any]) -> None:
        """Say that the worker is alive, and what it knows."""
        self._tell(conn, self._reporting.report(listening=self.listening))

    def look(self, conn: Connection[Any]) -> None:
        """Say what has changed since it was said last; add a minute that is over to the history."""
        self._put_off()
        report = self._reporting.report(listening=self.listening)
        if _lasting(report) != self._told:
            self._tell(conn, report)
        if _minute() != self._minute:
            self.sample(conn)

    def sample(self, conn: Connection[Any]) -> None:
        """Add what was not added yet to the history."""
        samples, mark = self._reporting.samples()
        if samples:
            sample.add(conn, samples)
            self._reporting.sampled(mark)
        self._minute = _minute()

    def _tell(self, conn: Connection[Any], report: Report) -> None:
        attend.heartbeat(conn, self._worker, self._channels, self._providers, json.dumps(report.to_json()))
        self._told = _lasting(report)

    def _put_off(self) -> None:
        to_the_next = _MINUTE - time.time() % _MINUTE
        self.due = time.monotonic() + min(EVERY, to_the_next + random.uniform(0, _SPREAD))


def _minute() -> int:
    return int(time.time() // _MINUTE)


def _lasting(report: Report) -> dict[str, Any]:
    """Return what of a report does not change by itself."""
    told = report.to_json()
    del told["clock"], told["window"]
    return told
