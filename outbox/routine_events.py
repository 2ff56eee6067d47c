"""What the engine tells of what goes on as it should, for whoever counts, beside what `outbox.events` has.

`outbox.events` names them among its events.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class LeasesRenewed:
    """The leases of `count` notifications in hand were extended."""

    count: int


@dataclass(frozen=True, slots=True)
class ListenHeard:
    """LISTEN works: a NOTIFY of our own came back."""


@dataclass(frozen=True, slots=True)
class RateWaited:
    """Nothing was claimed on a channel for `seconds`, because its rates, or those of its providers, were used up."""

    channel: str
    seconds: float


RoutineEvent: TypeAlias = LeasesRenewed | ListenHeard | RateWaited
