"""admit: let through what the throttles of topics allow, of what was just claimed. The database decides, row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg.rows import tuple_row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from psycopg import AsyncConnection

    from outbox.durations import Quota
    from outbox.queue.claim import Claimed

ADMIT = """
SELECT id, wait, in_line, age
FROM outbox.admit(%(channel)s, %(ids)s::uuid[], %(recipients)s::text[], %(topics)s::text[], %(numbers)s::bigint[],
                  %(periods)s::float8[], %(defers)s::boolean[])
"""


class Verdict(NamedTuple):
    """Of one that has to wait, or had to before: all others are let through."""

    id: UUID
    wait: float | None
    """Seconds until there could be a place; None where it has one."""
    in_line: bool
    """Whether it stands in line until then."""
    age: float | None
    """Seconds since it was let through, for one that has waited or comes again."""


async def admit(
    conn: AsyncConnection[Any], asking: Sequence[tuple[Claimed, Quota, bool]], *, channel: str
) -> list[Verdict]:
    """Take a place for each of those that ask, as far as there are any; one that has its place keeps it.

    Each comes with what its topic's throttle allows, and whether it waits in line for what that does not. Earlier ones
    come first within a priority. A place is free again one period after its notification was sent, or as soon as that
    ends without having been.
    """
    asked = {
        "channel": channel,
        "ids": [claimed.id for claimed, _, _ in asking],
        "recipients": [claimed.recipient for claimed, _, _ in asking],
        "topics": [claimed.topic for claimed, _, _ in asking],
        "numbers": [quota.number for _, quota, _ in asking],
        "periods": [quota.seconds for _, quota, _ in asking],
        "defers": [defers for _, _, defers in asking],
    }
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(ADMIT, asked)
        return [Verdict(*row) for row in await cursor.fetchall()]
