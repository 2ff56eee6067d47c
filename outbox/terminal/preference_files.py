"""`outbox preference import` and `export`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outbox.queue import load_preferences as loading
from outbox.queue.said import said
from outbox.telling.words import counted
from outbox.terminal.actor import write_down
from outbox.terminal.output import done, note, print_json, say, warn
from outbox.terminal.preference_lines import COLUMNS, read, texts
from outbox.terminal.progress import bar
from outbox.terminal.session import reading, staging
from outbox.terminal.table_files import sweep_all, take_in, tell_swept, writer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from psycopg import Connection

_TOLD = ("lines", "written", "changed", "outdated", "lifted", "ended", "in_hand")


def take(url: str, file: str, defaults: Mapping[str, str], *, dry_run: bool, as_json: bool) -> int:
    """Write down the preferences of a file, or of standard input for `-`, and end what waits; or only tell.

    Raises:
        ConfigError: the file cannot be read, or some of its lines are wrong; nothing was written then.
        OutboxError: a pooler stands between.
    """
    with staging(url) as conn:
        declared = loading.declared(conn)
        lines = take_in(file, lambda source: read(source, defaults, declared), lambda some: loading.stage(conn, some))
        with bar("sorting", None):
            foreseen = loading.merge(conn)
            waiting = loading.count_waiting(conn) if dry_run else 0
        conn.commit()
        if dry_run:
            _foretell(lines, foreseen, waiting, as_json=as_json)
            return 0
        told = dict.fromkeys(_TOLD, 0) | {"lines": lines, "taken": 0}
        try:
            _load(conn, foreseen.found, told)
            sweep_all(conn, loading.sweep, told)
        finally:  # what was committed is told, whatever stopped the rest
            told["written"] = told["taken"] - told["outdated"]
            _tell(told, foreseen.found, as_json=as_json)
    return 0


def _load(conn: Connection[Any], found: int, told: dict[str, int]) -> None:
    with bar("writing", found) as advance:
        while told["taken"] < found:
            some = loading.load(conn, told["taken"])
            if not told["taken"]:  # once, with the first of them: what stops the rest leaves a trace, too
                counts = {"lines": told["lines"], "preferences": found}
                write_down(conn, action="set_preference", subject="preferences", details=counts)
            conn.commit()
            told["taken"] += some.taken
            told["changed"] += some.new
            told["outdated"] += some.outdated
            told["lifted"] += some.lifted
            advance(some.taken)


def _foretell(lines: int, foreseen: loading.Foreseen, waiting: int, *, as_json: bool) -> None:
    written = foreseen.found - foreseen.outdated
    if as_json:
        print_json(
            {
                "lines": lines,
                "would_write": written,
                "would_change": foreseen.new,
                "outdated": foreseen.outdated,
                "would_end": waiting,
            }
        )
        return
    say(f"would write {counted(written, 'preference')}, {foreseen.new:,} of them new or changed")
    _outdated(foreseen.outdated)
    if waiting:
        say(f"would end {counted(waiting, 'notification')} that wait")


def _tell(told: Mapping[str, int], found: int, *, as_json: bool) -> None:
    if as_json:
        print_json({name: told[name] for name in _TOLD})
        return
    if told["taken"] < found:
        warn(f"{found - told['taken']:,} were not written; run this again, and it goes on")
    done(f"wrote {counted(told['written'], 'preference')}, {told['changed']:,} of them new or changed")
    _outdated(told["outdated"])
    if told["lifted"]:
        done(f"lifted {counted(told['lifted'], 'suppression')} of a topic that is wanted: unsubscribed")
    tell_swept(told)


def _outdated(count: int) -> None:
    if count:
        note(f"{counted(count, 'line')} left out: they have said something since")


def give(url: str, filters: Mapping[str, str | None], *, form: str, output: Path | None) -> int:
    """Write what people said to a file or to standard output, as `import` reads it.

    Raises:
        ConfigError: there is no such format, or the file cannot be written.
    """
    write = writer(COLUMNS, form, output)
    with reading(url) as conn:
        write(texts(row) for row in said(conn, filters))
    return 0
