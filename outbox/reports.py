"""What a worker tells of itself, every few seconds, in `workers.report`: counts and states, and nothing of a message.

Durations are told as seconds, by the worker's clock that nobody can set, and become moments by the database's, which
is the one that all workers share.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Tally:
    """How many claims ended in one way since the worker started, and within the window that the report is about."""

    channel: str
    provider: str | None
    """Who was asked; None where nobody was."""
    outcome: str
    error_class: str | None
    total: int
    recent: int
    latencies: Sequence[int] = ()
    """How long the recent ones took, as in `outbox.latencies`."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A provider through which nothing goes but probes."""

    channel: str
    provider: str
    error_class: str
    code: str | None
    held_for: float
    """Seconds since it was held, failed probes between included."""
    probe_in: float
    """Seconds until the next probe; less than 0 while one is under way, or there was nothing to probe it with."""


@dataclass(frozen=True, slots=True)
class InHand:
    """What a worker holds of one channel."""

    ready: int
    """Claimed, and not begun."""
    sending: int
    """Being delivered, or waiting to be written down."""


@dataclass(frozen=True, slots=True)
class Report:
    """One worker's."""

    clock: float
    """What the worker's own clock said, in seconds since 1970."""
    window: float
    """Over how many seconds `recent` was counted."""
    listening: bool | None
    """Whether a NOTIFY comes through; None before that was tried."""
    concurrency: int
    levels: tuple[int, ...]
    """The priorities that it claims."""
    drain: bool
    """Whether it ends when nothing is due."""
    in_hand: Mapping[str, InHand] = field(default_factory=dict)
    """By channel."""
    tallies: tuple[Tally, ...] = ()
    holds: tuple[Hold, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return what is stored."""
        return {
            "clock": round(self.clock, 3),
            "window": round(self.window, 3),
            "listening": self.listening,
            "mode": {"concurrency": self.concurrency, "levels": list(self.levels), "drain": self.drain},
            "in_hand": {name: {"ready": it.ready, "sending": it.sending} for name, it in self.in_hand.items()},
            "ended": [_told(tally) for tally in self.tallies],
            "held": [
                {
                    "channel": hold.channel,
                    "provider": hold.provider,
                    "class": hold.error_class,
                    "code": hold.code,
                    "held_for": round(hold.held_for, 3),
                    "probe_in": round(hold.probe_in, 3),
                }
                for hold in self.holds
            ],
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return what was stored."""
        mode = stored["mode"]
        return cls(
            clock=float(stored["clock"]),
            window=float(stored["window"]),
            listening=stored["listening"],
            concurrency=int(mode["concurrency"]),
            levels=tuple(mode["levels"]),
            drain=bool(mode["drain"]),
            in_hand={name: InHand(it["ready"], it["sending"]) for name, it in stored["in_hand"].items()},
            tallies=tuple(_tally(each) for each in stored["ended"]),
            holds=tuple(
                Hold(it["channel"], it["provider"], it["class"], it["code"], it["held_for"], it["probe_in"])
                for it in stored["held"]
            ),
        )


def _told(tally: Tally) -> dict[str, Any]:
    told: dict[str, Any] = {"channel": tally.channel, "provider": tally.provider, "outcome": tally.outcome}
    told |= {"class": tally.error_class, "total": tally.total}
    if tally.recent:
        told |= {"recent": tally.recent, "latencies": list(tally.latencies)}
    return told


def _tally(it: Mapping[str, Any]) -> Tally:
    return Tally(
        it["channel"],
        it["provider"],
        it["outcome"],
        it["class"],
        it["total"],
        it.get("recent", 0),
        tuple(it.get("latencies", ())),
    )
