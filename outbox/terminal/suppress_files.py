"""`outbox suppress import` and `export`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outbox.queue import load
from outbox.suppressions import page
from outbox.telling.words import counted
from outbox.terminal.actor import write_down
from outbox.terminal.output import done, print_json, say, warn
from outbox.terminal.progress import bar
from outbox.terminal.session import reading, staging
from outbox.terminal.suppression_lines import COLUMNS, read, texts
from outbox.terminal.table_files import sweep_all, take_in, tell_swept, writer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from psycopg import Connection

    from outbox.suppressions import Suppression

_EXPORTED = 5_000


def take(url: str, file: str, defaults: Mapping[str, str], *, dry_run: bool, as_json: bool) -> int:
    """Add the suppressions of a file, or of standard input for `-`, and end what waits; or only tell.

    Raises:
        ConfigError: the file cannot be read, or some of its lines are wrong; nothing was written then.
        OutboxError: a pooler stands between.
    """
    with staging(url) as conn:
        lines = take_in(file, lambda source: read(source, defaults), lambda some: load.stage(conn, some))
        with bar("sorting", None):
            found, new = load.merge(conn)
            waiting = load.count_waiting(conn) if dry_run else 0
        conn.commit()
        told = {"lines": lines, "suppressions": found, "new": new}
        if dry_run:
            _foretell(told | {"waiting": waiting}, as_json=as_json)
            return 0
        told |= {"added": 0, "new": 0, "ended": 0, "in_hand": 0}
        try:
            _load(conn, found, told)
            sweep_all(conn, load.sweep, told)
        finally:  # what was committed is told, whatever stopped the rest
            _tell(told, as_json=as_json)
    return 0


def _load(conn: Connection[Any], found: int, told: dict[str, int]) -> None:
    with bar("adding", found) as advance:
        while told["added"] < found:
            added, new = load.load(conn, told["added"])
            if not told["added"]:  # once, with the first of them: what stops the rest leaves a trace, too
                counts = {"lines": told["lines"], "suppressions": found}
                write_down(conn, action="suppress", subject="suppressions", details=counts)
            conn.commit()
            told["added"] += added
            told["new"] += new
            advance(added)


def _foretell(told: Mapping[str, int], *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "lines": told["lines"],
                "would_add": told["suppressions"],
                "new": told["new"],
                "would_end": told["waiting"],
            }
        )
        return
    say(f"would add {counted(told['suppressions'], 'suppression')}, {told['new']:,} of them new")
    if told["waiting"]:
        say(f"would end {counted(told['waiting'], 'notification')} that wait")


def _tell(told: Mapping[str, int], *, as_json: bool) -> None:
    if as_json:
        print_json({name: told[name] for name in ("lines", "added", "new", "ended", "in_hand")})
        return
    if told["added"] < told["suppressions"]:
        warn(f"{told['suppressions'] - told['added']:,} were not added; run this again, and it goes on")
    done(f"added {counted(told['added'], 'suppression')}, {told['new']:,} of them new")
    tell_swept(told)


def give(url: str, filters: Mapping[str, str | None], *, form: str, output: Path | None) -> int:
    """Write the suppressions that hold now to a file or to standard output, as `import` reads them.

    Raises:
        ConfigError: there is no such format, or the file cannot be written.
    """
    write = writer(COLUMNS, form, output)
    with reading(url) as conn:
        write(texts(one) for one in _every(conn, filters))
    return 0


def _every(conn: Connection[Any], filters: Mapping[str, str | None]) -> Iterator[Suppression]:
    after = None
    while True:
        found = page(conn, **filters, limit=_EXPORTED, after=after)
        yield from found.items
        if (after := found.next) is None:
            return
