"""Numbers as people read them, with their ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.bench.figures import figure

if TYPE_CHECKING:
    from benchmarks.summary import Summary

__all__ = ["figure", "with_range"]


def with_range(summary: Summary | None) -> str:
    """Return the median, and the range behind it where there is one."""
    if summary is None:
        return "–"
    if figure(summary.low) == figure(summary.high):
        return figure(summary.middle)
    return f"{figure(summary.middle)} ({figure(summary.low)}–{figure(summary.high)})"
