"""members: the metrics of worker processes, asked for by their supervisor, which serves them all on one port.

Each process is asked through a socket that it inherits: a line with a number is the question; the answer is a line of
JSON with that number and what the process has counted. No series is added up here: `process` is a label, so that one
that dies and is replaced begins again from 0 by itself, as Prometheus expects of a counter.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from prometheus_client import Metric
from prometheus_client.samples import Exemplar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client import CollectorRegistry

_PATIENCE = 2.0  # seconds for all: Prometheus gives up after 10


def answer(registry: CollectorRegistry, descriptor: int) -> None:
    """Answer the supervisor at the other end of `descriptor`, in a thread, until it is gone."""
    os.set_inheritable(descriptor, False)  # noqa: FBT003 - what a provider starts must not hold it open
    threading.Thread(target=_answer, args=(registry, descriptor), name="outbox metrics", daemon=True).start()


def _answer(registry: CollectorRegistry, descriptor: int) -> None:
    with suppress(OSError), open(descriptor, "rb") as questions, open(os.dup(descriptor), "wb") as answers:  # noqa: PTH123
        for question in questions:
            answers.write(json.dumps([int(question), _told(registry.collect())]).encode() + b"\n")
            answers.flush()


def _told(metrics: Iterable[Metric]) -> list[Any]:
    return [
        [
            metric.name,
            metric.documentation,
            metric.type,
            [[each.name, each.labels, each.value, each.exemplar] for each in metric.samples],
        ]
        for metric in metrics
    ]


class Members:
    """A collector of what all processes have counted; a process that does not answer in time is left out."""

    def __init__(self, own: CollectorRegistry) -> None:
        """`own` is what the supervisor itself has counted; it comes as the process `supervisor`."""
        self._own = own
        self._links: dict[int, _Link] = {}
        self._one_at_a_time = threading.Lock()

    def attach(self, number: int) -> socket.socket:
        """Return the end of a new pair of sockets that the process in this place is to inherit."""
        ours, theirs = socket.socketpair()
        before, self._links[number] = self._links.get(number), _Link(ours)
        if before is not None:
            before.close()
        return theirs

    def collect(self) -> Iterator[Metric]:
        """Yield every metric once, with a sample for each process."""
        merged: dict[str, Metric] = {}
        _merge(merged, _told(self._own.collect()), "supervisor")
        up = Metric("outbox_process_up", "Whether a worker process answers.", "gauge")
        with self._one_at_a_time:
            limit = time.monotonic() + _PATIENCE
            links = dict(self._links)
            for link in links.values():
                link.ask()
            for number, link in links.items():
                told = link.hear(limit)
                up.add_sample(up.name, {"process": str(number)}, float(told is not None))
                _merge(merged, told or [], str(number))
        yield from merged.values()
        yield up


def _merge(merged: dict[str, Metric], told: list[Any], process: str) -> None:
    for name, documentation, kind, samples in told:
        metric = merged.setdefault(name, Metric(name, documentation, kind))
        for sample, labels, value, exemplar in samples:
            told_of = None if exemplar is None else Exemplar(*exemplar)
            metric.add_sample(sample, {**labels, "process": process}, value, exemplar=told_of)


class _Link:
    """Our end of one process's socket."""

    def __init__(self, ours: socket.socket) -> None:
        self._socket = ours
        self._asked = 0
        self._heard = b""

    def ask(self) -> None:
        self._asked += 1
        with suppress(OSError):
            self._socket.settimeout(0)  # one that has not read its last hundred questions is not waited for
            self._socket.sendall(b"%d\n" % self._asked)

    def hear(self, limit: float) -> list[Any] | None:
        """Return the answer to the last question, or None if none has come by `limit` (`time.monotonic()`)."""
        with suppress(OSError):
            while True:
                line, complete, rest = self._heard.partition(b"\n")
                if complete:
                    self._heard = rest
                    asked, told = json.loads(line)
                    if asked == self._asked:  # an earlier one came too late
                        return list(told)
                    continue
                self._socket.settimeout(max(limit - time.monotonic(), 0.001))
                part = self._socket.recv(1 << 20)
                if not part:
                    return None
                self._heard += part
        return None

    def close(self) -> None:
        self._socket.close()
