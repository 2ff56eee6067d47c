"""Fan-outs: a query of the application's own is enqueued in chunks under a name, for a million, and nobody twice.

    fan_outs.run(conn, "spring-sale", "SELECT email AS recipient FROM users", channel="email", template="sale")

Run again under its name, a fan-out that was interrupted goes on, and one that is through does nothing. Each function
has an asynchronous twin whose name begins with an a. All raise NotMigrated where the database has no outbox. For what
is to commit with a transaction of yours there is `outbox.enqueue_select`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from outbox import connections, steps
from outbox.errors import InvalidFanOut, UnknownFanOut
from outbox.queue import fan_out
from outbox.queue.enqueue_select import Fields
from outbox.queue.fan_out import CHUNK, FanOut, Forecast
from outbox.queue.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Unpack

    from outbox.steps import Steps

__all__ = [
    "CHUNK",
    "FanOut",
    "Fields",
    "Forecast",
    "afind",
    "aforecast",
    "alist_all",
    "arun",
    "find",
    "forecast",
    "list_all",
    "run",
]

LARGEST_CHUNK = 100_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


def run(
    conn: Any,
    name: str,
    query: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    chunk: int = CHUNK,
    on_invalid: str = "refuse",
    on_progress: Callable[[FanOut], object] | None = None,
    **fields: Unpack[Fields],
) -> FanOut:
    """Enqueue what a query returns, as `enqueue_select` does, but `chunk` rows in a transaction, and once for a name.

    The query is run once, into a table of the session's own, so the connection must be one session: not one behind a
    pooler in transaction mode. Every row is looked at before any is enqueued. Rows that give no `group_key` get
    `fan-out:` and the name, so that `cancel` takes back what still waits.

    Args:
        conn: a connection in autocommit mode, of any kind that `enqueue` takes: each chunk commits by itself.
        name: letters, digits, `_`, `.` and `-`. Under it, the same query, parameters and fields go on where they were.
        query: as that of `enqueue_select`.
        parameters: as those of `enqueue_select`.
        chunk: about how many rows are enqueued in one transaction.
        on_invalid: as that of `enqueue_select`.
        on_progress: called after each chunk; `counts.selected` of `expected` rows are done.
        fields: as those of `enqueue_select`.

    Raises:
        InvalidFanOut: an argument or a row was refused, and nothing was enqueued by this call; or the name was begun
            with something else.
        Exception: whatever the query runs into, as the driver has it.
    """
    work = _run(name, query, parameters, fields, chunk=chunk, on_invalid=on_invalid, on_progress=on_progress)
    _refuse_transaction(open_=connections.in_transaction(conn))
    return steps.run(conn, work)


async def arun(
    conn: Any,
    name: str,
    query: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    chunk: int = CHUNK,
    on_invalid: str = "refuse",
    on_progress: Callable[[FanOut], object] | None = None,
    **fields: Unpack[Fields],
) -> FanOut:
    """Do as `run` does, on an asynchronous connection. `on_progress` is no coroutine."""
    work = _run(name, query, parameters, fields, chunk=chunk, on_invalid=on_invalid, on_progress=on_progress)
    _refuse_transaction(open_=await connections.ain_transaction(conn))
    return await steps.arun(conn, work)


def forecast(
    conn: Any,
    query: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    on_invalid: str = "refuse",
    on_progress: Callable[[int], object] = bool,
    **fields: Unpack[Fields],
) -> Forecast:
    """Count what `run` would do, or would still do under a name, and write nothing. Raises as `run`."""
    selection = _selection(query, parameters, fields, on_invalid=on_invalid, name=name)
    return steps.run(conn, fan_out.forecast(name, selection, progress=on_progress))


async def aforecast(
    conn: Any,
    query: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    on_invalid: str = "refuse",
    on_progress: Callable[[int], object] = bool,
    **fields: Unpack[Fields],
) -> Forecast:
    """Do as `forecast` does, on an asynchronous connection."""
    selection = _selection(query, parameters, fields, on_invalid=on_invalid, name=name)
    return await steps.arun(conn, fan_out.forecast(name, selection, progress=on_progress))


def list_all(conn: Any) -> list[FanOut]:
    """Return all fan-outs, the latest first."""
    return steps.run(conn, fan_out.list_fan_outs())


async def alist_all(conn: Any) -> list[FanOut]:
    """Do as `list_all` does, on an asynchronous connection."""
    return await steps.arun(conn, fan_out.list_fan_outs())


def find(conn: Any, name: str) -> FanOut:
    """Return one fan-out. Raises UnknownFanOut."""
    return steps.run(conn, _find(name))


async def afind(conn: Any, name: str) -> FanOut:
    """Do as `find` does, on an asynchronous connection."""
    return await steps.arun(conn, _find(name))


def _run(
    name: str, query: str, parameters: Mapping[str, Any] | None, fields: Fields, *, chunk: int, **given: Any
) -> Steps[FanOut]:
    if not 1 <= chunk <= LARGEST_CHUNK:
        raise InvalidFanOut("chunk", f"{chunk} is not from 1 to {LARGEST_CHUNK:,} rows")
    selection = _selection(query, parameters, fields, on_invalid=given["on_invalid"], name=name)
    return fan_out.fan_out(name, selection, chunk=chunk, progress=given["on_progress"])


def _selection(
    query: str, parameters: Mapping[str, Any] | None, fields: Fields, *, on_invalid: str, name: str | None
) -> Selection:
    if name is not None and not _NAME.fullmatch(name):
        problem = f"{name!r} is not a name: letters, digits, _ . and -, at most 63, such as spring-sale"
        raise InvalidFanOut("name", problem)
    defaults: dict[str, Any] = dict(fields)
    if name is not None and defaults.get("group_key") is None:
        defaults["group_key"] = f"fan-out:{name}"
    return Selection.of(query, parameters, defaults, on_invalid=on_invalid)


def _refuse_transaction(*, open_: bool) -> None:
    if open_:
        raise InvalidFanOut(
            "conn", "is in a transaction, and each chunk commits by itself: give a connection in autocommit mode"
        )


def _find(name: str) -> Steps[FanOut]:
    every = yield from fan_out.list_fan_outs()
    found = next((each for each in every if each.name == name), None)
    if found is None:
        raise UnknownFanOut(name, [each.name for each in every])
    return found
