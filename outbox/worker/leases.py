"""What the worker has in hand, and until when it may trust that nobody else has."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from outbox.queue.claim import Claimed


@dataclass(slots=True)
class Lease:
    """One notification in hand."""

    claimed: Claimed
    claimed_at: float
    deadline: float


class Leases:
    """The leases of one worker, by notification. Written by the event loop, renewed by the lifeline's thread.

    Deadlines are `time.monotonic()`, counted from before the statement that took the lease: so ours always end first,
    and the database's clock is never compared with this machine's.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._held: dict[UUID, Lease] = {}

    def __len__(self) -> int:
        return len(self._held)

    def take(self, claimed: Iterable[Claimed], asked_at: float) -> list[Lease]:
        """Note what a claim that was sent off at `asked_at` brought."""
        leases = [Lease(one, asked_at, asked_at + self.seconds) for one in claimed]
        for lease in leases:
            self._held[lease.claimed.id] = lease
        return leases

    def drop(self, identities: Iterable[UUID]) -> None:
        """Forget what is settled or given back."""
        for identity in identities:
            self._held.pop(identity, None)

    def is_held(self, lease: Lease) -> bool:
        """Tell whether a send may begin: the lease is ours, as far as this clock can tell."""
        return self._held.get(lease.claimed.id) is lease and time.monotonic() < lease.deadline

    def tokens(self) -> dict[UUID, int]:
        """Return id → claim of all in hand; safe to call from another thread (`dict.copy` is atomic)."""
        return {identity: lease.claimed.claim for identity, lease in self._held.copy().items()}

    def renewed(self, identities: Iterable[UUID], asked_at: float) -> None:
        """Move the deadlines of what was renewed by a statement sent off at `asked_at`."""
        for identity in identities:
            lease = self._held.get(identity)
            if lease is not None:
                lease.deadline = asked_at + self.seconds

    def expire(self, identities: Iterable[UUID]) -> None:
        """Trust these leases no more: what was not sent yet will not be sent by us."""
        for identity in identities:
            lease = self._held.get(identity)
            if lease is not None:
                lease.deadline = 0.0
