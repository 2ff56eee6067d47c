"""Several notifications and their lines: what `database` says of one, put together with who stands behind whom.

As `database` does, it speaks of what was committed, and of time as what has passed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.model.database import Row, Tables

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from uuid import UUID


@dataclass(eq=False)
class One:
    """One notification. `session` is the transaction that has not committed it yet."""

    id: UUID
    key: str | None
    priority: int
    later: bool
    """Its own run_at lies ahead."""
    session: int | None = None
    tables: Tables = field(default_factory=Tables)
    place: int = 0
    blocked: bool = False
    behind: frozenset[tuple[One, int]] = frozenset()
    """Those ahead of it, each with its place: while one of them is in the queue, it may not be begun."""
    claims: int = 0
    """The highest claim that there was."""

    @property
    def row(self) -> Row:
        """Its row in the queue, which must be there."""
        assert self.tables.row is not None
        return self.tables.row

    def change(self, **columns: object) -> None:
        """Write to its row."""
        self.tables = self.tables._replace(row=self.row._replace(**columns))  # type: ignore[arg-type]


@dataclass
class Lines:
    """All notifications there are, in the order in which they were enqueued."""

    every: list[One] = field(default_factory=list)
    places: int = 0

    def queued(self, session: int | None = None) -> Iterator[One]:
        """Yield what is in the queue, for whoever reads in this transaction."""
        return (one for one in self.every if one.tables.row is not None and one.session in {None, session})

    def line(self, key: str | None, session: int | None = None) -> list[One]:
        """Return those in the queue with this key, in order."""
        same = [one for one in self.queued(session) if key is not None and one.key == key]
        return sorted(same, key=lambda one: one.place)

    def stand(self, one: One, row: Row) -> None:
        """Put one into the queue, at the end of its line."""
        ahead = [other for other in self.line(one.key, one.session) if other is not one]
        self.places += 1
        one.place, one.blocked = self.places, bool(ahead)
        one.behind = frozenset((other, other.place) for other in ahead)
        one.tables = one.tables._replace(row=row._replace(due=not one.blocked and row.due))

    def is_first(self, one: One) -> bool:
        """Tell whether nobody is ahead of it."""
        return one.key is None or self.line(one.key)[0] is one

    def claimable(self) -> list[One]:
        """Return what a claim may take, and takes if there is room."""
        return [one for one in self.queued() if one.row.due and not one.row.locked and self.is_first(one)]

    def overtaken(self, one: One) -> list[One]:
        """Return those that it may not be begun before."""
        return [other for other, place in one.behind if other.tables.row is not None and other.place == place]

    def leave(self, one: One, besides: Collection[One] = ()) -> None:
        """Note that one has left the queue by a settlement: the next of its line may go on."""
        behind = [other for other in self.line(one.key) if other.place > one.place and other not in besides]
        self._unblock(behind[:1])

    def chore(self) -> int:
        """Let those go on who stand first and are blocked; return how many."""
        heads = [self.line(key)[0] for key in sorted({one.key for one in self.queued() if one.blocked and one.key})]
        return sum(self._unblock([head]) for head in heads if head.blocked)

    def _unblock(self, those: Collection[One]) -> int:
        free = [one for one in those if one.row.worker is None and not one.row.locked and (one.blocked or one.row.due)]
        for one in free:
            one.blocked = False
            one.change(due=not one.later)
        return len(free)
