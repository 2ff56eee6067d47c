"""Many drafts as the lines of a COPY, which takes a quarter of the time of anything else."""

from __future__ import annotations

import os
import struct
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING
from uuid import UUID, SafeUUID

from outbox.queue.draft import Draft

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

# What goes to the server at once: it works on these while we write the next.
_LINES = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENTS = ("run_at", "expires_at")
_OPTIONAL = [name for name in Draft._fields[2:] if name not in {*_MOMENTS, "delay", "expires_in"}]
_join = "\t".join
_UNKNOWN = SafeUUID.unknown


class Form:
    """How the lines of one COPY are written: with the columns that are `used`, since each of the others costs time.

    `now` is the database's time in microseconds: its clock decides, not ours.
    """

    def __init__(self, used: Container[str], now: int) -> None:
        columns = ["channel", "recipient", *(name for name in _OPTIONAL if name in used)]
        moments = ["created_at", *_MOMENTS] if any(name in used for name in _MOMENTS) else []
        self.copy = f"COPY outbox.notifications (id, {', '.join(columns + moments)}) FROM STDIN (NULL '')"
        self._values = itemgetter(*map(Draft._fields.index, columns))
        self._has_moments = bool(moments)
        self._now = now

    def lines(self, rows: Iterator[tuple[UUID, Draft]]) -> Iterator[str]:
        """Yield the lines, many at a time."""
        while text := "".join([self._line(identity, draft) for identity, draft in islice(rows, _LINES)]):
            yield text.replace("\\", "\\\\") if "\\" in text else text

    def _line(self, identity: UUID, draft: Draft) -> str:
        values = self._values(draft)
        if self._has_moments:
            values += self._moments(draft)
        try:
            return f"{identity.int:032x}\t{_join(values)}\n"
        except TypeError:  # there is a None, which an empty text stands for: nowhere is an empty text taken
            return f"{identity.int:032x}\t{_join([value or '' for value in values])}\n"

    def _moments(self, draft: Draft) -> tuple[str, str, str | None]:
        now = _moment(self._now, None)
        run_at = draft.run_at or (now if draft.delay is None else _moment(self._now, draft.delay))
        expires_at = draft.expires_at or (None if draft.expires_in is None else _moment(self._now, draft.expires_in))
        return now, run_at, expires_at


def ids(count: int, now: int) -> list[UUID]:
    """Return UUIDv7s (RFC 9562), in order, for the database's `now` in microseconds.

    As in outbox.uuid7(), the 12 bits after the milliseconds are their fraction; each id is one such step further.
    """
    first = now * 4096 // 1000
    steps = range(first, first + count)
    noise = struct.unpack(f">{count}Q", os.urandom(8 * count))
    return [
        _uuid((step >> 12 << 16 | 0x7000 | step & 0xFFF) << 64 | 1 << 63 | low >> 2)
        for step, low in zip(steps, noise, strict=True)
    ]


def _uuid(number: int) -> UUID:
    """Return what UUID(int=number) does, which checks the number for twice the time."""
    identity = object.__new__(UUID)
    object.__setattr__(identity, "int", number)
    object.__setattr__(identity, "is_safe", _UNKNOWN)
    return identity


@lru_cache
def _moment(now: int, interval: str | None) -> str:
    """Return the moment that lies `interval` (in the words of a draft) after `now`."""
    moment = _EPOCH + timedelta(microseconds=now)
    if interval is not None:
        moment += timedelta(seconds=float(interval.partition(" ")[0]))
    return moment.isoformat()
