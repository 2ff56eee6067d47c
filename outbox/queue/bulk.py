"""Many notifications as the rows of a binary COPY, which takes a quarter of the time of anything else."""

from __future__ import annotations

import os
import struct
from collections import deque
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain, repeat
from operator import attrgetter, methodcaller
from typing import TYPE_CHECKING
from uuid import UUID, SafeUUID

from outbox.queue.draft import Draft

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
    from typing import TypeAlias

    Column: TypeAlias = Sequence[str | None]

# A header; of each row, how many fields it has, and of each field its length and its bytes; a trailer:
# https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format".
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_SMALLINT, _LENGTH, _TIMESTAMP = (struct.Struct(form).pack for form in (">h", ">i", ">q"))
_NULL = -1  # instead of a length
_JSONB = b"\1"  # the version, before the text
_PRIORITIES = {str(priority): _SMALLINT(priority) for priority in range(10)}

_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # PostgreSQL's
_MICROSECOND = timedelta(microseconds=1)

_INTERVALS = {"run_at": "delay", "expires_at": "expires_in"}
_OPTIONAL = [name for name in Draft._fields[2:] if name not in {*_INTERVALS, *_INTERVALS.values()}]

_number_of = attrgetter("int")
_in_16_bytes = methodcaller("to_bytes", 16, "big")
_set_number, _set_safety = UUID.int.__set__, UUID.is_safe.__set__  # type: ignore[attr-defined, misc]


class Form:
    """How the rows of one COPY are written: with the columns that are `used`, since each of the others costs time.

    `now` is the database's time in microseconds: its clock decides, not ours. `encoding` is the connection's.
    """

    def __init__(self, used: Container[str], now: int, encoding: str) -> None:
        self._columns = ["channel", "recipient", *(name for name in _OPTIONAL if name in used)]
        self._has_moments = any(name in used for name in _INTERVALS)
        moments = ["created_at", *_INTERVALS] if self._has_moments else []
        columns = ["id", *self._columns, *moments]
        self.copy = f"COPY outbox.notifications ({', '.join(columns)}) FROM STDIN (FORMAT binary)"
        self.names = [*self._columns, *(chain(*_INTERVALS.items()) if self._has_moments else ())]
        """The fields of a draft that `rows` needs, in order."""
        self._row = _SMALLINT(len(columns)) + _LENGTH(16)
        self._now = now
        self._encoding = encoding

    def rows(self, blocks: Iterable[tuple[Sequence[UUID], Iterable[Column]]]) -> Iterator[bytes]:
        """Yield what goes to the server, a block at once: the ids of many, and a column for each of the `names`."""
        yield _HEADER
        for identities, columns in blocks:
            yield self._block(identities, dict(zip(self.names, columns, strict=True)))
        yield _TRAILER

    def _block(self, identities: Sequence[UUID], columns: Mapping[str, Column]) -> bytes:
        ids = map(_in_16_bytes, map(_number_of, identities))
        pieces: list[Iterable[bytes]] = [repeat(self._row), ids]
        for values in self._values(columns):
            pieces += _fields(values)
        return b"".join(chain.from_iterable(zip(*pieces, strict=False)))  # what is repeated has no end

    def _values(self, columns: Mapping[str, Column]) -> Iterator[Sequence[bytes]]:
        for name in self._columns:
            yield self._written(name, columns[name])
        if self._has_moments:
            yield [_timestamp(self._now, None, "0")] * len(columns["channel"])
            for name, interval in _INTERVALS.items():
                at_once = "0" if name == "run_at" else ""
                given = zip(columns[name], columns[interval], strict=True)
                yield [_timestamp(self._now, moment, after or at_once) for moment, after in given]

    def _written(self, name: str, column: Column) -> list[bytes]:
        texts: Sequence[str] = [text or "" for text in column] if None in column else column  # type: ignore[assignment]
        if name in {"payload", "headers"}:
            return [_JSONB + text.encode(self._encoding) if text else b"" for text in texts]
        if name in {"unless_read", "unless_sent"}:
            return [UUID(text).bytes if text else b"" for text in texts]
        if name == "priority":
            return [_PRIORITIES[text] for text in texts]
        return list(map(str.encode, texts, repeat(self._encoding)))


def ids(count: int, now: int) -> list[UUID]:
    """Return UUIDv7s (RFC 9562), in order, for the database's `now` in microseconds.

    As in outbox.uuid7(), the 12 bits after the milliseconds are their fraction; each id is one such step further.
    """
    first = now * 4096 // 1000
    steps = range(first, first + count)
    noise = struct.unpack(f">{count}Q", os.urandom(8 * count))
    numbers = [
        (step >> 12 << 16 | 0x7000 | step & 0xFFF) << 64 | 1 << 63 | low >> 2
        for step, low in zip(steps, noise, strict=True)
    ]
    # What UUID(int=number) does, which checks each number, for five times the time.
    identities = list(map(object.__new__, repeat(UUID, count)))
    deque(map(_set_number, identities, numbers), 0)
    deque(map(_set_safety, identities, repeat(SafeUUID.unknown)), 0)
    return identities


def _fields(values: Sequence[bytes]) -> tuple[Iterable[bytes], ...]:
    """Return the lengths and the values; both as one where they are all the same.

    An empty one stands for NULL: nowhere is an empty text taken.
    """
    if values.count(values[0]) == len(values):
        return (repeat(_LENGTH(len(values[0]) or _NULL) + values[0]),)
    lengths = list(map(len, values))
    return map(_LENGTH, [length or _NULL for length in lengths] if 0 in lengths else lengths), values


@lru_cache
def _timestamp(now: int, moment: str | None, interval: str) -> bytes:
    """Return a moment, or the one that lies an interval, in the words of a draft, after `now`; nothing for neither."""
    if moment is not None:
        at = datetime.fromisoformat(moment)
    elif interval:
        at = _UNIX_EPOCH + timedelta(microseconds=now) + timedelta(seconds=float(interval.partition(" ")[0]))
    else:
        return b""
    return _TIMESTAMP((at - _EPOCH) // _MICROSECOND)
