"""tether: what binds a worker process to the supervisor that started it. When it breaks, the worker stops.

It is the process's standard input, one end of a pair of sockets. Down comes the word to stop; up go two words of the
worker's. The end of it is the word to stop as well: then the supervisor is gone, even if it was killed.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

SERVING = b"s"
"""The worker has registered, and begins to claim."""
DONE = b"d"
"""The worker has come to the end of its own accord; its exit code says how it went."""
OVERTIME = 30.0
"""Seconds: by so long after the grace the slowest stop is over, and what is still there is stuck."""


class Tether:
    """The worker's end."""

    def __init__(self) -> None:
        # Whatever a provider may start inherits the standard input: it must not read our orders from there.
        self._descriptor = os.dup(0)
        with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a descriptor is what is needed
            os.dup2(nothing.fileno(), 0)

    def say(self, word: bytes) -> None:
        """Tell the supervisor, if it is still there."""
        with contextlib.suppress(OSError):
            os.write(self._descriptor, word)

    def watch(self, loop: asyncio.AbstractEventLoop, stop: Callable[[str], None], *, grace: float) -> None:
        """Have `stop` called with the reason in `loop`, when it is time; a loop that is blocked is not waited for.

        In a thread, because only a thread notices while the loop is blocked: nobody is left to kill us then.
        """
        threading.Thread(target=self._watch, args=(loop, stop, grace), name="outbox tether", daemon=True).start()

    def _watch(self, loop: asyncio.AbstractEventLoop, stop: Callable[[str], None], grace: float) -> None:
        try:
            reason = os.read(self._descriptor, 100).decode() or "its supervisor is gone"
        except OSError:
            reason = "its supervisor is gone"
        with contextlib.suppress(RuntimeError):  # the loop has ended, and soon the process will
            loop.call_soon_threadsafe(stop, reason)
        time.sleep(grace + OVERTIME)
        os._exit(1)
