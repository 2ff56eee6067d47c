"""Looks from second to second in a thread of its own, so that nothing that the database does stops a key."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import psycopg

from outbox.database import describe
from outbox.errors import OutboxError, clean
from outbox.terminal.top.eyes import Eyes

if TYPE_CHECKING:
    from collections.abc import Callable

    from outbox.terminal.top.scene import Scene

_PATIENCE = 2.0
_LONGEST = 160


class Watcher:
    """Tells of every look what was seen, or why nothing was; after that it tries again, for ever."""

    def __init__(
        self, url: str, interval: float, *, seen: Callable[[Scene], object], lost: Callable[[str], object]
    ) -> None:
        self._eyes = Eyes(url)
        self._interval = interval
        self._seen = seen
        self._lost = lost
        self._wake = threading.Event()
        self._stopped = False
        # A daemon: who leaves does not wait for a database that does not answer.
        self._thread = threading.Thread(target=self._watch, name="outbox top", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def look_now(self) -> None:
        """Look without waiting for the next turn."""
        self._wake.set()

    def stop(self) -> None:
        """Look no more, and close the connections, unless the database does not answer."""
        self._stopped = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(_PATIENCE)

    def _watch(self) -> None:
        while not self._stopped:
            self._wake.clear()
            try:
                scene = self._eyes.look()
            except (psycopg.Error, OutboxError, OSError) as error:
                self._tell(self._lost, sentence(error))
            else:
                self._tell(self._seen, scene)
            self._wake.wait(self._interval)
        self._eyes.close()

    def _tell(self, whom: Callable[..., object], what: object) -> None:
        if not self._stopped:
            whom(what)


def sentence(error: BaseException) -> str:
    """Return what is the matter, in a line."""
    if isinstance(error, OutboxError):
        return str(error)
    if isinstance(error, OSError) or (isinstance(error, psycopg.OperationalError) and error.sqlstate is None):
        return f"the database cannot be reached: {clean(str(error), _LONGEST)}"
    return f"the database said no: {describe(error)}"
