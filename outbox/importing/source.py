"""What is asked of a source that lives in PostgreSQL, and the words for what it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from psycopg import Connection

State: TypeAlias = Literal["waiting", "running", "failed", "ended"]
Cursor: TypeAlias = "tuple[int, ...] | None"


class CannotCarry(Exception):
    """What waits at the source cannot become a notification: it stays there. Says why, and nothing of what it says."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the source. Its repr hides what it says."""

    id: int
    task: str
    """What kind of work it is: a task, an entrypoint, a template; `mapping` files speak of these."""
    cursor: tuple[int, ...]
    """Where it stands in the order in which the rows are taken."""
    row: dict[str, Any]

    def __repr__(self) -> str:
        """Show which it is."""
        return f"Entry({self.id}, {self.task!r}, row=…)"


@dataclass(frozen=True, slots=True)
class Standing:
    """How many of one task, in one queue, are in one state."""

    task: str
    queue: str
    state: State
    count: int


class Periodic(NamedTuple):
    """Something that the source starts again and again; `cron` is None where only the application's code knows it."""

    task: str
    cron: str | None
    arguments: str = ""


class Source(Protocol):
    """A queue in PostgreSQL. None of its methods commits."""

    name: str
    """What the idempotency keys begin with: `procrastinate` for `procrastinate:4711`."""

    def standings(self, conn: Connection[Any]) -> Sequence[Standing]:
        """Count everything that it holds."""

    def take(self, conn: Connection[Any], after: Cursor, limit: int, *, lock: bool) -> Sequence[Entry]:
        """Return the next rows that wait, skipping those that somebody has locked; `lock` them till the commit."""

    def translate(self, entry: Entry) -> Sequence[dict[str, Any]]:
        """Return the arguments of the enqueues that it becomes. Raises `CannotCarry`."""

    def behind(self, conn: Connection[Any], entries: Sequence[Entry]) -> Collection[int]:
        """Return the ids of those, of `entries` that were taken, that must not begin before others that were not."""

    def mark(self, conn: Connection[Any], ids: Sequence[int]) -> None:
        """Note at the source that these are done with, so that it never starts them."""

    def periodics(self, conn: Connection[Any]) -> Sequence[Periodic]:
        """Return what it starts again and again."""
