"""An idempotency key knows what it stands for, by whichever version it was taken."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

import outbox
from outbox import migrate
from outbox.queue import enqueue_many
from tests.hands import rows

ADA: dict[str, Any] = {"channel": "email", "recipient": "ada@example.org", "payload": {"text": "Hi", "n": 1}}
OTHER: list[dict[str, Any]] = [
    {"recipient": "grace@example.org"},
    {"payload": {"text": "Hi", "n": 2}},
    {"payload": {}},
    {"template": "welcome"},
    {"locale": "welcome"},
    {"headers": {"X-Text": "Hi"}},
    {"group_key": "welcome"},
]
# What a hash of a jsonb takes for one and the same, or could.
NESTED: list[tuple[Any, Any]] = [
    ({"order": {"total": 5}, "coupon": "X"}, {"order": {"total": 5, "coupon": "X"}}),
    ({"rows": []}, {"rows": [[], []]}),
    ({"rows": [[1], 2]}, {"rows": [[1, 2]]}),
    ({"rows": [0] * 64}, {"rows": [1] * 64}),
    (
        {"items": [{"id": n, "price": 10, "qty": 1} for n in range(8)]},
        {"items": [{"id": n, "price": 12, "qty": 1} for n in range(8)]},
    ),
    (
        {"items": [{"id": n, "price": 10, "qty": n, "name": "a"} for n in range(8)]},
        {"items": [{"id": n, "price": 10, "qty": n, "name": "a"} for n in (4, 1, 2, 3, 0, 5, 6, 7)]},
    ),
]
_AS_BEFORE = """
UPDATE outbox.idempotency_keys k
SET digest = outbox.digest(n.recipient, n.template, n.locale, n.payload, n.headers, n.topic, n.group_key)
FROM outbox.notifications n WHERE n.id = k.notification_id
"""
_FUNCTIONS = """
SELECT proname, pg_get_functiondef(oid), obj_description(oid) FROM pg_proc
WHERE pronamespace = 'outbox'::regnamespace AND proname IN (
    'enqueue', 'enqueue_many', 'escalate', 'put_into_queue', 'take_idempotency_key', 'digest')
ORDER BY 1
"""


@pytest.fixture(params=["of this version", "of the one before"])
def taken(request: pytest.FixtureRequest, conn: psycopg.Connection[Any]) -> outbox.Enqueued:
    first = outbox.enqueue(conn, **ADA, idempotency_key="welcome:1")
    if request.param == "of the one before":
        conn.execute(_AS_BEFORE)
    size = {"of this version": 8, "of the one before": 16}[request.param]
    assert conn.execute("SELECT octet_length(digest) FROM outbox.idempotency_keys").fetchone() == (size,)
    return first


@pytest.mark.parametrize("worth_a_copy", [1, 10**9])
def test_the_same_content_is_the_same_in_any_spelling(
    conn: psycopg.Connection[Any], taken: outbox.Enqueued, monkeypatch: pytest.MonkeyPatch, worth_a_copy: int
) -> None:
    again = ADA | {"payload": {"n": 1, "text": "Hi"}, "priority": "urgent", "idempotency_key": "welcome:1"}
    monkeypatch.setattr(enqueue_many, "_WORTH_A_COPY", worth_a_copy)
    answer = outbox.Enqueued(taken.id, created=False)
    assert outbox.enqueue(conn, **again) == answer
    assert outbox.enqueue_many(conn, [again, again]) == [answer, answer]
    conn.execute(
        """
        INSERT INTO outbox.notifications (channel, recipient, payload, idempotency_key)
        VALUES ('email', 'ada@example.org', '{"n": 1, "text": "Hi"}', 'welcome:1')
        """
    )
    assert conn.execute("SELECT count(*) FROM outbox.notifications").fetchone() == (1,)


@pytest.mark.usefixtures("taken")
@pytest.mark.parametrize("worth_a_copy", [1, 10**9])
@pytest.mark.parametrize("other", OTHER, ids=", ".join)
def test_other_content_is_refused(
    conn: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, worth_a_copy: int, other: dict[str, Any]
) -> None:
    monkeypatch.setattr(enqueue_many, "_WORTH_A_COPY", worth_a_copy)
    given = ADA | other | {"idempotency_key": "welcome:1"}
    with pytest.raises(outbox.IdempotencyConflict):
        outbox.enqueue(conn, **given)
    with pytest.raises(outbox.IdempotencyConflict):
        outbox.enqueue_many(conn, [given])
    assert conn.execute("SELECT count(*) FROM outbox.notifications").fetchone() == (1,)


@pytest.mark.parametrize(("first", "second"), NESTED)
def test_what_is_nested_in_another_way_is_other_content(
    conn: psycopg.Connection[Any], first: dict[str, Any], second: dict[str, Any]
) -> None:
    outbox.enqueue(conn, **ADA | {"payload": first}, idempotency_key="welcome:1")
    with pytest.raises(outbox.IdempotencyConflict):
        outbox.enqueue(conn, **ADA | {"payload": second}, idempotency_key="welcome:1")
    outbox.enqueue(conn, **ADA | {"headers": first}, idempotency_key="welcome:2")
    with pytest.raises(outbox.IdempotencyConflict):
        outbox.enqueue(conn, **ADA | {"headers": second}, idempotency_key="welcome:2")


def test_it_can_be_taken_back_and_no_key_that_is_known_refuses_the_same_content(cloned_url: str) -> None:
    now = rows(cloned_url, _FUNCTIONS)
    with psycopg.connect(cloned_url) as conn:
        first = outbox.enqueue(conn, **ADA, idempotency_key="welcome:1")
    migrate.downgrade(cloned_url, "0032")
    assert [name for name, *_ in rows(cloned_url, _FUNCTIONS)] == [name for name, *_ in now]
    with psycopg.connect(cloned_url) as conn:
        assert outbox.enqueue(conn, **ADA, idempotency_key="welcome:1").id == first.id
        outbox.enqueue(conn, **ADA, idempotency_key="welcome:2")
    migrate.upgrade(cloned_url)
    assert rows(cloned_url, _FUNCTIONS) == now
    with psycopg.connect(cloned_url) as conn:
        assert not outbox.enqueue(conn, **ADA, idempotency_key="welcome:2").created
        with pytest.raises(outbox.IdempotencyConflict):
            outbox.enqueue(conn, **ADA | {"locale": "de"}, idempotency_key="welcome:2")
