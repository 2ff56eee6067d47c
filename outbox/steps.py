"""Several statements, one after another, on the caller's connection: written once, run synchronously or not.

A function that has to ask more than once is a generator: it yields statements, is sent their rows, and returns what it
found. What goes wrong with a statement is raised where it was yielded.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from outbox import connections

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outbox.connections import Parameters, Row

T = TypeVar("T")
Statement: TypeAlias = "tuple[str, Parameters]"
Steps: TypeAlias = Generator["Statement", "Sequence[Row]", T]


def run(conn: Any, steps: Steps[T], *, allow_autocommit: bool = True) -> T:
    """Take the steps on any synchronous connection, in its transaction; raises as they do, and as `connections.run`."""
    try:
        statement = next(steps)
        while True:
            try:
                rows = connections.run(conn, *statement, allow_autocommit=allow_autocommit)
            except Exception as error:  # noqa: BLE001 - raised again in there, unless it is dealt with
                statement = steps.throw(error)
            else:
                statement = steps.send(rows)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


async def arun(conn: Any, steps: Steps[T], *, allow_autocommit: bool = True) -> T:
    """Do as `run` does, on an asynchronous connection."""
    try:
        statement = next(steps)
        while True:
            try:
                rows = await connections.arun(conn, *statement, allow_autocommit=allow_autocommit)
            except Exception as error:  # noqa: BLE001 - as above
                statement = steps.throw(error)
            else:
                statement = steps.send(rows)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
