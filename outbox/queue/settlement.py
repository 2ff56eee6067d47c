"""What is to be written about one claim: for `settle`, and for `deposit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from outbox.outcomes import Outcome


class Settlement(NamedTuple):
    """What is to be written about one claim. Times are `time.monotonic()` of this process."""

    key: str
    """The notification's id, as text."""
    claim: int
    attempt: int
    """Deliveries tried before this claim."""
    outcome: Outcome
    started: float
    finished: float
    place: str | None = None
    """Where its row lay when it was claimed, if nothing of ours moved it since."""
