"""`outbox import … --sketch`: a mapping file to begin with, of the tasks that wait."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from outbox.importing.mapping import Mapping, Rule
from outbox.importing.source import CannotCarry
from outbox.terminal.output import note, say

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from psycopg import Connection

    from outbox.importing.source import Source

_LOOKED_AT = 1_000


def sketch(conn: Connection[Any], make: Callable[[Mapping], Source]) -> int:
    """Print a table for each task that waits, with the names of its arguments; its channel is left to be filled in."""
    counts: dict[str, int] = {}
    for each in make(Mapping()).standings(conn):
        if each.state == "waiting":
            counts[each.task] = counts.get(each.task, 0) + each.count
    source = make(Mapping(tasks={task: Rule(channel="unknown") for task in counts}))
    arguments: dict[str, set[str]] = {}
    unread: dict[str, None] = {}
    for entry in source.take(conn, None, _LOOKED_AT, lock=False):
        try:
            arguments.setdefault(entry.task, set()).update(source.translate(entry)[0]["payload"])
        except CannotCarry as error:
            unread[f"{entry.task}: {error}"] = None
    for problem in unread:
        note(problem)
    write((task, count, arguments.get(task)) for task, count in counts.items())
    return 0


def write(tasks: Iterable[tuple[str, int, Collection[str] | None]]) -> None:
    """Print the tables; arguments that nobody has seen are None."""
    for task, count, arguments in tasks:
        say(f"[tasks.{json.dumps(task)}]  # {count:,} of it")
        say('channel = ""  # email, or one of your own; or leave = true, and it stays')
        seen = "unknown" if arguments is None else ", ".join(sorted(arguments)) or "none"
        say(f'# recipient = "{{email}}"  # arguments: {seen}')
        say()
