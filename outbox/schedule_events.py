"""What the engine tells of schedules, beside what `outbox.events` has, which names them among its events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class ScheduleRan:
    """An occurrence of a schedule enqueued so many notifications in `seconds`, `late` seconds after it was due."""

    schedule: str
    occurrence: datetime
    enqueued: int
    seconds: float
    late: float


@dataclass(frozen=True, slots=True)
class ScheduleSkipped:
    """Occurrences of a schedule were missed, the last of them at `occurrence`, and are not made up for."""

    schedule: str
    occurrence: datetime
    next_at: datetime


@dataclass(frozen=True, slots=True)
class ScheduleFailed:
    """An occurrence of a schedule could not be run, and left nothing behind; it is tried again in `pause` seconds."""

    schedule: str
    occurrence: datetime
    problem: str
    pause: float


ScheduleEvent: TypeAlias = ScheduleRan | ScheduleSkipped | ScheduleFailed
