"""Waiting for a machine that is shared to be quiet: what others do meanwhile is in every number."""

from __future__ import annotations

import time
from pathlib import Path

_LOOK = 0.5  # seconds
_QUIET = 0.1  # of the CPUs


def wait(patience: float) -> None:
    """Return when nearly all of the CPU is idle, or after `patience` seconds; at once where that is zero."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and busy() > _QUIET:
        pass


def busy(seconds: float = _LOOK) -> float:
    """Return the share of the CPUs that was used during so many seconds."""
    before = _times()
    time.sleep(seconds)
    idle, total = (after - earlier for after, earlier in zip(_times(), before, strict=True))
    return 1 - idle / total if total else 0.0


def _times() -> tuple[int, int]:
    """Return the ticks that all CPUs were idle or waited for a disk, and all their ticks."""
    ticks = [int(part) for part in Path("/proc/stat").read_text(encoding="utf-8").partition("\n")[0].split()[1:]]
    return ticks[3] + ticks[4], sum(ticks[:8])
