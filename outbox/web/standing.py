"""How things stand: what waits, what goes out and how fast, and what went in the hours before."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from outbox.outcomes import Ambiguous, Dead, Retry, Sent
from outbox.queue.depths import depths, gauges
from outbox.queue.fleet import fleet
from outbox.queue.inspect import add_up, count_channels, count_strays, failing_schedules
from outbox.queue.paused import list_pauses
from outbox.queue.samples import samples
from outbox.telling.amiss import warnings_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from outbox.queue.depths import Depth, Gauge
    from outbox.queue.fleet import Fleet, Held, Worker
    from outbox.queue.inspect import Channel

SPANS: Mapping[str, tuple[timedelta, int]] = {
    "1h": (timedelta(hours=1), 60),
    "24h": (timedelta(hours=24), 300),
    "7d": (timedelta(days=7), 3_600),
}
"""What charts show: how long, and in steps of how many seconds."""
_FEW = 50_000  # notifications that are counted in some milliseconds, so that one sees them come and go
_SMALL = 64 * 1_024 * 1_024  # bytes of a queue that is read in less than a second, whatever was measured of it last
_SIZE = "SELECT pg_relation_size('outbox.queue')"
_FAILED = frozenset({Retry.name, Dead.name, Ambiguous.name})


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a channel goes, by what its workers report of their last ten seconds or so; p99 is in seconds."""

    sent: float = 0.0
    failed: float = 0.0
    p99: float | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stood at a moment, in seconds since 1970."""

    at: float
    channels: Sequence[Channel]
    paces: Mapping[str, Pace]
    levels: Mapping[str, Sequence[Depth]]
    """What waited by priority, when that was measured last."""
    workers: Sequence[Worker]
    held: Sequence[Held]
    warnings: Sequence[str]
    measured: float | None = None
    """Seconds since the numbers were measured; None where they were counted just now."""

    def total(self, name: str) -> int:
        """Return the sum of a count over all channels."""
        return int(sum(getattr(channel, name) for channel in self.channels))

    def pace(self, name: str) -> float:
        """Return the sum of a pace over all channels, in notifications a second."""
        return float(sum(getattr(pace, name) for pace in self.paces.values()))

    @property
    def oldest_due(self) -> float | None:
        """Seconds that the oldest of all that is due has been waiting."""
        return max((channel.oldest_due for channel in self.channels if channel.oldest_due is not None), default=None)

    def sample(self) -> dict[str, Any]:
        """Return what the charts show of it."""
        paces = {name: round(self.pace(name), 2) for name in ("sent", "failed")}
        return {"at": round(self.at, 1), "due": self.total("due"), "leased": self.total("leased"), **paces}


def look(conn: Any) -> Standing:
    """Return how things stand: counted, or where there is too much to count, as it was measured last."""
    measured, alive = depths(conn), fleet(conn)
    levels: dict[str, list[Depth]] = {}
    for depth in measured:
        levels.setdefault(depth.channel, []).append(depth)
    many = sum(depth.waiting + depth.leased for depth in measured) > _FEW or _size(conn) > _SMALL
    channels = _measured(levels, alive, gauges(conn)) if many else count_channels(conn)
    return Standing(
        at=time.time(),
        channels=channels,
        paces=_paces(alive),
        levels={name: [each for each in some if each.waiting or each.leased] for name, some in levels.items()},
        workers=alive.workers,
        held=alive.held(),
        warnings=warnings_of(channels, failing_schedules(conn), count_strays(conn), list_pauses(conn)),
        measured=max((depth.age for depth in measured), default=None) if many else None,
    )


def history(conn: Any, span: str) -> list[dict[str, Any]]:
    """Return what the charts show of the time before, step by step."""
    past, step = SPANS[span]
    found: dict[float, dict[str, Any]] = {}
    (now,) = conn.execute("SELECT date_part('epoch', statement_timestamp())").fetchone()
    for sample in samples(conn, since=past, step=step):
        at = sample.at.timestamp()
        one = found.setdefault(at, {"at": at, "sent": None, "failed": None, "due": None, "leased": None})
        if at + step <= now:  # the last step is not over yet
            one["sent"] = round((one["sent"] or 0) + sample.sent / step, 3)
            one["failed"] = round((one["failed"] or 0) + sample.failed / step, 3)
        for name in ("due", "leased"):
            value = getattr(sample, name)
            if value is not None:
                one[name] = (one[name] or 0) + value
    return [found[at] for at in sorted(found)]


def _paces(alive: Fleet) -> dict[str, Pace]:
    sent = alive.traffic(lambda it: it.channel, lambda it: it.outcome == Sent.name)
    failed = alive.traffic(lambda it: it.channel, lambda it: it.outcome in _FAILED)
    paces = {name: Pace(sent=one.per_second, p99=one.p99) for name, one in sent.items()}
    for name, one in failed.items():
        paces[name] = replace(paces.get(name, Pace()), failed=one.per_second)
    return paces


def _size(conn: Any) -> int:
    return int(conn.execute(_SIZE).fetchone()[0])


def _measured(levels: Mapping[str, Sequence[Depth]], alive: Fleet, others: Sequence[Gauge]) -> list[Channel]:
    """Return the counts of channels as they were measured last; open windows of digests are not among them."""
    dead = {gauge.channel: int(gauge.value) for gauge in others if gauge.name == "dead_letters_open"}
    return [
        add_up(
            name,
            levels.get(name, ()),
            workers=sum(name in worker.channels for worker in alive.workers),
            dead=dead.get(name, 0),
        )
        for name in sorted({*levels, *dead})
    ]
