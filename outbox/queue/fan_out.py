"""fan_out: what a query returns is enqueued in chunks under a name, each chunk a transaction, nobody twice."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from outbox.errors import InvalidFanOut, NotMigrated
from outbox.queue.selection import Selected

if TYPE_CHECKING:
    from collections.abc import Callable

    from outbox.queue.selection import Selection
    from outbox.steps import Steps

_FIELDS = """
       f.name, CAST(CAST(extract(epoch FROM f.started_at) * 1000000 AS bigint) AS text),
       CAST(CAST(extract(epoch FROM f.advanced_at) * 1000000 AS bigint) AS text),
       CAST(CAST(extract(epoch FROM f.finished_at) * 1000000 AS bigint) AS text), f.expected, f.selected, f.enqueued,
       f.suppressed, f.unwanted, f.duplicates, f.existing, f.invalid,
       CAST(CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint) AS text)
"""

LIST = f"SELECT {_FIELDS} FROM outbox.fan_outs f ORDER BY f.started_at DESC, f.name"  # noqa: S608 - of constants

FIND = f"""
SELECT f.content, CAST(f.last AS text), {_FIELDS}
FROM outbox.fan_outs f
WHERE f.name = CAST(:name AS text)
"""  # noqa: S608 - of constants

STAGE = """
SELECT s.selected, s.invalid, s.problems, s.examples
FROM outbox.stage_fan_out(CAST(:query AS text), CAST(:parameters AS text[]), CAST(:columns AS text[]),
                          CAST(CAST(:defaults AS text) AS jsonb), CAST(:search_path AS text),
                          CAST(CAST(:after AS text) AS uuid), CAST(CAST(:skip_invalid AS text) AS boolean)) s
"""

ADVANCE = f"""
SELECT f.content, CAST(f.last AS text), {_FIELDS}
FROM outbox.advance_fan_out(CAST(:name AS text), CAST(:content AS text), CAST(CAST(:defaults AS text) AS jsonb),
                            CAST(CAST(:chunk AS text) AS bigint), CAST(CAST(:expected AS text) AS bigint)) f
"""  # noqa: S608 - of constants

COUNT = """
SELECT CAST(s.upto AS text), s.selected, c.enqueued, c.suppressed, c.unwanted, s.duplicates, c.existing, s.invalid
FROM outbox.staged_rows(CAST(CAST(:after AS text) AS uuid), CAST(CAST(:chunk AS text) AS bigint),
                        CAST(CAST(:defaults AS text) AS jsonb)) s
CROSS JOIN LATERAL outbox.enqueue_rows(s.candidates, only_count => true) c
"""

SAMPLE = "SELECT outbox.staged_sample()"

CHUNK = 10_000
START = "00000000-0000-0000-0000-000000000000"
_NAME_TAKEN = (
    "was begun with another query, or with other parameters or fields: go on with those it was begun with, or give "
    "another name"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class FanOut:
    """A fan-out as it stands; moments are in UTC. It is through where it has `finished_at`."""

    name: str
    started_at: datetime
    advanced_at: datetime
    """When its last chunk was committed."""
    finished_at: datetime | None
    expected: int
    """How many rows there will be, as far as is known."""
    counts: Selected
    """What became of those that were gone through."""
    now: datetime
    """The database's clock, when it was asked."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a fan-out would do: counts of all that it has yet to go through, and a few of the notifications."""

    counts: Selected
    sample: list[dict[str, Any]]


def fan_out(
    name: str, selection: Selection, *, chunk: int, progress: Callable[[FanOut], object] | None
) -> Steps[FanOut]:
    """Go through what is left of a fan-out, a chunk a statement, each of which commits by itself.

    Raises:
        InvalidFanOut: the query was refused, or rows were; or the name stands for something else.
    """
    asked = yield from selection.check()
    content, last, found = yield from _find(name, selection.content)
    if found is not None and found.finished_at is not None:
        return found
    staged = yield from _stage(selection, asked | {"after": last})
    expected = staged + (found.counts.selected if found else 0)
    written = {"name": name, "content": content, "chunk": str(chunk), "expected": str(expected)}
    while True:
        ((there, _, *row),) = yield ADVANCE, written | {"defaults": asked["defaults"]}
        if there != content:
            raise InvalidFanOut("name", f"{name} {_NAME_TAKEN}")
        found = _fan_out(row)
        if progress is not None:
            progress(found)
        if found.finished_at is not None:
            return found


def forecast(name: str | None, selection: Selection, *, progress: Callable[[int], object]) -> Steps[Forecast]:
    """Count what a fan-out would still do, and write nothing. Raises as `fan_out`."""
    asked = yield from selection.check()
    after: str | None = START
    if name is not None:
        _, after, _ = yield from _find(name, selection.content)
    yield from _stage(selection, asked | {"after": after})
    ((sample,),) = yield SAMPLE, {}
    total = [0] * 7
    while after is not None:
        ((after, *counts),) = yield COUNT, {"after": after, "chunk": str(CHUNK), "defaults": asked["defaults"]}
        total = [before + int(count) for before, count in zip(total, counts, strict=True)]
        progress(total[0])
    return Forecast(Selected(*total), json.loads(sample or "[]"))


def list_fan_outs() -> Steps[list[FanOut]]:
    """Return all fan-outs, the latest first."""
    rows = yield LIST, {}
    return [_fan_out(row) for row in rows]


def _find(name: str, content: str) -> Steps[tuple[str, str, FanOut | None]]:
    rows = yield FIND, {"name": name}
    if not rows:
        return content, START, None
    there, last, *row = rows[0]
    if there != content:
        raise InvalidFanOut("name", f"{name} {_NAME_TAKEN}")
    return content, last, _fan_out(row)


def _stage(selection: Selection, asked: dict[str, Any]) -> Steps[int]:
    try:
        ((selected, invalid, problems, examples),) = yield STAGE, asked
    except NotMigrated as error:  # the schema was there a moment ago: what is missing is of the query's
        raise error.__cause__ or error from None
    selection.refuse_rows(selected, invalid, problems, examples)
    return int(selected)


def _fan_out(row: Any) -> FanOut:
    name, started_at, advanced_at, finished_at, expected, *counts, now = row
    moments = (_moment(started_at), _moment(advanced_at), None if finished_at is None else _moment(finished_at))
    return FanOut(name, *moments, expected, Selected(*counts), _moment(now))


def _moment(microseconds: str) -> datetime:
    return _EPOCH + timedelta(microseconds=int(microseconds))
