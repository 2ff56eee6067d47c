"""members: what a supervisor asks of its worker processes, through sockets that they inherit.

A question is a line of text, a number and what is asked for; its answer is a line of JSON with that number and what the
process tells. Whoever does not answer in time is left out, and answers that come too late are thrown away.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def answer(answers: Mapping[str, Callable[[], Any]], descriptor: int) -> None:
    """Answer the supervisor at the other end of `descriptor`, in a thread, until it is gone."""
    os.set_inheritable(descriptor, False)  # noqa: FBT003 - what a provider starts must not hold it open
    threading.Thread(target=_answer, args=(answers, descriptor), name="outbox member", daemon=True).start()


def _answer(answers: Mapping[str, Callable[[], Any]], descriptor: int) -> None:
    with suppress(OSError), open(descriptor, "rb") as questions, open(os.dup(descriptor), "wb") as told:  # noqa: PTH123
        for question in questions:
            number, what = question.split()
            told.write(json.dumps([int(number), answers[what.decode()]()]).encode() + b"\n")
            told.flush()


class Members:
    """The supervisor's ends of the sockets, by the numbers of the places that the processes have."""

    def __init__(self) -> None:
        self._links: dict[int, _Link] = {}
        self._one_at_a_time = threading.Lock()

    def attach(self, number: int) -> socket.socket:
        """Return the end of a new pair of sockets that the process in this place is to inherit."""
        ours, theirs = socket.socketpair()
        before, self._links[number] = self._links.get(number), _Link(ours)
        if before is not None:
            before.close()
        return theirs

    def ask(self, what: str, *, patience: float) -> dict[int, Any]:
        """Ask all of them at once; return what each told within `patience` seconds, and None for one that did not."""
        with self._one_at_a_time:
            limit = time.monotonic() + patience
            links = dict(self._links)
            for link in links.values():
                link.ask(what)
            return {number: link.hear(limit) for number, link in links.items()}


class _Link:
    """Our end of one process's socket."""

    def __init__(self, ours: socket.socket) -> None:
        self._socket = ours
        self._asked = 0
        self._heard = b""

    def ask(self, what: str) -> None:
        self._asked += 1
        with suppress(OSError):
            self._socket.settimeout(0)  # one that has not read its last hundred questions is not waited for
            self._socket.sendall(f"{self._asked} {what}\n".encode())

    def hear(self, limit: float) -> Any:
        """Return the answer to the last question, or None if none has come by `limit` (`time.monotonic()`)."""
        with suppress(OSError):
            while True:
                line, complete, rest = self._heard.partition(b"\n")
                if complete:
                    self._heard = rest
                    asked, told = json.loads(line)
                    if asked == self._asked:  # an earlier one came too late
                        return told
                    continue
                self._socket.settimeout(max(limit - time.monotonic(), 0.001))
                part = self._socket.recv(1 << 20)
                if not part:
                    return None
                self._heard += part
        return None

    def close(self) -> None:
        self._socket.close()
