"""When a channel stood still is known exactly, in however many pauses, of itself or of its providers."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outbox.queue.pause import pause
from outbox.queue.paused import READ, Pause
from outbox.queue.resume import resume
from outbox.worker.standstill import both, either, standstill
from tests.hands import rows
from tests.recorder import Recorder, route

if TYPE_CHECKING:
    from psycopg import Connection

SECONDS = range(40)
SPANS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)).map(lambda it: (float(it[0]), float(sum(it)))))
# Of each pause: how long after the one before it, and for how long. What is paused again before it is over goes on.
PAUSES = st.lists(st.tuples(st.integers(-5, 9), st.integers(1, 9)), min_size=1, max_size=8)

UPSERT = """
INSERT INTO outbox.pauses (scope, name, paused_at, until)
SELECT 'channel', 'email', moment.of + make_interval(secs => %(began)s), moment.of + make_interval(secs => %(ended)s)
FROM (SELECT CAST('2030-01-01 00:00Z' AS timestamptz)) AS moment (of)
ON CONFLICT (scope, name) DO UPDATE SET paused_at = excluded.paused_at, until = excluded.until
"""
WHEN_PAUSED = """
SELECT second FROM outbox.pauses p, generate_series(0, 200) AS second
WHERE p.earlier + tstzmultirange(tstzrange(p.paused_at, p.until))
      @> CAST('2030-01-01 00:00Z' AS timestamptz) + make_interval(secs => second + 0.5)
"""


def covered(spans: Any) -> set[int]:
    return {second for second in SECONDS if any(began <= second < ended for began, ended in spans)}


@given(SPANS, SPANS)
def test_what_stood_still_for_either_reason_and_for_both(some: Any, others: Any) -> None:
    some, others = either(some, ()), either(others, ())
    assert covered(either(some, others)) == covered(some) | covered(others)
    assert covered(both(some, others)) == covered(some) & covered(others)
    for spans in (some, either(some, others), both(some, others)):
        assert all(one[1] < next_one[0] for one, next_one in pairwise(spans)), "none counts twice"


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PAUSES)
def test_however_often_it_is_paused_by_plain_sql_no_second_is_forgotten(
    conn: Connection, pauses: list[tuple[int, int]]
) -> None:
    paused: set[int] = set()
    began = ended = 10
    for gap, length in pauses:
        began = max(began + 1, ended + gap)
        if began < ended:  # the one before it is cut off
            paused -= set(range(began, ended))
        ended = began + length
        paused |= set(range(began, ended))
        conn.execute(UPSERT, {"began": began, "ended": ended})
    found = {second for (second,) in conn.execute(WHEN_PAUSED)}
    conn.execute("DELETE FROM outbox.pauses")
    assert found == paused


def test_pausing_and_resuming_adds_up_and_the_current_pause_goes_on_for_ever(database_url: str) -> None:
    for _ in range(3):
        with psycopg.connect(database_url) as conn:
            pause(conn, scope="channel", name="email", actor="ada")
        with psycopg.connect(database_url) as conn:
            resume(conn, scope="channel", name="email", actor="ada")
    with psycopg.connect(database_url) as conn:
        pause(conn, scope="channel", name="email", actor="ada")
    to = route(Recorder())
    spans = standstill(to, _read(database_url))
    assert len(spans) == 4
    assert spans[-1][1] == float("inf")
    to.stood_still = spans
    assert 0 < to.paused_for(3_600.0) < 60


def test_of_two_providers_only_the_time_counts_in_which_both_were_paused(database_url: str) -> None:
    for name, began, ended in [("recorder0", 100, 50), ("recorder1", 80, 30), ("recorder0", 20, 10)]:
        rows(
            database_url,
            "INSERT INTO outbox.pauses (scope, name, paused_at, until) "
            "VALUES ('provider', %s, now() - make_interval(secs => %s), now() - make_interval(secs => %s)) "
            "ON CONFLICT (scope, name) DO UPDATE SET paused_at = excluded.paused_at, until = excluded.until",
            name, began, ended,
        )  # fmt: skip
    to = route(Recorder(), Recorder())
    to.stood_still = standstill(to, _read(database_url))
    assert to.paused_for(3_600.0) == pytest.approx(30, abs=1)
    assert to.paused_for(60.0) == pytest.approx(10, abs=3), "of the last minute"


def test_a_script_that_pauses_each_minute_makes_nobody_read_more_than_a_hundred_spans(conn: Connection) -> None:
    for number in range(150):
        conn.execute(UPSERT, {"began": number * 100, "ended": number * 100 + (95 if number < 50 else 50)})
    [(count, covered)] = conn.execute(
        "SELECT count(*), sum(date_part('epoch', upper(it) - lower(it))) FROM outbox.pauses, unnest(earlier) AS it"
    )
    assert count == 100
    assert covered == 50 * 95 + 99 * 50 + 49 * 5, "the gaps of five seconds were the shortest"


def _read(url: str) -> list[Pause]:
    with psycopg.connect(url) as conn:
        return [Pause(*row) for row in conn.execute(READ)]
