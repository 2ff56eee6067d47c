"""suspend: pause a schedule, and resume it. What comes due in between is not missed, and is never run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from outbox.steps import Steps

PAUSE = """
UPDATE outbox.schedules s SET paused_at = clock_timestamp()
WHERE s.name = CAST(:name AS text) AND s.paused_at IS NULL
RETURNING s.name
"""

RESUME = """
UPDATE outbox.schedules s
SET paused_at = NULL, next_at = CAST(CAST(:next_at AS text) AS timestamptz), retry_at = NULL, failures = 0,
    problem = NULL
WHERE s.name = CAST(:name AS text) AND s.paused_at IS NOT NULL
RETURNING s.name
"""


def pause(name: str) -> Steps[bool]:
    """Pause a schedule, after the run that is under way; tell whether it was not paused before."""
    return bool((yield PAUSE, {"name": name}))


def resume(name: str, *, next_at: datetime) -> Steps[bool]:
    """Resume a schedule with this occurrence; tell whether it was paused."""
    return bool((yield RESUME, {"name": name, "next_at": next_at.isoformat()}))
