"""`outbox fan-out run` and `list` as people see them."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import psycopg

from outbox import fan_outs
from outbox.database import describe
from outbox.errors import ConfigError, InvalidFanOut
from outbox.telling.words import counted, distance
from outbox.terminal.fields import read_fields, warn_of_channel
from outbox.terminal.given import read_text
from outbox.terminal.output import Column, done, note, print_json, print_table, say, warn_aside
from outbox.terminal.progress import toward
from outbox.terminal.session import reading, writing
from outbox.terminal.setup import FAILED, complain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg import Connection

    from outbox.config import Config
    from outbox.fan_outs import FanOut, Forecast
    from outbox.queue.selection import Selected

_TEXTS = ("channel", "template", "idempotency_key", "topic", "group_key", "locale")
_COLUMNS = (
    Column("name", "whole"),
    Column("state", "whole"),
    Column("started", "whole"),
    Column("rows", "number"),
    Column("enqueued", "number"),
    Column("not enqueued", "cut"),
)
_WRITTEN = {"name": "NAME", "query": "--sql", "parameters": "--param"}


def run(settings: Config, options: Mapping[str, Any], *, as_json: bool) -> int:
    """Run a fan-out, or go on with it, or only tell; 1 if it was interrupted, or the query failed.

    Raises:
        ConfigError: an argument or a row was refused; the sentence begins with the option.
    """
    fields, written = read_fields(options, _TEXTS)
    fields["on_invalid"] = "skip" if options["skip_invalid"] else "refuse"
    name, query, parameters = options["name"], _query(options["sql"]), _parameters(options["param"] or [])
    if fields["channel"]:
        warn_of_channel(settings, fields["channel"])
    try:
        with writing(settings.database_url) as conn:
            conn.autocommit = True
            if options["dry_run"]:
                return _foretell(conn, name, query, parameters, fields, as_json=as_json)
            return _run(conn, name, query, parameters, fields | {"chunk": options["chunk"]}, as_json=as_json)
    except InvalidFanOut as error:
        option = _WRITTEN.get(error.field, written.get(error.field, "--" + error.field.replace("_", "-")))
        problem = error.problem.replace("on_invalid='skip'", "--skip-invalid")
        shown = [f"{recipient or 'a row without a recipient'}: {problem}" for recipient, problem in error.examples]
        raise ConfigError([f"{option}: {problem}", *shown]) from None
    except psycopg.Error as error:
        if error.sqlstate is None:  # not the query's, but the connection's
            raise
        complain(f"the query failed: {describe(error)}")
        return FAILED


def _run(
    conn: Connection[Any],
    name: str,
    query: str,
    parameters: Mapping[str, Any],
    given: dict[str, Any],
    *,
    as_json: bool,
) -> int:
    told: list[FanOut] = []
    with toward("enqueueing") as progress:

        def advance(found: FanOut) -> None:
            told[:] = [found]
            progress(found.counts.selected, found.expected)

        try:
            found = fan_outs.run(conn, name, query, parameters, on_progress=advance, **given)
        except KeyboardInterrupt:
            rows = counted(told[0].counts.selected if told else 0, "row")
            warn_aside(f"interrupted after {rows}: run the same again, and it goes on")
            return FAILED
    if as_json:
        print_json(_document(found))
        return 0
    if not told:
        say(f"{name} was through already, {distance(found.finished_at or found.now, found.now)}; nothing was done")
    done(f"enqueued {counted(found.counts.enqueued, 'notification')} of {counted(found.counts.selected, 'row')}")
    _say_left_out(found.counts)
    note("outbox status shows how they go out; to take back what still waits: outbox.cancel(group_key => …)")
    return 0


def _foretell(
    conn: Connection[Any],
    name: str,
    query: str,
    parameters: Mapping[str, Any],
    given: dict[str, Any],
    *,
    as_json: bool,
) -> int:
    with toward("counting") as progress:
        found: Forecast = fan_outs.forecast(
            conn, query, parameters, name=name, on_progress=lambda rows: progress(rows, None), **given
        )
    if as_json:
        print_json({"name": name, "would": asdict(found.counts), "sample": found.sample})
        return 0
    say(f"would enqueue {counted(found.counts.enqueued, 'notification')} of {counted(found.counts.selected, 'row')}")
    _say_left_out(found.counts)
    for one in found.sample:
        payload = json.dumps(one["payload"] or {}, ensure_ascii=False)
        say(f"  such as {one['recipient']} by {one['channel']}, template {one['template'] or '-'}, {payload}")
    return 0


def list_all(url: str, *, as_json: bool) -> int:
    """Print all fan-outs, the latest first."""
    with reading(url) as conn:
        found = fan_outs.list_all(conn)
    if as_json:
        print_json({"fan_outs": [_document(each) for each in found]})
        return 0
    if not found:
        note("there are no fan-outs yet: outbox fan-out run --help")
        return 0
    print_table(_COLUMNS, [_row(each) for each in found])
    return 0


def _row(found: FanOut) -> list[str]:
    ended = found.finished_at
    state = "finished" if ended else f"{found.counts.selected * 100 // max(found.expected, 1)} %"
    last = "" if ended else f", last chunk {distance(found.advanced_at, found.now)}"
    left_out = ", ".join(_left_out(found.counts)) or "-"
    started = f"{distance(found.started_at, found.now)}{last}"
    return [found.name, state, started, f"{found.counts.selected:,}", f"{found.counts.enqueued:,}", left_out]


def _document(found: FanOut) -> dict[str, Any]:
    values = asdict(found)
    del values["now"]
    return values


def _left_out(counts: Selected) -> list[str]:
    names = ("suppressed", "unwanted", "duplicates", "existing", "invalid")
    return [f"{getattr(counts, name):,} {name}" for name in names if getattr(counts, name)]


def _say_left_out(counts: Selected) -> None:
    words = {
        "suppressed": "must not be contacted",
        "unwanted": "do not want the topic",
        "duplicates": "for a recipient who had one already",
        "existing": "there already, by their idempotency key",
        "invalid": "can be no notification",
    }
    for name, meaning in words.items():
        if number := getattr(counts, name):
            say(f"  {number:,} {meaning}")


def _query(text: str) -> str:
    try:
        return read_text(text)
    except ValueError as error:
        raise ConfigError([f"--sql: {error}"]) from None


def _parameters(given: list[str]) -> dict[str, str]:
    """Return the parameters by name.

    Raises:
        ConfigError: one is not NAME=VALUE, or is there twice.
    """
    found: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigError([f"--param: {each!r} is not NAME=VALUE, such as country=DE"])
        if name in found:
            raise ConfigError([f"--param: {name} is given twice"])
        found[name] = value
    return found
