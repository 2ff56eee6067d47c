"""Two processes that talk in lines of JSON over a pair of pipes: one asks, the other does and answers."""

from __future__ import annotations

import contextlib
import json
import os
import select
import time
from typing import TYPE_CHECKING, Any

from outbox.bench.trouble import BenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outbox.children import Child, Children

_PART = 65_536
_LOOK_EVERY = 0.25


class Helper:
    """A process of ours, as who asks it sees it. What it is told, a password say, is on no command line."""

    def __init__(self, children: Children, name: str, module: str) -> None:
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        try:
            descriptors = (theirs_in, theirs_out)
            self.child: Child = children.start(name, module, [str(each) for each in descriptors], descriptors)
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        self._unread = b""

    def ask(self, **what: Any) -> None:
        """Say what to do."""
        try:
            os.write(self._out, json.dumps(what).encode() + b"\n")
        except BrokenPipeError:
            self.child.process.wait()
            self.child.check()

    def answer(self, limit: float) -> dict[str, Any]:
        """Return what it says next.

        Raises:
            BenchError: it says nothing within `limit` seconds, or what went wrong.
            ChildFailed: it ended instead.
        """
        deadline = time.monotonic() + limit
        while b"\n" not in self._unread:
            if time.monotonic() > deadline:
                raise BenchError(f"{self.child.name} gave no answer within {limit:g} s; {self.child.last_words()}")
            if select.select([self._in], [], [], _LOOK_EVERY)[0]:
                part = os.read(self._in, _PART)
                if not part:
                    self.child.process.wait()
                    raise BenchError(f"{self.child.name} ended before it answered; {self.child.last_words()}")
                self._unread += part
        line, _, self._unread = self._unread.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BenchError(f"{self.child.name}: {answer['error']}")
        return answer

    def close(self) -> None:
        """Say that there is nothing more to do; then it ends by itself."""
        for descriptor in (self._out, self._in):
            with contextlib.suppress(OSError):
                os.close(descriptor)


class Asker:
    """Who asks, as the process that is asked sees it."""

    def __init__(self, arguments: Sequence[str]) -> None:
        there, back = map(int, arguments)
        self._in = os.fdopen(there, encoding="utf-8")
        self._out = os.fdopen(back, "w", encoding="utf-8")

    def hear(self) -> dict[str, Any] | None:
        """Return what is to be done; None when that is nothing more."""
        line = self._in.readline()
        return json.loads(line) if line else None

    def say(self, **what: Any) -> None:
        """Answer."""
        self._out.write(json.dumps(what) + "\n")
        self._out.flush()
