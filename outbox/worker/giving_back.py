"""giving_back: gives back what was claimed and not begun, also what a renewal of ours has locked this moment."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING

from outbox.queue.release import release

if TYPE_CHECKING:
    from collections.abc import Iterable

    from outbox.database import Link
    from outbox.lease import Lease

_PATIENCE = 1.0
_PAUSE = 0.05


async def give_back(link: Link, leases: Iterable[Lease], *, worker: int) -> int:
    """Give back what nobody began; return how many were still ours to give.

    The lifeline renews them meanwhile, and a row that it has locked is tried again. Left to its lease, nobody has
    it for so long, and it counts as lost by us, which for a suspect may be the last time. What somebody else keeps
    locked for longer (a second) comes back by its lease.
    """
    held = {lease.claimed.id: lease.claimed.claim for lease in leases}
    given, ends = 0, time.monotonic() + _PATIENCE
    while held:
        back, locked = await link.run(partial(release, held=held, worker=worker))
        given += len(back)
        held = {identity: claim for identity, claim in held.items() if identity in locked}
        if not held or time.monotonic() >= ends:
            break
        await asyncio.sleep(_PAUSE)
    return given
