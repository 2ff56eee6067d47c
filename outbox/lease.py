"""lease: one notification in a worker's hands, and until when it may trust that nobody else has it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from outbox.outcomes import Outcome
    from outbox.queue.claim import Claimed


@dataclass(slots=True, eq=False)
class Lease:
    """One notification in hand. Times are `time.monotonic()`."""

    claimed: Claimed
    claimed_at: float
    """When its claim was sent off."""
    deadline: float
    """Until when a send may begin: it is ours, as far as this clock can tell."""
    place: str | None = None
    """Where its row lies, as far as we know."""
    channel: str = ""
    begun: bool = False
    """Whether its delivery has begun: from then on only an outcome ends it."""
    over_rate: float = 0.0
    """Seconds until its recipient may be sent another, where there is such a rate; `math.inf` is never."""
    kept_back: Outcome | None = None
    """What is to become of it instead, where the throttle of its topic does not let it through."""
    trace: str | None = None
    """The trace that its delivery was a span of, if that is recorded."""

    def is_held(self) -> bool:
        """Tell whether a send may begin."""
        return time.monotonic() < self.deadline
