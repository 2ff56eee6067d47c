"""What the worker has in hand, and until when it may trust that nobody else has."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from outbox.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from outbox.queue.claim import Claimed


class Asked(NamedTuple):
    """A claim under way."""

    channel: str
    levels: Sequence[int]
    at: float


class Leases:
    """The leases of one worker, by notification. Written by the event loop, renewed by the lifeline's thread.

    Deadlines are `time.monotonic()`, counted from before the statement that took the lease: so ours always end first,
    and the database's clock is never compared with this machine's.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._held: dict[str, Lease] = {}  # by key: the hash of a text is made once, that of a UUID each time
        self._asked: dict[str, Asked] = {}
        self._unheard: tuple[Mapping[UUID, int], float] = {}, 0.0  # what was renewed and is in no hand yet, and when

    def __len__(self) -> int:
        return len(self._held)

    def ask(self, channel: str, levels: Sequence[int]) -> float:
        """Note that a claim is sent off now; return when that is."""
        self._asked[channel] = asked = Asked(channel, levels, time.monotonic())
        return asked.at

    def unanswered(self, seconds: float) -> list[Asked]:
        """Return the claims that were sent off so long ago, and not taken since; safe to call from another thread."""
        before = time.monotonic() - seconds
        return [asked for asked in self._asked.copy().values() if asked.at <= before]

    def take(self, claimed: Iterable[Claimed], asked_at: float, channel: str = "") -> list[Lease]:
        """Note what a claim that was sent off at `asked_at` brought; return the leases that are new.

        A notification that is in hand already had lapsed, and came back to us: whoever is sending it goes on, under the
        new claim. Sending it a second time beside the first would be a copy of our own making. Or it was settled, and
        is due again, before we heard that it is settled: that the settler finds out when it hears.
        """
        new = []
        deadline = asked_at + self.seconds
        for one in claimed:
            lease = self._held.get(one.key)
            if lease is None:
                lease = self._held[one.key] = Lease(one, asked_at, deadline, one.place, channel)
                new.append(lease)
            else:
                lease.claimed, lease.claimed_at, lease.deadline, lease.place = one, asked_at, deadline, one.place
        self._asked.pop(channel, None)
        if self._unheard[0]:
            self._extend(*self._unheard)
        return new

    def all(self) -> list[Lease]:
        """Return all in hand; safe to call from another thread (`dict.copy` is atomic)."""
        return list(self._held.copy().values())

    def not_begun(self) -> list[Lease]:
        """Return what can be given back, because nobody has tried to deliver it."""
        return [lease for lease in self._held.values() if not lease.begun]

    def drop(self, *leases: Lease) -> None:
        """Forget what is settled or given back."""
        held = self._held
        for lease in leases:
            lease.deadline = 0.0
            key = lease.claimed.key
            if held.get(key) is lease:
                del held[key]

    def tokens(self) -> dict[UUID, int]:
        """Return id → claim of all in hand; safe to call from another thread (`dict.copy` is atomic)."""
        return {lease.claimed.id: lease.claimed.claim for lease in self._held.copy().values()}

    def renewed(self, held: Mapping[UUID, int], asked_at: float) -> None:
        """Move the deadlines of what was renewed (id → claim) by a statement sent off at `asked_at`.

        What is trusted no more stays so: it may have been taken back since. What is in no hand yet, because nobody has
        read the answer of its claim, is moved once it is taken.
        """
        # First: what is taken meanwhile, on the other thread, is found in one of the two.
        self._unheard = {each: claim for each, claim in held.items() if str(each) not in self._held}, asked_at
        self._extend(held, asked_at)

    def _extend(self, held: Mapping[UUID, int], asked_at: float) -> None:
        for lease in self._of(held):
            if lease.deadline:
                lease.deadline = max(lease.deadline, asked_at + self.seconds)
            lease.place = None  # an update moves a row

    def expire(self, held: Mapping[UUID, int]) -> int:
        """Trust these leases (id → claim) no more: what was not sent yet will not be sent by us. Returns how many.

        One whose send goes on stays in hand, and is found gone again by each heartbeat; it counts once.
        """
        leases = [lease for lease in self._of(held) if lease.deadline]
        for lease in leases:
            lease.deadline = 0.0
        return len(leases)

    def revoke(self, key: str) -> None:
        """Trust the lease of one notification no more, whatever its claim: it was taken back while it was in hand."""
        lease = self._held.get(key)
        if lease is not None:
            lease.deadline = 0.0

    def _of(self, held: Mapping[UUID, int]) -> list[Lease]:
        leases = ((self._held.get(str(identity)), claim) for identity, claim in held.items())
        return [lease for lease, claim in leases if lease is not None and lease.claimed.claim == claim]
