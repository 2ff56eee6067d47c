"""Many drafts as the lines of a COPY, which takes a quarter of the time of anything else."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.queue.draft import Draft

COPY = """
COPY outbox.notifications
    (id, created_at, run_at, expires_at, priority, channel, recipient, template, payload, idempotency_key, topic,
     group_key, locale, headers, ordering_key)
FROM STDIN (NULL '')
"""  # an empty text is nowhere taken

# What goes to the server at once: it works on these while we write the next.
_LINES = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ids(count: int, now: int) -> list[UUID]:
    """Return UUIDv7s (RFC 9562), in order, for the database's `now` in microseconds: its clock decides, not ours.

    As in outbox.uuid7(), the 12 bits after the milliseconds are their fraction; each id is one such step further.
    """
    first = now * 4096 // 1000
    noise = os.urandom(8 * count)
    fixed = 7 << 76 | 1 << 63
    return [
        UUID(
            int=(first + n >> 12) << 80
            | (first + n & 0xFFF) << 64
            | int.from_bytes(noise[8 * n : 8 * n + 8], "big") >> 2
            | fixed
        )
        for n in range(count)
    ]


def lines(rows: Iterator[tuple[Draft, UUID]], now: int) -> Iterator[str]:
    """Yield the lines of `COPY`, many at a time; what counts from now counts from the database's `now`."""
    created_at = _moment(now, None)
    while text := "".join([_line(draft, identity, created_at, now) for draft, identity in islice(rows, _LINES)]):
        yield text.replace("\\", "\\\\") if "\\" in text else text


def _line(draft: Draft, identity: UUID, created_at: str, now: int) -> str:
    channel, recipient, template, payload, priority, run_at, expires_at, key, topic, group, locale, headers = draft[:12]
    delay, expires_in, ordering_key = draft[12:]
    run_at = run_at or (created_at if delay is None else _moment(now, delay))
    expires_at = expires_at or ("" if expires_in is None else _moment(now, expires_in))
    return (
        f"{identity.int:032x}\t{created_at}\t{run_at}\t{expires_at}\t{priority}\t{channel}\t{recipient}\t"
        f"{template or ''}\t{payload}\t{key or ''}\t{topic or ''}\t{group or ''}\t{locale or ''}\t{headers or ''}\t"
        f"{ordering_key or ''}\n"
    )


@lru_cache
def _moment(now: int, interval: str | None) -> str:
    """Return the moment that lies `interval` (in the words of a draft) after `now`."""
    moment = _EPOCH + timedelta(microseconds=now)
    if interval is not None:
        days, _, seconds, _ = interval.split()
        moment += timedelta(days=int(days), seconds=float(seconds))
    return moment.isoformat()
