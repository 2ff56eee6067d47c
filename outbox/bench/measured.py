"""What was measured, as values. Times are in seconds, sizes in bytes, shares of a processor or a whole from 0 to 1.

A `Summary` is of the rounds: their median, the least and the greatest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from outbox.bench.summary import Summary


@dataclass(frozen=True, slots=True)
class Server:
    """The server, and what it says of itself."""

    version: str
    is_near: bool
    """Reached over a Unix socket or the loopback interface: on this machine, or through a tunnel that begins here."""
    is_encrypted: bool
    settings: Mapping[str, str]
    """Those that matter here: fsync, synchronous_commit and their kin."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the clients and workers ran."""

    cpus: int
    load: float | None
    """Programs that wanted to run before it began, on average over a minute, for each processor."""
    busy: float | None
    """Which share of all its processors was in use while several clients enqueued; None where that is not known."""


@dataclass(frozen=True, slots=True)
class Floor:
    """What nothing that uses this database can fall below."""

    round_trip: Summary
    """`SELECT 1`: the median of each round."""
    transaction: Summary
    """BEGIN, one INSERT of a small row, COMMIT: likewise."""
    commit: Summary
    """The COMMIT of it."""


@dataclass(frozen=True, slots=True)
class Enqueueing:
    """One notification a transaction, from several clients at once, each a process."""

    clients: int
    per_second: Summary
    p50: Summary
    p99: Summary
    cpu: Summary
    """Processors that the clients kept busy, all of them together."""


@dataclass(frozen=True, slots=True)
class Bulk:
    """`enqueue_many` from one client."""

    per_second: Summary
    cpu: Summary


@dataclass(frozen=True, slots=True)
class Draining:
    """A full queue, worked off by worker processes whose provider costs nothing."""

    processes: int
    per_second: Summary
    cpu: Summary
    """Processors that one process kept busy, on average: 1 is all that Python can use."""
    is_whole: bool
    """Every round came to the end of its queue within its time."""


@dataclass(frozen=True, slots=True)
class Latency:
    """From the return of the enqueue's COMMIT to the provider's first line, at a steady rate."""

    rate: float
    asked: int
    arrived: int
    p50: float
    p99: float
    longest: float
    histogram: Sequence[int]
    """By the bounds of `outbox.latencies`."""
    late: float
    """Which share was enqueued more than a turn behind schedule."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one notification costs. WAL is the whole server's; None where it cannot be asked."""

    wal_enqueue: float | None
    wal_deliver: float | None
    background_wal: float | None
    """Bytes a second that were written while nothing of ours wrote."""
    table_bytes: float
    """What stays of it: its row, that of its attempt, and their indexes."""
    transactions: float | None
    """That delivering it took, as a share of one."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything."""

    server: Server
    machine: Machine
    concurrency: int
    """Deliveries at once in a worker process."""
    provider: float
    """Seconds that the provider is taken to need for each, in the arithmetic."""
    rounds: int
    floor: Floor
    enqueueing: Sequence[Enqueueing]
    """From one client, and from several."""
    bulk: Bulk
    draining: Sequence[Draining]
    """By one process, and by two."""
    latency: Latency
    cost: Cost
