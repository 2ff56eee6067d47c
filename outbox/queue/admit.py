"""admit: let through what the throttles of topics allow, of what was just claimed. The database decides, row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg.rows import tuple_row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from psycopg import AsyncConnection

    from outbox.durations import Quota

ADMIT = """
SELECT id, wait, in_line, age
FROM outbox.admit(%(channel)s, %(ids)s::uuid[], %(recipients)s::text[], %(topics)s::text[], %(numbers)s::bigint[],
                  %(periods)s::float8[], %(defers)s::boolean[])
"""


class Asking(NamedTuple):
    """A claimed notification whose topic has a throttle."""

    id: UUID
    recipient: str
    topic: str
    quota: Quota
    defers: bool
    """Whether it waits in line for what its throttle does not let through now."""


class Verdict(NamedTuple):
    """Of one that has to wait, or had to before: all others are let through."""

    id: UUID
    wait: float | None
    """Seconds until there could be a place; None where it has one."""
    in_line: bool | None
    """Whether it stands in line until then; None where nobody could tell, because somebody holds its throttle."""
    age: float | None
    """Seconds since it was let through, for one that has waited or comes again."""


async def admit(conn: AsyncConnection[Any], asking: Sequence[Asking], *, channel: str) -> list[Verdict]:
    """Take a place for each of those that ask, as far as there are any; one that has its place keeps it.

    Earlier ones come first within a priority. A place is free again one period after its notification was sent, or as
    soon as that ends without having been. Where somebody holds a throttle, it is waited for a second, and not longer.

    Raises:
        psycopg.errors.LockNotAvailable: somebody makes throttles that are asked for, and takes longer.
    """
    asked = {
        "channel": channel,
        "ids": [each.id for each in asking],
        "recipients": [each.recipient for each in asking],
        "topics": [each.topic for each in asking],
        "numbers": [each.quota.number for each in asking],
        "periods": [each.quota.seconds for each in asking],
        "defers": [each.defers for each in asking],
    }
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(ADMIT, asked)
        return [Verdict(*row) for row in await cursor.fetchall()]
