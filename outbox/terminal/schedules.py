"""`outbox schedule list`, `show` and `next` as people see them."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from outbox import schedules
from outbox.durations import describe
from outbox.errors import clean
from outbox.occurrences import Occurrences
from outbox.telling.words import age, counted, distance
from outbox.terminal.output import Column, note, print_facts, print_json, print_table, say, warn
from outbox.terminal.session import reading
from outbox.zones import zone

if TYPE_CHECKING:
    from datetime import datetime

    from outbox.schedules import Contents, Run, Schedule

_COLUMNS = (
    Column("name", "whole"),
    Column("state", "whole"),
    Column("when", "whole"),
    Column("next", "whole"),
    Column("last run", "cut"),
)
_RUNS = (
    Column("occurrence", "whole"),
    Column("enqueued", "number"),
    Column("took", "number"),
    Column("by", "whole"),
    Column("", "cut"),
)
_NEXT = (Column("next", "whole"), Column("in UTC", "whole"), Column("from now", "whole"))
_SHOWN = 10
_OVERDUE = 60.0


def list_all(url: str, *, as_json: bool) -> int:
    """Print all schedules, and what is amiss with any."""
    with reading(url) as conn:
        found = schedules.list_all(conn)
        last = {run.schedule: run for run in schedules.runs(conn, limit=1)}
    if as_json:
        print_json({"schedules": [document(each) | {"last_run": _last(last.get(each.name))} for each in found]})
        return 0
    if not found:
        note("there are no schedules yet: outbox schedule add --help")
        return 0
    print_table(_COLUMNS, [_row(each, last.get(each.name)) for each in found])
    for each in found:
        _warn_of(each)
    return 0


def show(url: str, name: str, *, as_json: bool) -> int:
    """Print a schedule, its query, and what became of its last occurrences.

    Raises:
        UnknownSchedule: there is none of that name.
    """
    with reading(url) as conn:
        found, contents = schedules.find(conn, name), schedules.contents(conn, name)
        runs = schedules.runs(conn, name, limit=_SHOWN)
    if as_json:
        print_json(document(found) | asdict(contents) | {"runs": [asdict(run) for run in runs]})
        return 0
    _print(found, contents)
    if runs:
        say()
        print_table(_RUNS, [_run(run, found) for run in runs])
    _warn_of(found)
    return 0


def upcoming(url: str, name: str, *, count: int, as_json: bool) -> int:
    """Print the next occurrences of a schedule.

    Raises:
        UnknownSchedule: there is none of that name.
    """
    with reading(url) as conn:
        found = schedules.find(conn, name)
    if as_json:
        print_json({"name": name, "time_zone": found.time_zone, "next": _next(found, count)})
        return 0
    print_next(found, count)
    if found.paused_at is not None:
        note(f"it is paused: outbox schedule resume {name}")
    return 0


def print_next(found: Schedule, count: int) -> None:
    """Print the next occurrences, by the schedule's clocks, in UTC, and from now."""
    rows = [
        [_local(at, found), f"{at:%Y-%m-%d %H:%M}", distance(at, found.now)]
        for at in schedules.occurrences(found, count)
    ]
    print_table(_NEXT, rows)


def document(found: Schedule) -> dict[str, Any]:
    """Return a schedule as JSON has it."""
    values = asdict(found)
    del values["now"]
    return values | {"state": _state(found)}


def with_next(found: Schedule, count: int) -> dict[str, Any]:
    """Return a schedule and its next occurrences as JSON has them."""
    return document(found) | {"next": _next(found, count)}


def _next(found: Schedule, count: int) -> list[dict[str, Any]]:
    local = zone(found.time_zone)
    return [{"at": at, "local": at.astimezone(local).isoformat()} for at in schedules.occurrences(found, count)]


def _last(run: Run | None) -> dict[str, Any] | None:
    return None if run is None else asdict(run)


def _state(found: Schedule) -> str:
    if found.paused_at is not None:
        return "paused"
    if found.failures:
        return "failing"
    return "overdue" if (found.now - found.next_at).total_seconds() > _OVERDUE else "ready"


def _row(found: Schedule, last: Run | None) -> list[str]:
    next_at = "-" if found.paused_at else f"{_local(found.next_at, found)}, {distance(found.next_at, found.now)}"
    when = f"{found.cron} {found.time_zone}"
    if last is None:
        return [found.name, _state(found), when, next_at, "never"]
    ended = f"failed: {last.error}" if last.error else f"enqueued {last.enqueued:,}"
    return [found.name, _state(found), when, next_at, f"{distance(last.ran_at, found.now)}, {ended}"]


def _print(found: Schedule, contents: Contents) -> None:
    facts = [
        ("schedule", found.name),
        ("state", _state(found)),
        ("when", f"{found.cron}: {Occurrences(found.cron, found.time_zone).words}, by the clocks of {found.time_zone}"),
        ("next", None if found.paused_at else f"{_local(found.next_at, found)}, {distance(found.next_at, found.now)}"),
        ("paused", distance(found.paused_at, found.now) if found.paused_at else None),
        ("missed", found.missed),
        ("timeout", describe(found.timeout)),
        ("failures", str(found.failures) if found.failures else None),
        ("problem", found.problem),
        ("tried again", distance(found.retry_at, found.now) if found.retry_at else None),
        ("returns", ", ".join(contents.columns)),
        *((f"each {field}", _words(value)) for field, value in contents.defaults.items()),
        ("tables in", contents.search_path or "no schema but those it names"),
    ]
    print_facts(facts)
    say()
    for line in contents.query.splitlines():
        say(" " * (len(line) - len(line.lstrip())) + clean(line))


def _words(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _run(run: Run, found: Schedule) -> list[str]:
    failed = f" after {counted(run.failures, 'failure')}" if run.failures and not run.error else ""
    words = f"failed {run.failures} times: {run.error}" if run.error else failed.strip()
    took = "-" if run.seconds is None else age(run.seconds)
    enqueued = "-" if run.enqueued is None else f"{run.enqueued:,}"
    return [_local(run.occurrence, found), enqueued, took, run.ran_by, words]


def _warn_of(found: Schedule) -> None:
    if _state(found) == "failing":
        again = f", and is tried again {distance(found.retry_at, found.now)}" if found.retry_at else ""
        warn(f"{found.name} has failed {counted(found.failures, 'time')} in a row{again}: {found.problem}")
    elif _state(found) == "overdue":
        warn(f"{found.name} was due {distance(found.next_at, found.now)}, and no worker has run it: outbox status")


def _local(at: datetime, found: Schedule) -> str:
    return _clock(at.astimezone(zone(found.time_zone)))


def _clock(at: datetime) -> str:
    return f"{at:%a %Y-%m-%d %H:%M %Z}"
