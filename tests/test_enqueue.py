from __future__ import annotations

import json
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import outbox
from outbox import email_fields
from outbox.queue.enqueue_many import CHUNK

ADA: dict[str, Any] = {"channel": "email", "recipient": "ada@example.org"}
NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("channel", "E-Mail", "is not a channel name"),
        ("channel", None, "is not a channel name"),
        ("recipient", "", "must be a text .*, and there is none"),
        ("recipient", 42, "must be a text"),
        ("recipient", "ada@example.org\r\nRCPT TO:<eve@example.org>", "control character"),
        ("recipient", "ada@example.org> NOTIFY=SUCCESS", "."),
        ("recipient", "ada", "."),
        ("template", "", "1 to 255"),
        ("template", "x" * 256, "1 to 255"),
        ("template", 7, "must be a text"),
        ("locale", "x" * 65, "1 to 64"),
        ("topic", "a\x00b", "control character"),
        ("group_key", "\ud800", "half a surrogate pair"),
        ("recipient", None, "and there is none"),
        ("recipient", 7, "a number, not int"),
        ("idempotency_key", "k" * 256, "1 to 255"),
        ("payload", ["a"], "must be a JSON object"),
        ("payload", {"price": Decimal("1.5")}, "is not JSON"),
        ("payload", {"price": float("nan")}, "is not JSON"),
        ("payload", {"text": "a\x00b"}, "NUL"),
        ("payload", {"text": "\ud800"}, "surrogate"),
        ("payload", {"text": "x" * 262_144}, "at most 262,144"),
        ("headers", "X-Header: 1", "must be a JSON object"),
        ("headers", {"X-Header": "x" * 17_000}, "at most 16,384"),
        ("priority", "asap", "none of urgent, high, normal, bulk"),
        ("priority", 10, "0 .first. to 9"),
        ("priority", True, "none of"),
        ("run_at", datetime(2030, 1, 1), "without a time zone"),  # noqa: DTZ001 - the mistake
        ("run_at", "tomorrow", "aware datetime or a timedelta"),
        ("run_at", timedelta(seconds=-1), "in the past"),
        ("expires_at", NOW - timedelta(hours=1), "could never be sent"),
        ("expires_at", timedelta(0), "could never be sent"),
    ],
)
def test_bad_input_is_refused_by_its_field_before_anything_is_written(
    conn: psycopg.Connection, field: str, value: Any, problem: str
) -> None:
    with pytest.raises(outbox.InvalidNotification, match=problem) as error:
        outbox.enqueue(conn, **ADA | {field: value})
    assert error.value.field == field
    assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert outbox.enqueue(conn, **ADA).created


def test_a_payload_of_infinite_depth_is_refused(conn: psycopg.Connection) -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"d": deep}
    with pytest.raises(outbox.InvalidNotification, match="is not JSON"):
        outbox.enqueue(conn, **ADA, payload=deep)


def test_one_bad_row_of_many_is_named_and_none_is_written(conn: psycopg.Connection) -> None:
    with pytest.raises(outbox.InvalidNotification, match=r"^\[2\]\.priority: ") as error:
        outbox.enqueue_many(conn, [ADA, ADA, ADA | {"priority": "later"}])
    assert error.value.field == "[2].priority"
    assert conn.execute("SELECT count(*) FROM outbox.notifications").fetchone() == (0,)


def test_an_unknown_field_of_many_names_the_nearest_known(conn: psycopg.Connection) -> None:
    with pytest.raises(outbox.InvalidNotification, match="did you mean recipient"):
        outbox.enqueue_many(conn, [{"channel": "email", "recipent": "ada@example.org"}])


def test_nothing_to_enqueue_is_nothing_done(conn: psycopg.Connection) -> None:
    assert outbox.enqueue_many(conn, iter([])) == []


def test_more_than_a_chunk_keeps_its_order(conn: psycopg.Connection) -> None:
    results = outbox.enqueue_many(conn, ({**ADA, "group_key": str(n)} for n in range(CHUNK + 3)))
    stored: dict[Any, str] = dict(conn.execute("SELECT id, group_key FROM outbox.notifications").fetchall())
    assert [stored[result.id] for result in results] == [str(n) for n in range(CHUNK + 3)]


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=-9, minutes=-30))])
def test_moments_and_durations_are_kept_to_the_microsecond(conn: psycopg.Connection, zone: timezone) -> None:
    moment = datetime(2031, 2, 3, 4, 5, 6, 789_012, tzinfo=zone)
    outbox.enqueue(conn, **ADA, run_at=moment, expires_at=moment + timedelta(days=1))
    assert conn.execute("SELECT run_at, expires_at FROM outbox.notifications").fetchone() == (
        moment,
        moment + timedelta(days=1),
    )
    conn.rollback()
    outbox.enqueue(conn, **ADA, run_at=timedelta(days=2, hours=3, microseconds=7), expires_at=timedelta(days=3))
    sql = "SELECT run_at - created_at, expires_at - created_at FROM outbox.notifications"
    assert conn.execute(sql).fetchone() == (timedelta(days=2, hours=3, microseconds=7), timedelta(days=3))


def test_a_key_may_be_used_again_with_another_time_and_on_another_channel(conn: psycopg.Connection) -> None:
    first = outbox.enqueue(conn, **ADA, idempotency_key="k")
    assert outbox.enqueue(
        conn, **ADA, idempotency_key="k", run_at=timedelta(hours=1), priority="bulk"
    ) == outbox.Enqueued(first.id, created=False)
    assert outbox.enqueue(conn, channel="sms", recipient="+447700900001", idempotency_key="k").created


@pytest.mark.parametrize("level", [psycopg.IsolationLevel.REPEATABLE_READ, psycopg.IsolationLevel.SERIALIZABLE])
def test_a_key_committed_after_the_snapshot_is_a_serialization_failure_not_a_second_notification(
    database_url: str, level: psycopg.IsolationLevel
) -> None:
    with psycopg.connect(database_url) as late, psycopg.connect(database_url) as early:
        late.isolation_level = level
        late.execute("SELECT 1 FROM outbox.queue")
        outbox.enqueue(early, **ADA, idempotency_key="k")
        early.commit()
        with pytest.raises(psycopg.errors.SerializationFailure):
            outbox.enqueue(late, **ADA, idempotency_key="k")
        late.rollback()
        assert not outbox.enqueue(late, **ADA, idempotency_key="k").created


def test_overlapping_bulk_enqueues_wait_for_each_other_instead_of_deadlocking(database_url: str) -> None:
    keys = [{**ADA, "idempotency_key": f"k{n}"} for n in range(300)]
    created: list[int] = []

    def enqueue(rows: list[dict[str, Any]]) -> None:
        with psycopg.connect(database_url) as conn:
            created.append(sum(result.created for result in outbox.enqueue_many(conn, rows)))

    threads = [threading.Thread(target=enqueue, args=(rows,)) for rows in (keys, keys[::-1]) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(created) == 300


# jsonb keeps numbers as decimals: a float beyond 2**53 comes back as the integer that its digits spell.
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-(2**53), 2**53) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=8,
)
names = st.text(st.characters(codec="utf-8")).filter(lambda name: name not in email_fields.FIELDS)  # they have a shape


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(payload=st.dictionaries(names, json_values), key=st.text(max_size=10))
def test_whatever_is_accepted_is_stored_as_it_was(conn: psycopg.Connection, payload: dict[str, Any], key: str) -> None:
    """No value passes the checks only to fail in the database, and to take the caller's transaction along."""
    try:
        result = outbox.enqueue(conn, **ADA, payload=payload, idempotency_key=key or None)
    except outbox.InvalidNotification as error:
        control = any(character < " " or character == "\x7f" for character in key)
        assert control or "\\u0000" in json.dumps(payload), error  # noqa: PT017 - the only reasons to refuse
        return
    row = conn.execute("SELECT payload FROM outbox.notifications WHERE id = %s", [result.id]).fetchone()
    conn.rollback()
    assert row is not None
    assert row[0] == payload


@pytest.mark.parametrize("many", [1, 400])
def test_a_day_from_now_has_24_hours_in_every_time_zone(conn: psycopg.Connection, many: int) -> None:
    conn.execute("SET TimeZone = 'Europe/Berlin'")
    delays = [timedelta(days=90), timedelta(days=180), timedelta(days=270)]  # one at least ends in other clocks' time
    for delay in delays:
        outbox.enqueue_many(conn, [ADA | {"run_at": delay}] * many)
    spans = conn.execute(
        "SELECT DISTINCT round(extract(epoch FROM run_at - created_at)) FROM outbox.notifications ORDER BY 1"
    ).fetchall()
    assert [int(span) for (span,) in spans] == [int(delay.total_seconds()) for delay in delays]


def test_importing_outbox_imports_no_library_that_enqueue_does_not_need() -> None:
    code = "import sys, outbox; print(*{name.partition('.')[0] for name in sys.modules})"
    names = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert not names & {
        "httpx",
        "jinja2",
        "prometheus_client",
        "typer",
        "alembic",
        "sqlalchemy",
        "aiosmtplib",
        "pydantic",
        "psycopg",
    }
