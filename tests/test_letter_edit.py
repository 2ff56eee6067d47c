"""A dead letter with another recipient or payload: a new notification in its place, checked before it is written."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest

from outbox import suppressions
from outbox.errors import IdempotencyConflict, InvalidNotification, NotInTransaction, Rejected
from outbox.outcomes import Sent
from outbox.queue.audit import list_audit
from outbox.queue.discard import discard
from outbox.queue.edit import edit
from outbox.queue.enqueue import enqueue
from outbox.queue.judge import judge
from outbox.queue.replay import replay
from tests.endings import REFUSED, claim_due, end, put, put_dead
from tests.hands import rows

if TYPE_CHECKING:
    from outbox.messages import Notification

SECRET = "the password is tiramisu"
KEPT = (
    "channel, template, priority, topic, group_key, locale, headers, ordering_key, expires_at, unless_read, unless_sent"
)


def test_another_recipient_is_another_notification_and_all_else_is_as_it_was(
    database_url: str, conn: psycopg.Connection
) -> None:
    [inapp] = put(database_url, 1, channel="inapp")
    about: dict[str, Any] = {
        "template": "welcome",
        "payload": {"name": "Ada", "price": 0.1},
        "priority": "high",
        "topic": "news",
        "group_key": "order:42",
        "locale": "pt-BR",
        "headers": {"X-A": "b"},
        "ordering_key": "ada",
        "expires_at": timedelta(hours=1),
        "unless_read": inapp,
        "unless_sent": inapp,
    }
    [old] = put_dead(database_url, **about)
    before = rows(database_url, f"SELECT {KEPT}, payload FROM outbox.notifications WHERE id = %s", old)
    edited = edit(conn, old, recipient="ada@example.net")
    conn.commit()

    assert (edited.changed, edited.why_not) == (("recipient",), None)
    assert (
        rows(database_url, f"SELECT {KEPT}, payload FROM outbox.notifications WHERE id = %s", edited.new_id) == before
    )
    assert rows(database_url, "SELECT recipient FROM outbox.notifications WHERE id = %s", edited.new_id) == [
        ("ada@example.net",)
    ]
    assert rows(database_url, "SELECT resolution, replays, replaced_by FROM outbox.dead_letters") == [
        ("replayed", 1, edited.new_id)
    ]
    assert rows(database_url, "SELECT id FROM outbox.queue WHERE channel = 'email'") == [(edited.new_id,)]


def test_another_payload_is_delivered(database_url: str, conn: psycopg.Connection) -> None:
    [old] = put_dead(database_url, payload={"text": "wrong"})
    edited = edit(conn, old, payload={"text": "right"})
    conn.commit()
    [claimed] = claim_due(database_url)
    assert (claimed.id, claimed.payload) == (edited.new_id, '{"text": "right"}')


def test_it_works_when_retention_has_dropped_the_notification(database_url: str, conn: psycopg.Connection) -> None:
    [old] = put_dead(database_url)
    rows(database_url, "DELETE FROM outbox.notifications")
    assert edit(conn, old, recipient="ada@example.net").new_id is not None


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"recipient": "ada@"}, "recipient"),
        ({"recipient": ""}, "recipient"),
        ({"payload": ["no object"]}, "payload"),
        ({"payload": {"text": "x" * 300_000}}, "payload"),
        ({"payload": {"cc": "no address"}}, "payload"),
    ],
)
def test_what_an_enqueue_would_refuse_is_refused_before_anything_is_written(
    database_url: str, conn: psycopg.Connection, wrong: dict[str, Any], field: str
) -> None:
    [old] = put_dead(database_url)
    with pytest.raises(InvalidNotification) as refused:
        edit(conn, old, actor="ada@desk", **wrong)
    conn.commit()
    assert refused.value.field.partition(".")[0] == field
    assert [judged.verdict for judged in judge(conn, [old])] == ["replay"]
    assert rows(database_url, "SELECT count(*) FROM outbox.notifications") == [(1,)]
    assert list_audit(conn) == []


def test_what_a_check_says_no_to_is_not_written(database_url: str, conn: psycopg.Connection) -> None:
    [old] = put_dead(database_url, payload={"name": "Ada"}, template="welcome")
    seen: list[Notification] = []

    def check(notification: Notification) -> None:
        seen.append(notification)
        raise Rejected("variable name is missing")

    with pytest.raises(Rejected):
        edit(conn, old, payload={"nome": "Ada"}, check=check)
    assert (seen[0].template, seen[0].payload) == ("welcome", {"nome": "Ada"})
    assert [judged.verdict for judged in judge(conn, [old])] == ["replay"]


def test_the_audit_says_what_was_changed_and_not_to_what(database_url: str, conn: psycopg.Connection) -> None:
    [old] = put_dead(database_url)
    edited = edit(conn, old, recipient="eve@example.org", payload={"text": SECRET}, actor="ada@desk", reason="a typo")
    (entry,) = list_audit(conn, subject=str(old))
    assert (entry.action, entry.actor, entry.reason) == ("edit", "ada@desk", "a typo")
    assert entry.details == {"changed": ["recipient", "payload"], "new_id": str(edited.new_id)}


def test_its_idempotency_key_stands_for_the_edited_one(database_url: str, conn: psycopg.Connection) -> None:
    given: dict[str, Any] = {"channel": "email", "idempotency_key": "welcome:1", "payload": {}}
    [old] = put_dead(database_url, **given)
    edited = edit(conn, old, recipient="ada@example.net")

    again = enqueue(conn, recipient="user0@example.org", **given)
    assert (again.id, again.created) == (edited.new_id, False)
    with pytest.raises(IdempotencyConflict):
        enqueue(conn, recipient="eve@example.org", **given)


def test_a_key_that_has_expired_is_not_taken_again_by_what_was_edited(
    database_url: str, conn: psycopg.Connection
) -> None:
    given: dict[str, Any] = {"channel": "email", "idempotency_key": "welcome:1", "payload": {}}
    [old] = put_dead(database_url, **given)
    conn.execute("DELETE FROM outbox.idempotency_keys")
    new = edit(conn, old, recipient="ada@example.net").new_id
    assert conn.execute("SELECT idempotency_key FROM outbox.notifications WHERE id = %s", [new]).fetchone() == (None,)

    again = enqueue(conn, recipient="user0@example.org", **given)
    assert again.created, "as if nobody had edited anything"


def test_one_that_is_past_its_time_is_enqueued_and_told_of(database_url: str, conn: psycopg.Connection) -> None:
    late, in_time = put_dead(database_url, 2, expires_at=timedelta(hours=1))
    rows(database_url, "DELETE FROM outbox.notifications WHERE id = %s", late)
    rows(database_url, "UPDATE outbox.dead_letters SET expires_at = now() WHERE notification_id = %s", late)
    assert [edit(conn, one, recipient="ada@example.net").is_expired for one in (late, in_time)] == [True, False]


def test_one_that_dies_again_is_edited_again_with_its_key(database_url: str, conn: psycopg.Connection) -> None:
    given: dict[str, Any] = {"channel": "email", "idempotency_key": "welcome:1", "payload": {}}
    [first] = put_dead(database_url, **given)
    second = edit(conn, first, recipient="ada@example.net").new_id
    conn.commit()
    end(database_url, REFUSED)
    assert second is not None
    third = edit(conn, second, recipient="ada@example.com").new_id
    assert enqueue(conn, recipient="user0@example.org", **given).id == third


def test_a_key_that_stands_for_another_by_now_is_respected(database_url: str, conn: psycopg.Connection) -> None:
    [old] = put_dead(database_url, idempotency_key="welcome:1")
    conn.execute("DELETE FROM outbox.idempotency_keys")
    enqueue(conn, channel="email", recipient="eve@example.org", idempotency_key="welcome:1")
    assert edit(conn, old, recipient="ada@example.net").why_not == "key_taken"


def test_whom_nobody_may_contact_gets_nothing(database_url: str, conn: psycopg.Connection) -> None:
    [old] = put_dead(database_url)
    suppressions.add(conn, channel="email", recipient="ada@example.net", reason="unsubscribed")
    edit(conn, old, recipient="ada@example.net")
    conn.commit()
    [claimed] = claim_due(database_url)
    assert claimed.suppression is not None


def test_only_an_open_letter_is_edited_and_only_if_something_is_different(
    database_url: str, conn: psycopg.Connection
) -> None:
    replayed, discarded, same = put_dead(database_url, 3)
    replay(conn, [replayed])
    discard(conn, [discarded])
    unknown = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
    asked = [(identity, "ada@example.net") for identity in (replayed, discarded, unknown)] + [
        (same, "user2@example.org")
    ]
    assert [edit(conn, identity, recipient=recipient).why_not for identity, recipient in asked] == [
        *("replayed", "discarded", "unknown"),
        "unchanged",
    ]
    assert conn.execute("SELECT count(*) FROM outbox.notifications").fetchone() == (3,)


def test_the_edited_one_is_sent_and_the_story_is_complete(database_url: str, conn: psycopg.Connection) -> None:
    [old] = put_dead(database_url)
    new = edit(conn, old, recipient="ada@example.net").new_id
    conn.commit()
    assert end(database_url, Sent(provider="smtp")) == [new]
    states = dict(rows(database_url, "SELECT id, state FROM outbox.status"))
    assert states == {old: "dead", new: "sent"}


def test_erasing_the_new_recipient_leaves_nothing_of_the_new_one(database_url: str, conn: psycopg.Connection) -> None:
    [old] = put_dead(database_url, idempotency_key="welcome:1")
    edit(conn, old, recipient="ada@example.net", actor="ada@desk")
    conn.execute("SELECT outbox.erase('ada@example.net')")
    left = conn.execute("SELECT recipient FROM outbox.notifications UNION SELECT recipient FROM outbox.dead_letters")
    assert left.fetchall() == [("user0@example.org",)]
    assert conn.execute("SELECT count(*) FROM outbox.idempotency_keys").fetchone() == (0,)
    conn.execute("SELECT outbox.erase('user0@example.org')")
    assert conn.execute("SELECT count(*) FROM outbox.dead_letters").fetchone() == (0,)


def test_outside_of_a_transaction_nothing_is_edited(database_url: str) -> None:
    [old] = put_dead(database_url)
    with psycopg.connect(database_url, autocommit=True) as conn, pytest.raises(NotInTransaction):
        edit(conn, old, recipient="ada@example.net")


def test_a_payload_that_nobody_can_read_is_replaced_by_one_that_can_be(
    database_url: str, conn: psycopg.Connection
) -> None:
    [old] = put_dead(database_url)
    rows(database_url, "UPDATE outbox.dead_letters SET payload = '{\"n\": 1e5000}'")
    with pytest.raises(InvalidNotification, match="payload: cannot be read"):
        edit(conn, old, recipient="ada@example.net")
    edited = edit(conn, old, payload={"n": 1})
    conn.commit()
    assert edited.changed == ("payload",)
    assert rows(database_url, "SELECT payload FROM outbox.notifications WHERE id = %s", edited.new_id) == [({"n": 1},)]
