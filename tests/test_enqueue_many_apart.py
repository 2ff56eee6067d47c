"""Of many at once, some join windows and some take back others: as if each had been enqueued by itself."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import outbox
from outbox import IdempotencyConflict, InvalidNotification
from outbox.queue import apart, enqueue_many
from tests.hands import enqueue, rows
from tests.topical import say

if TYPE_CHECKING:
    from collections.abc import Sequence

ADA: dict[str, Any] = {"channel": "email", "recipient": "ada@example.org", "payload": {"n": 1}}
LIKE = ADA | {"digest_key": "likes:42", "digest_window": timedelta(minutes=10)}
CODE = ADA | {"group_key": "otp:42", "supersedes": True}
# Whatever has happened, in words that do not depend on ids.
SEEN = """
SELECT n.group_key, n.payload, coalesce(s.state, 'none') FROM outbox.notifications n JOIN outbox.status s USING (id)
ORDER BY 1, 2, 3
"""
WINDOWS = """
SELECT d.recipient, d.key, d.priority, d.items, array_agg(i.payload ORDER BY i.position)
FROM outbox.digests d JOIN outbox.digest_items i ON i.digest_id = d.id GROUP BY d.id ORDER BY 1, 2, 3
"""


@pytest.fixture(params=["by COPY", "in statements"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(enqueue_many, "_WORTH_A_COPY", 1 if request.param == "by COPY" else 10**9)
    monkeypatch.setattr(apart, "_CHUNK", 3)
    return str(request.param)


@pytest.mark.usefixtures("way")
def test_results_stand_in_the_order_that_was_given(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        first = outbox.enqueue(conn, **LIKE)
        many = outbox.enqueue_many(conn, [ADA, LIKE, CODE, LIKE | {"recipient": "eve@example.org"}, LIKE, ADA])
    assert [one.created for one in many] == [True, False, True, True, False, True]
    assert [many[1].id, many[4].id] == [first.id, first.id]
    assert len({one.id for one in many}) == 5
    assert [row[3] for row in rows(database_url, WINDOWS)] == [3, 1]
    assert rows(database_url, "SELECT count(*) FROM outbox.queue") == [(3,)]


@pytest.mark.usefixtures("way")
def test_what_waits_is_taken_back_and_of_several_in_one_call_the_last_stands(database_url: str) -> None:
    before = enqueue(database_url, 2, group_key="otp:42")
    other = enqueue(database_url, 1, group_key="otp:43")
    with psycopg.connect(database_url) as conn:
        outbox.enqueue(conn, **LIKE, group_key="otp:42")
        many = outbox.enqueue_many(conn, [ADA | {"group_key": "otp:42"}, CODE, ADA, CODE])
        conn.commit()
        outbox.enqueue_many(conn, [CODE])
        conn.rollback()
    due = {row[0] for row in rows(database_url, "SELECT id FROM outbox.queue")}
    assert due == {*other, many[2].id, many[3].id}
    told = rows(database_url, "SELECT DISTINCT error FROM outbox.attempts")
    assert told == [(f"superseded by {many[3].id}",)]
    assert {row[0] for row in rows(database_url, "SELECT notification_id FROM outbox.attempts")} >= set(before)
    assert rows(database_url, WINDOWS) == []


async def test_an_asynchronous_connection_does_the_same(database_url: str, aconn: psycopg.AsyncConnection[Any]) -> None:
    (before,) = enqueue(database_url, 1, group_key="otp:42")
    many = await outbox.aenqueue_many(aconn, [CODE, LIKE, LIKE])
    await aconn.commit()
    assert [one.created for one in many] == [True, True, False]
    assert rows(database_url, "SELECT notification_id FROM outbox.attempts") == [(before,)]


def test_a_key_that_was_there_already_takes_nothings_place(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        first = outbox.enqueue(conn, **ADA, group_key="otp:42", idempotency_key="a")
        (again,) = outbox.enqueue_many(conn, [CODE | {"idempotency_key": "a"}])
        assert (again.id, again.created) == (first.id, False)
        other = outbox.enqueue(conn, **ADA, group_key="otp:43")
        with pytest.raises(IdempotencyConflict):
            outbox.enqueue_many(
                conn, [CODE | {"idempotency_key": "a", "payload": {"n": 2}}, CODE | {"group_key": "otp:43"}, LIKE]
            )
    assert {first.id} < {row[0] for row in rows(database_url, "SELECT id FROM outbox.queue")}
    assert rows(database_url, "SELECT notification_id FROM outbox.attempts") == [(other.id,)]
    assert len(rows(database_url, WINDOWS)) == 1


@pytest.mark.parametrize(
    ("wrong", "field", "problem"),
    [
        (ADA | {"supersedes": True}, "[1].supersedes", "needs a group_key"),
        (LIKE | {"digest_window": None}, "[1].digest_window", "must be a timedelta"),
        (LIKE | {"run_at": timedelta(1)}, "[1].run_at", "does not go with digest_key"),
        (CODE | {"digest_key": "a", "digest_window": timedelta(1)}, "[1].supersedes", "does not go with digest_key"),
        (ADA | {"digest_window": timedelta(1)}, "[1].digest_key", "is missing"),
        (LIKE | {"digest_keys": "a"}, "[1].digest_keys", "is not a field"),
        (LIKE | {"recipient": "ada"}, "[1].recipient", "an email address"),
        (LIKE | {"topic": "newz"}, "[1].topic", "'newz' is not declared; did you mean news?"),
        (ADA | {"to": {"email": "a@example.org"}}, "to", "is for escalate() and aescalate()"),
        (ADA | {"group_key": "otp:42"}, "[1].group_key", "is that of [0], which supersedes: it comes last"),
    ],
)
def test_a_mistake_names_its_position_and_nothing_is_enqueued(
    wrong: dict[str, Any], field: str, problem: str, database_url: str
) -> None:
    say(database_url, news={})
    with psycopg.connect(database_url) as conn:
        with pytest.raises(InvalidNotification) as refused:
            outbox.enqueue_many(conn, [CODE, wrong])
        assert refused.value.field == field
        assert problem in refused.value.problem
        assert conn.execute("SELECT count(*) FROM outbox.notifications").fetchone() == (0,)


@pytest.mark.usefixtures("way")
def test_of_several_in_one_call_the_last_that_is_new_supersedes(database_url: str) -> None:
    (before,) = enqueue(database_url, 1, group_key="otp:42")
    known = ADA | {"group_key": "otp:42", "idempotency_key": "a"}
    with psycopg.connect(database_url) as conn:
        there = outbox.enqueue(conn, **known)
        new, again = outbox.enqueue_many(conn, [CODE | {"payload": {"n": 2}}, known | {"supersedes": True}])
    assert (new.created, again.created, again.id) == (True, False, there.id)
    assert rows(database_url, "SELECT notification_id, error FROM outbox.attempts ORDER BY 1") == [
        (each, f"superseded by {new.id}") for each in (before, there.id)
    ]
    assert rows(database_url, "SELECT id FROM outbox.queue") == [(new.id,)]


ONE = st.fixed_dictionaries(
    {"payload": st.fixed_dictionaries({"n": st.integers(0, 9)}), "recipient": st.sampled_from(["a@b.cc", "d@e.ff"])},
    optional={"group_key": st.sampled_from("xy")},
)
EITHER = st.one_of(
    ONE,
    ONE.map(lambda one: one | {"supersedes": "group_key" in one}),
    st.tuples(ONE, st.sampled_from("kl"), st.sampled_from([0, 5]), st.integers(1, 3)).map(
        lambda drawn: (
            drawn[0]
            | {"digest_key": drawn[1], "digest_window": timedelta(minutes=5)}
            | {"priority": drawn[2], "digest_max_items": drawn[3]}
        )
    ),
)


def late(some: Sequence[dict[str, Any]]) -> bool:
    """Whether one that does not supersede comes after one of its group that does."""
    superseded: set[Any] = set()
    for one in some:
        if one.get("supersedes"):
            superseded.add(one["group_key"])
        elif one.get("group_key") in superseded:
            return True
    return False


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some=st.lists(EITHER, max_size=8))
def test_it_is_as_if_each_had_been_enqueued_by_itself(database_url: str, some: list[dict[str, Any]]) -> None:
    given = [{"channel": "email"} | one for one in some]
    seen = []
    for at_once in (False, True):
        with psycopg.connect(database_url) as conn:
            if at_once and late(some):
                with pytest.raises(InvalidNotification, match="comes last of its group"):
                    outbox.enqueue_many(conn, given)
                return
            made = outbox.enqueue_many(conn, given) if at_once else [outbox.enqueue(conn, **one) for one in given]
            seen.append(
                (
                    [one.created for one in made],
                    conn.execute(SEEN.encode()).fetchall(),
                    conn.execute(WINDOWS.encode()).fetchall(),
                )
            )
            conn.rollback()
    assert seen[0] == seen[1]


def test_two_calls_that_join_the_same_windows_wait_for_each_other(cloned_url: str) -> None:
    """In whatever order their callers have them: the windows are joined in one order."""
    keys = [f"k{number}" for number in range(40)]
    failures: list[Exception] = []
    start = threading.Barrier(4)

    def join(order: list[str]) -> None:
        try:
            for _ in range(5):
                start.wait(30)
                with psycopg.connect(cloned_url) as conn:
                    outbox.enqueue_many(conn, [LIKE | {"digest_key": key} for key in order])
                    outbox.enqueue_many(conn, [CODE | {"group_key": key} for key in order])
        except Exception as error:  # noqa: BLE001 - whatever it is
            failures.append(error)
            start.abort()

    threads = [
        threading.Thread(target=join, args=(order,)) for order in (keys, keys[::-1], keys[20:] + keys[:20], keys)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert rows(cloned_url, "SELECT DISTINCT items FROM outbox.digests") == [(20,)]
    assert rows(cloned_url, "SELECT count(*) FROM outbox.queue") == [(40,)]
