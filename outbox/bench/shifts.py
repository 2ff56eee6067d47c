"""What workers have done in a drain: rates from what each settled, and when. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_WARM_UP = 0.1  # of all notifications: the first claims make plans, and the two processes do not begin as one


@dataclass(frozen=True, slots=True)
class Drained:
    """One drain: how many were settled, a second, and how many processors each process used meanwhile."""

    count: int
    per_second: float
    cpu: float
    is_whole: bool


def drained(settled: Sequence[Sequence[tuple[float, int, float]]], wanted: int) -> Drained | None:
    """Return what came of it; None if nothing did.

    `settled` has for each process its settlements in order: when, how many, and the seconds of CPU used until then. The
    first tenth of the notifications is not counted, where anything follows it.
    """
    moments = sorted((at, count) for each in settled for at, count, _ in each)
    total = sum(count for _, count in moments)
    if not total:
        return None
    began, before = _start(moments, total)
    ended = moments[-1][0]
    if ended <= began:  # all at once: nothing can be said of a rate but that it was no less than this
        return Drained(total, float(total), 0.0, total >= wanted)
    shares = [_cpu(each, began) for each in settled]
    known = [share for share in shares if share is not None]
    cpu = sum(known) / len(known) if known else 0.0
    return Drained(total, (total - before) / (ended - began), cpu, total >= wanted)


def _start(moments: Sequence[tuple[float, int]], total: int) -> tuple[float, int]:
    """Return when the warm-up was over, and how many were settled by then."""
    places = accumulate(count for _, count in moments)
    return next((at, seen) for (at, _), seen in zip(moments, places, strict=True) if seen >= _WARM_UP * total)


def _cpu(settled: Sequence[tuple[float, int, float]], began: float) -> float | None:
    """Return the share of a processor that a process used between its first and last settlement after the warm-up."""
    within = [(at, cpu) for at, _, cpu in settled if at >= began]
    if len(within) < 2 or within[-1][0] <= within[0][0]:  # noqa: PLR2004 - a beginning and an end
        return None
    return (within[-1][1] - within[0][1]) / (within[-1][0] - within[0][0])
