"""What the engine tells of pauses, beside what `outbox.events` has, which names them among its events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Paused:
    """A worker has learned that somebody (`by`) paused a channel or a provider, or paused it otherwise than before.

    `scope` is `channel` or `provider`; it ends by itself in `left` seconds, unless that is None.
    """

    scope: str
    name: str
    by: str
    reason: str | None
    left: float | None


@dataclass(frozen=True, slots=True)
class Resumed:
    """A worker has learned that a pause is over: somebody ended it, or its time had come."""

    scope: str
    name: str


PauseEvent: TypeAlias = Paused | Resumed
