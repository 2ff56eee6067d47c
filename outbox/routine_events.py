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


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A worker's lifeline has reached the database, and the event loop hears of it."""


@dataclass(frozen=True, slots=True)
class HealthServed:
    """Whoever starts workers again may ask for `/live` and `/ready` at `host` and `port`."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class SchemaNewer:
    """A worker starts on a schema (revision `applied`) that is newer than the `known` one of its own version."""

    applied: str
    known: str


@dataclass(frozen=True, slots=True)
class ProcessDrained:
    """The worker process number `process` has done what `--drain` asks for, and ended: no other takes its place."""

    process: int
    pid: int


RoutineEvent: TypeAlias = (
    LeasesRenewed | ListenHeard | RateWaited | Heartbeat | HealthServed | SchemaNewer | ProcessDrained
)
