"""swept: what a look through the whole queue has done, a page at a time."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

START = UUID(int=0)


class Swept(NamedTuple):
    """What a page of the queue had: how many were looked at, ended, and left in somebody's hands; where to go on."""

    looked: int
    ended: int
    in_hand: int
    last: UUID | None
