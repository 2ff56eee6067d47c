"""`outbox schedule add`, `pause`, `resume`, `run-now` and `remove` as people see them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import psycopg
import typer

from outbox import schedules
from outbox.database import describe
from outbox.durations import parse
from outbox.errors import ConfigError, InvalidSchedule
from outbox.occurrences import Occurrences
from outbox.telling.words import counted
from outbox.terminal.actor import write_down
from outbox.terminal.given import read_json, read_text
from outbox.terminal.output import done, note, print_json, say
from outbox.terminal.progress import waiting
from outbox.terminal.schedules import document, print_next, with_next
from outbox.terminal.session import writing
from outbox.terminal.setup import FAILED, complain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SHOWN = 3
_TEXTS = ("channel", "template", "topic", "group_key", "locale")
_WRITTEN = {"name": "NAME", "cron": "CRON", "query": "--sql", "time_zone": "--tz"}


def add(url: str, options: Mapping[str, Any], *, as_json: bool) -> int:
    """Add a schedule, and print when it comes due, so that a mistake is seen.

    Raises:
        ConfigError: an argument was refused; the sentence begins with it.
    """
    given = _arguments(options)
    try:
        with writing(url) as conn:
            added = schedules.add(conn, options["name"], options["cron"], **given)
            details = {"cron": added.cron, "time_zone": added.time_zone, "replace": options["replace"]}
            write_down(conn, action="add", subject=_subject(added.name), details=details)
    except InvalidSchedule as error:
        written = _WRITTEN.get(error.field, "--" + error.field.replace("_", "-"))
        raise ConfigError([f"{written}: {error.problem}"]) from None
    if as_json:
        print_json(with_next(added, _SHOWN))
        return 0
    words = Occurrences(added.cron, added.time_zone).words
    done(f"added {added.name}: {words}, by the clocks of {added.time_zone}")
    print_next(added, _SHOWN)
    note(f"try it: outbox schedule run-now {added.name}; the workers' role must be able to run it, too")
    return 0


def pause(url: str, name: str, *, as_json: bool) -> int:
    """Pause a schedule, which may be paused already.

    Raises:
        UnknownSchedule: there is none of that name.
    """
    with writing(url) as conn:
        changed = schedules.pause(conn, name)
        if changed:
            write_down(conn, action="pause", subject=_subject(name))
        found = schedules.find(conn, name)
    if as_json:
        print_json(document(found))
    elif changed:
        done(f"paused {name}")
    else:
        say(f"{name} was paused already")
    return 0


def resume(url: str, name: str, *, as_json: bool) -> int:
    """Resume a schedule, and print when it comes due.

    Raises:
        UnknownSchedule: there is none of that name.
    """
    with writing(url) as conn:
        was_paused = schedules.find(conn, name).paused_at is not None
        found = schedules.resume(conn, name)
        if was_paused:
            write_down(conn, action="resume", subject=_subject(name))
    if as_json:
        print_json(with_next(found, _SHOWN))
        return 0
    if was_paused:
        done(f"resumed {name}")
    else:
        say(f"{name} was not paused")
    print_next(found, _SHOWN)
    return 0


def run_now(url: str, name: str, *, as_json: bool) -> int:
    """Enqueue what the query returns now; 1 if it fails, and then nothing is enqueued.

    Raises:
        UnknownSchedule: there is none of that name.
    """
    with writing(url) as conn:
        try:
            with waiting(f"enqueueing what the query of {name} returns"):
                enqueued = schedules.run_now(conn, name)
        except psycopg.Error as error:  # a table that is missing is one of the query's
            conn.rollback()
            complain(f"the query of {name} failed: {describe(error)}")
            return FAILED
        write_down(conn, action="run_now", subject=_subject(name), details={"enqueued": enqueued})
    if as_json:
        print_json({"name": name, "enqueued": enqueued})
    else:
        done(f"enqueued {counted(enqueued, 'notification')}")
    return 0


def remove(url: str, name: str, *, sure: bool, as_json: bool) -> int:
    """Remove a schedule, after asking.

    Raises:
        ConfigError: there is nobody to ask, and it is not sure.
        UnknownSchedule: there is none of that name.
    """
    if not (sure or sys.stdin.isatty()):
        raise ConfigError(["remove asks before it removes anything, and there is nobody to ask: add --yes"])
    with writing(url) as conn:
        schedules.find(conn, name)
        conn.commit()  # no transaction stays open while a person thinks
        if not sure and not typer.confirm(f"Remove {name} and the record of its runs?", err=True):
            return FAILED
        schedules.remove(conn, name)
        write_down(conn, action="remove", subject=_subject(name))
    if as_json:
        print_json({"removed": name})
    else:
        done(f"removed {name}; what it enqueued stays")
    return 0


def _subject(name: str) -> str:
    return f"schedule:{name}"


def _arguments(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `add`; with every mistake in how they are written at once."""
    given: dict[str, Any] = {name: options[name] for name in _TEXTS} | {
        "time_zone": options["tz"], "missed": options["missed"], "replace": options["replace"]
    }  # fmt: skip
    problems: list[str] = []

    def put(name: str, option: str, read: Callable[[str], Any]) -> None:
        if options[option] is None:
            return
        try:
            given[name] = read(options[option])
        except ValueError as error:
            problems.append(f"--{option}: {error}")

    put("query", "sql", read_text)
    put("timeout", "timeout", parse)
    put("payload", "payload", read_json)
    put("headers", "headers", read_json)
    put("priority", "priority", lambda text: int(text) if text.isdecimal() else text)
    if problems:
        raise ConfigError(problems)
    return given
