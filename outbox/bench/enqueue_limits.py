"""What limits the enqueues: the disk, the way there, or the work; and what more clients bring. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from outbox.bench.figures import about, lasting
from outbox.bench.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.bench.measured import Measured

_TRIPS = 3  # BEGIN, the INSERT, COMMIT
_SLOW_DISK = 0.001  # seconds: what a disk whose cache survives a power cut stays well below
BUSY = 0.9
"""Of all processors of this machine: there is no more to be had from it."""
SCALES = 0.7
"""Of as many times as much, as there are more clients."""
STALLS = 1.3
"""Times as much with several clients as with one: below, they wait for each other, or for the same thing."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Where the time of one enqueue goes, in seconds."""

    disk: float
    """The COMMIT, without its round trip."""
    trips: float
    work: float
    """The rest: what the server and this client compute, or wait for a processor to do so."""
    client: float
    """Of that, what this client computes, by its CPU time."""

    @property
    def whole(self) -> float:
        """All of it."""
        return self.disk + self.trips + self.work

    @property
    def largest(self) -> str:
        """Name the part that takes longest."""
        return max(("disk", "trips", "work"), key=lambda name: float(getattr(self, name)))


def parts(measured: Measured) -> Parts:
    """Take an enqueue apart by what the floor takes; where that took longer, at a worse time, no work is left."""
    took, floor = measured.enqueueing[0].p50.middle, measured.floor
    disk = max(floor.commit.middle - floor.round_trip.middle, 0.0)
    trips = _TRIPS * floor.round_trip.middle
    work = max(took - disk - trips, 0.0)
    one = measured.enqueueing[0]
    computed = one.cpu.middle / one.per_second.middle if one.per_second.middle else 0.0
    return Parts(disk, trips, work, min(computed, work))


def enqueue_limits(measured: Measured) -> Iterator[Finding]:
    """Say what limits one client, what several bring, and what the server's settings have to do with it."""
    yield _one_client(measured)
    if len(measured.enqueueing) > 1:
        yield _several(measured)
    yield from _settings(measured)


def _one_client(measured: Measured) -> Finding:
    found = parts(measured)
    whole = found.whole or 1.0
    waits = _what_commit_waits_for(measured)
    says = (
        f"Of the time of one enqueue, {about(found.disk / whole * 100)} % is {waits} ({lasting(found.disk)}), "
        f"{about(found.trips / whole * 100)} % three round trips ({lasting(found.trips / _TRIPS)} each), and "
        f"{about(found.work / whole * 100)} % the work: {about(found.client / whole * 100)} % this client's, "
        f"{about((found.work - found.client) / whole * 100)} % the server's."
    )
    facts: dict[str, float | str] = {
        "disk": found.disk,
        "trips": found.trips,
        "work": found.work,
        "limit": found.largest,
    }
    return Finding("enqueue", says, facts, _change(measured, found))


def _change(measured: Measured, found: Parts) -> str:
    if found.largest == "disk":
        cheaper = "several notifications in one transaction, and clients that commit at once, wait for it together"
        better = "; a disk whose cache survives a power cut takes a tenth of it" if found.disk > _SLOW_DISK else ""
        return cheaper + better
    if found.largest == "trips":
        if measured.server.is_near:
            return "the server is near already; several notifications in one transaction share BEGIN and COMMIT"
        return "put the application nearer to the database, or enqueue several in one transaction"
    return "nothing of it waits: faster processors, or enqueue_many, which costs a fraction for each"


def _what_commit_waits_for(measured: Measured) -> str:
    settings = measured.server.settings
    if settings.get("fsync") == "off" or settings.get("synchronous_commit") == "off":
        return "the COMMIT, which waits for no disk here"
    if settings.get("synchronous_standby_names") and settings.get("synchronous_commit") != "local":
        return "the COMMIT's wait for the disk and for the standby"
    return "the COMMIT's wait for the disk"


def _several(measured: Measured) -> Finding:
    one, several = measured.enqueueing[0], measured.enqueueing[-1]
    ratio = several.per_second.middle / one.per_second.middle if one.per_second.middle else 0.0
    busy = measured.machine.busy
    facts: dict[str, float | str] = {"ratio": ratio, "clients": several.clients, "cpu": several.cpu.middle}
    told = f"{several.clients} clients enqueue {about(ratio)} times as much as one"
    if _each_at_its_limit(measured):
        says = f"{told}, and each used up a processor: it is the clients that were measured, not the server."
        return Finding("clients", says, facts, f"--clients {several.clients * 2}, where there are processors for them")
    if ratio >= SCALES * several.clients:
        says = f"{told}: they are far from standing in each other's way."
        return Finding("clients", says, facts, f"--clients {several.clients * 2} tells whether that goes on")
    if busy is not None and busy >= BUSY:
        cpus = measured.machine.cpus
        used = f"{about(several.cpu.middle)} of {cpus} with the clients" if cpus > 1 else "some of it with the clients"
        server = ", the rest with the server and whatever else runs on it" if measured.server.is_near else ""
        says = (
            f"{told}, and this machine was the limit: its processors were {about(busy * 100)} % busy, {used}{server}."
        )
        return Finding(
            "clients", says, facts | {"busy": busy}, "enqueue from other machines to see what the server can do"
        )
    if ratio < STALLS:
        return Finding("clients", f"{told}: more of them bring little, since all wait for the same thing.", facts)
    return Finding("clients", f"{told}.", facts)


def _each_at_its_limit(measured: Measured) -> bool:
    several = measured.enqueueing[-1]
    return several.cpu.middle >= BUSY * several.clients


def _settings(measured: Measured) -> Iterator[Finding]:
    settings = measured.server.settings
    if settings.get("fsync") == "off":
        says = "fsync is off: these numbers are those of a server that may lose everything when the power fails."
        yield Finding("safety", says, {}, "ALTER SYSTEM SET fsync = on, and measure again")
    elif settings.get("synchronous_commit") == "off":
        says = "synchronous_commit is off: what was committed in the last moments before a crash of the server is lost."
        yield Finding("safety", says, {}, "SET LOCAL synchronous_commit = on where a notification must not be lost")
