"""unschedule: remove a schedule, and the record of its runs. What it enqueued stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from outbox.steps import Steps

REMOVE = "DELETE FROM outbox.schedules s WHERE s.name = CAST(:name AS text) RETURNING s.name"


def unschedule(name: str) -> Steps[bool]:
    """Remove a schedule, after the run that is under way; tell whether it was there."""
    return bool((yield REMOVE, {"name": name}))
