"""What those share who enqueue, claim and opt out at the same time, until a test has seen enough."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Scene:
    """What all of them share."""

    url: str
    stop: threading.Event = field(default_factory=threading.Event)
    adding: threading.Event = field(default_factory=threading.Event)
    """Set when the opting out begins."""
    enqueued: Counter[str] = field(default_factory=Counter)
    sent: list[tuple[str, float]] = field(default_factory=list)
    """To whom, and when the claim was asked for."""
    errors: list[Exception] = field(default_factory=list)

    def until_stopped(self, do: Callable[[], None]) -> None:
        """Do it again and again; an error stops all of them."""
        try:
            while not self.stop.is_set():
                do()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
            self.errors.append(error)
            self.stop.set()
