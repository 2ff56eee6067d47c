"""standstill: when a channel stood still: itself paused, or all of its providers at once. Pure, in spans of seconds.

Spans are pairs of when one began and when it ended, in order and apart from each other.
"""

from __future__ import annotations

import time
from functools import reduce
from math import inf
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from outbox.queue.paused import Pause
    from outbox.route import Route

Some: TypeAlias = "Sequence[tuple[float, float]]"
Spans: TypeAlias = "tuple[tuple[float, float], ...]"


def standstill(route: Route, pauses: Iterable[Pause]) -> Spans:
    """Return when nothing of a route could be sent, by `time.monotonic()`; what is paused still ends at infinity."""
    now = time.monotonic()
    known = {(pause.scope, pause.name): _spans(pause, now) for pause in pauses}
    channel = known.get(("channel", route.channel), ())
    providers: list[Some] = [known.get(("provider", name), ()) for name in route.providers]
    together: Some = reduce(both, providers) if providers else ()
    return either(channel, together)


def either(some: Some, others: Some) -> Spans:
    """Return when one of the two was, or both."""
    found: list[tuple[float, float]] = []
    for began, ended in sorted([*some, *others]):
        if found and began <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], ended)
        elif began < ended:
            found.append((began, ended))
    return tuple(found)


def both(some: Some, others: Some) -> Spans:
    """Return when the two were at once."""
    each = ((max(a, c), min(b, d)) for a, b in some for c, d in others)
    return either([(began, ended) for began, ended in each if began < ended], ())


def _spans(pause: Pause, now: float) -> Spans:
    last = now - pause.since, inf if pause.holds else now + (pause.left or 0.0)
    return either([last], [(now - began, now - ended) for began, ended in pause.earlier])
