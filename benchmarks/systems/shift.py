"""What a working process is asked for, and what it has done when it ends."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from array import array
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


class Shift:
    """With a `count`, until the queue is empty, as fast as it goes; with `seconds`, that long, and promptly.

    Each job sleeps for `pause` seconds. `handle` and `completed` are called for every job and every write of
    completions, so they do little.
    """

    def __init__(self, *, count: int = 0, pause: float = 0.0, seconds: float | None = None) -> None:
        self.count = count
        self.pause = pause
        self.seconds = seconds
        self.handled = 0
        self.first = 0.0
        self.last = 0.0
        self._numbers = array("q")
        self._moments = array("d")
        self._claims: list[tuple[float, float]] = []
        self.begin = self._begin_and_note if seconds else self._begin

    @property
    def is_prompt(self) -> bool:
        """Whether it is about latency, not throughput."""
        return self.seconds is not None

    def ready(self) -> None:
        """Say that all is ready, and wait for the word to begin."""
        print(json.dumps({"ready": True}), file=sys.__stdout__, flush=True)
        sys.stdin.readline()

    async def handle(self, number: int) -> None:
        """Be the handler of the job of this number."""
        self.begin(number)
        if self.pause:
            await asyncio.sleep(self.pause)

    def completed(self) -> None:
        """Note that completions have been written, now."""
        self.last = time.monotonic()

    def claimed(self, seconds: float) -> None:
        """Note that a claim has ended now, after `seconds`."""
        if self.seconds:
            self._claims.append((time.monotonic(), seconds))

    def result(self) -> dict[str, Any]:
        """Return what a `work` prints."""
        return {"jobs": self.handled, "first": self.first, "last": self.last}

    def write(self, file: Path) -> None:
        """Write when each job began, and beside it, where any are known, how long each claim took."""
        file.write_text(json.dumps(list(zip(self._numbers, self._moments, strict=True))), encoding="utf-8")
        if self._claims:
            file.with_suffix(".claims.json").write_text(json.dumps(self._claims), encoding="utf-8")

    def _begin(self, _: int) -> None:
        if not self.handled:
            self.first = time.monotonic()
        self.handled += 1

    def _begin_and_note(self, number: int) -> None:
        self.handled += 1
        self._numbers.append(number)
        self._moments.append(time.monotonic())
