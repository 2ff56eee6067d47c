"""Payloads that are too large, too deep, or no JSON: refused at the enqueue, and harmless when they come by SQL."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import psycopg

import outbox
from outbox.errors import InvalidNotification
from tests.chaos.scenario import scenario
from tests.hands import enqueue, rows
from tests.recorder import Recorder, drain, route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.chaos.stage import Stage

_LONGEST = 0.050
_MEGABYTES = 10_000_000


def _nested(depth: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return {"a": value}


def _multiplied(times: int) -> Any:
    value: Any = 1
    for _ in range(times):
        value = [value] * 1_000
    return value


def _circular() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["itself"] = value
    return value


def _given() -> Mapping[str, tuple[str, Any]]:
    """Return what an application may hand to `enqueue`: name → (field, value)."""
    return {
        "a text of 10 MB": ("payload", {"a": "x" * _MEGABYTES}),
        "a million numbers": ("payload", {"a": [1] * 1_000_000}),
        "100,000 keys": ("payload", {f"key{number}": number for number in range(100_000)}),
        "10,000 deep": ("payload", _nested(10_000)),
        "10 to the 12th in little memory": ("payload", {"a": _multiplied(4)}),
        "a text of 10 MB far inside": ("payload", {"a": [{"b": "x" * _MEGABYTES}]}),
        "itself": ("payload", _circular()),
        "NUL": ("payload", {"a": "\0"}),
        "NUL in a key": ("payload", {"\0": "a"}),
        "half a surrogate pair": ("payload", {"a": "\ud800"}),
        "half a surrogate pair in a key": ("payload", {"\udfff": "a"}),
        "NaN": ("payload", {"a": float("nan")}),
        "1e400": ("payload", {"a": float("1e400")}),
        "a number of 5,000 digits": ("payload", {"a": 10**5_000}),
        "bytes": ("payload", {"a": b"x"}),
        "a list": ("payload", [1]),
        "headers of 10 MB": ("headers", {"a": "x" * _MEGABYTES}),
        "headers with NUL": ("headers", {"a": "\0"}),
        "a recipient of 10 MB": ("recipient", "x" * _MEGABYTES),
        "a recipient with NUL": ("recipient", "a\0b"),
        "a template of 10 MB": ("template", "x" * _MEGABYTES),
        "a key of half a surrogate pair": ("idempotency_key", "\ud800"),
    }


# What anybody may write in SQL, as expressions for the payload. The one is refused by PostgreSQL and our CHECKs …
_REFUSED = {
    "a text of 10 MB": """jsonb_build_object('a', repeat('x', 10000000))""",
    "a million numbers": """jsonb_build_object('a', array_fill(1, ARRAY[1000000]))""",
    "NUL": r"""'{"a": "\u0000"}'""",
    "half a surrogate pair": r"""'{"a": "\ud800"}'""",
    "NaN": """'{"a": NaN}'""",
    "a list": """'[1]'""",
    "a null": """'null'""",
}
# … and the other is JSON to PostgreSQL: the worker has to get over it.
_TAKEN = {
    "100,000 keys": """(SELECT jsonb_object_agg('k' || n, n) FROM generate_series(1, 100000) AS n)""",
    "10,000 deep": """(repeat('{"a":', 10000) || '1' || repeat('}', 10000))::jsonb""",
    "1e400": """'{"a": 1e400}'""",
    "a number of 100,000 digits": """'{"a": 1e100000}'""",
}


@scenario(32, "payloads are bombs")
def payload_bombs(stage: Stage) -> None:
    innocents = stage.pick(reduced=50, full=2_000)
    stage.ledger.acknowledge(enqueue(stage.url, innocents, channel="http"))
    seconds = _hand_over(stage)
    passed = [name for name, took in seconds.items() if took == float("inf")]
    stage.exactly([], "handed to enqueue and not refused by field", passed)
    slowest = max(seconds, key=lambda name: seconds[name])
    stage.at_most(_LONGEST * 1_000, f"the slowest refusal ({slowest})", seconds[slowest] * 1_000, " ms")
    passed = [name for name, payload in _REFUSED.items() if _insert(stage.url, payload)]
    stage.exactly([], "written in SQL and not refused by a CHECK", passed)
    taken = [name for name, payload in _TAKEN.items() if _insert(stage.url, payload)]
    sent = Recorder()
    ended = asyncio.run(drain(stage.url, route(sent, channel="http"), concurrency=20))
    stage.exactly(0, "exit code", ended)
    for notification in sent.sent:
        stage.ledger.deliver(str(notification.id))
    stage.exactly(0, "stuck", stage.unsettled())
    stage.account()
    states = rows(stage.url, "SELECT state, count(*) FROM outbox.status GROUP BY 1 ORDER BY 1")
    stage.note(f"taken from SQL: {', '.join(taken)}; ends: {dict(states)}")
    stage.ran(f"{len(seconds)} bombs for enqueue, {len(_REFUSED) + len(_TAKEN)} in SQL, beside {innocents:,} others")


def _hand_over(stage: Stage) -> dict[str, float]:
    """Return, for each bomb, the seconds that its refusal took, the best of 3."""
    seconds: dict[str, float] = {}
    before = stage.unsettled()
    with psycopg.connect(stage.url) as conn:
        for name, (field, value) in _given().items():
            arguments = {"channel": "http", "recipient": "+447700900001", field: value}
            seconds[name] = min(_refusal(conn, arguments, field) for _ in range(3))
        conn.commit()
    assert stage.unsettled() == before
    return seconds


def _refusal(conn: psycopg.Connection[Any], arguments: dict[str, Any], field: str) -> float:
    """Return the seconds (of this thread alone) until the field was refused; infinity if it was not."""
    began = time.thread_time()
    try:
        outbox.enqueue(conn, **arguments)
    except InvalidNotification as error:
        return time.thread_time() - began if error.field == field else float("inf")
    return float("inf")


def _insert(url: str, payload: str) -> bool:
    """Write a notification in SQL; return whether PostgreSQL took it."""
    try:
        rows(url, f"INSERT INTO outbox.notifications (channel, recipient, payload) SELECT 'http', 'x', {payload}")
    except (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.StatementTooComplex):
        return False
    return True
