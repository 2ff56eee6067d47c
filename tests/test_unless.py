"""What is not sent if another was read, or was sent: looked up by the claim, and ended by the very reading."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest

import outbox
from outbox import inbox
from outbox.outcomes import Dead, Retry, Sent
from outbox.queue.replay import replay
from outbox.worker.pace import Pace
from tests.hands import TROUBLE, claim, enqueue, expire_leases, rows, settle
from tests.recorder import Recorder, drain, route
from tests.test_inapp import ADA
from tests.test_inapp import put as put_inapp
from tests.test_inapp import route as inbox_route
from tests.test_supersede import wait_until_heard
from tests.test_worker import running
from tests.waiting import await_until

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from outbox.messages import Notification

EMAIL: dict[str, Any] = {"channel": "email", "recipient": "ada@example.org", "payload": {"subject": "a", "text": "b"}}
# Whoever reads it, and however.
READ: dict[str, Any] = {
    "inbox.mark": lambda conn, one: inbox.mark(conn, "read", recipient=ADA, ids=[one]),
    "put away": lambda conn, one: inbox.mark(conn, "archived", recipient=ADA, ids=[one]),
    "all of them": lambda conn, _: inbox.mark(conn, "read", recipient=ADA),
    "mark_read": outbox.mark_read,
    "an UPDATE": lambda conn, one: conn.execute(
        "UPDATE outbox.inbox SET read_at = now() WHERE notification_id = %s", [one]
    ),
    "an UPDATE that archives": lambda conn, one: conn.execute(
        "UPDATE outbox.inbox SET archived_at = now() WHERE notification_id = %s", [one]
    ),
}


async def arrived(url: str, tmp_path: Path) -> UUID:
    """An in-app notification in Ada's inbox."""
    (identity,) = put_inapp(url)
    await drain(url, inbox_route(tmp_path))
    return identity


def follow(url: str, read: UUID, **given: Any) -> UUID:
    (identity,) = enqueue(url, 1, **EMAIL | {"unless_read": read} | given)
    return identity


def state(url: str, id: UUID) -> tuple[Any, ...]:  # noqa: A002 - the name of the column
    ((found),) = rows(url, "SELECT state, last_error_class, last_error FROM outbox.status WHERE id = %s", id)
    return found


async def test_what_was_not_read_is_followed_at_its_time(database_url: str, tmp_path: Path) -> None:
    read = await arrived(database_url, tmp_path)
    with psycopg.connect(database_url) as conn:
        inbox.mark(conn, "seen", recipient=ADA)
    email = follow(database_url, read, run_at=timedelta(seconds=0.5))
    recorder = Recorder()
    async with running(database_url, route(recorder)):
        await await_until(lambda: state(database_url, email)[0] == "sent")
    assert recorder.keys == [str(email)]


@pytest.mark.parametrize("how", READ)
async def test_reading_ends_what_waits_in_its_own_transaction(how: str, database_url: str, tmp_path: Path) -> None:
    read = await arrived(database_url, tmp_path)
    email = follow(database_url, read, run_at=timedelta(minutes=15))
    other = follow(database_url, uuid4(), run_at=timedelta(minutes=15))
    with psycopg.connect(database_url) as conn:
        READ[how](conn, read)
        assert state(database_url, email)[0] == "scheduled", "it is not committed"
    ended, error_class, words = state(database_url, email)
    assert (ended, error_class) == ("cancelled", "needless")
    assert words.startswith(f"{read} was read at 20")
    assert state(database_url, other)[0] == "scheduled"


@pytest.mark.parametrize("how", READ)
async def test_a_reading_that_is_rolled_back_ends_nothing(how: str, database_url: str, tmp_path: Path) -> None:
    read = await arrived(database_url, tmp_path)
    email = follow(database_url, read)
    with psycopg.connect(database_url) as conn:
        READ[how](conn, read)
        conn.rollback()
    recorder = Recorder()
    await drain(database_url, route(recorder))
    assert recorder.keys == [str(email)]


async def test_what_comes_after_the_reading_is_ended_by_its_claim(database_url: str, tmp_path: Path) -> None:
    read = await arrived(database_url, tmp_path)
    with psycopg.connect(database_url) as conn:
        inbox.mark(conn, "read", recipient=ADA)
    email = follow(database_url, read)
    recorder = Recorder()
    await drain(database_url, route(recorder))
    assert recorder.keys == []
    ended, error_class, words = state(database_url, email)
    assert (ended, error_class) == ("cancelled", "needless")
    assert words.startswith(f"{read} was read at 20")
    assert rows(
        database_url, "SELECT worker IS NOT NULL, attempt FROM outbox.attempts WHERE outcome = 'cancelled'"
    ) == [(True, 0)]


async def test_to_have_only_seen_it_or_to_mark_it_unread_ends_nothing(database_url: str, tmp_path: Path) -> None:
    read = await arrived(database_url, tmp_path)
    with psycopg.connect(database_url) as conn:
        inbox.mark(conn, "read", recipient=ADA)
        inbox.mark(conn, "unread", recipient=ADA)
        conn.commit()
        email = follow(database_url, read)
        inbox.mark(conn, "seen", recipient=ADA)
    assert state(database_url, email)[0] == "due"


@pytest.mark.parametrize("why", ["unknown", "not yet delivered", "deleted", "erased"])
async def test_what_is_not_there_was_not_read(why: str, database_url: str, tmp_path: Path) -> None:
    if why == "unknown":
        read = uuid4()
    elif why == "not yet delivered":
        (read,) = put_inapp(database_url)
    else:
        read = await arrived(database_url, tmp_path)
    email = follow(database_url, read)
    with psycopg.connect(database_url) as conn:
        if why == "deleted":
            conn.execute("DELETE FROM outbox.inbox")
        if why == "erased":
            assert outbox.erase(conn, recipient=ADA).inbox == 1
    recorder = Recorder()
    await drain(database_url, route(recorder))
    assert recorder.keys == [str(email)]


async def test_what_failed_once_is_not_tried_again_after_the_reading(database_url: str, tmp_path: Path) -> None:
    read = await arrived(database_url, tmp_path)
    email = follow(database_url, read)
    (claimed,) = await claim(database_url)
    assert await settle(database_url, claimed, Retry(provider="smtp", failure=TROUBLE, delay=0))
    with psycopg.connect(database_url) as conn:
        inbox.mark(conn, "read", recipient=ADA)
    assert await claim(database_url) == []
    assert state(database_url, email)[0] == "cancelled"


async def test_what_a_worker_has_in_hand_is_taken_out_of_it(database_url: str, tmp_path: Path) -> None:
    read = await arrived(database_url, tmp_path)
    email = follow(database_url, read)
    (claimed,) = await claim(database_url)
    assert claimed.needless is None
    with psycopg.connect(database_url) as conn:
        inbox.mark(conn, "read", recipient=ADA)
    assert not await settle(database_url, claimed, Retry(provider="smtp", failure=TROUBLE, delay=0))
    assert state(database_url, email)[0] == "cancelled"
    await settle(database_url, claimed, Sent(provider="smtp"))
    assert state(database_url, email)[0] == "sent", "it had begun before, and is on record"


async def test_what_a_lost_worker_held_says_that_it_was_lost(database_url: str, tmp_path: Path) -> None:
    read = await arrived(database_url, tmp_path)
    email = follow(database_url, read)
    await claim(database_url, worker=9)
    expire_leases(database_url)
    with psycopg.connect(database_url) as conn:
        inbox.mark(conn, "read", recipient=ADA)
    assert rows(
        database_url, "SELECT claim, outcome, worker FROM outbox.attempts WHERE notification_id = %s ORDER BY 1", email
    ) == [(1, "lost", 9), (2, "cancelled", None)]


async def test_what_waits_in_a_workers_memory_is_not_begun_after_the_reading(
    cloned_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One slot is busy, and the fallback is claimed ahead: the worker is told, and drops it."""
    go = asyncio.Event()
    begun: list[UUID] = []

    async def send(notification: Notification) -> None:
        begun.append(notification.id)
        await go.wait()

    monkeypatch.setattr(Pace, "ahead", lambda *_: 5)  # as of a worker that has been quick so far
    read = await arrived(cloned_url, tmp_path)
    (busy,) = enqueue(cloned_url, 1)
    email = follow(cloned_url, read)
    async with running(cloned_url, route(Recorder(send)), concurrency=1):
        await await_until(lambda: begun == [busy])
        await await_until(lambda: rows(cloned_url, "SELECT count(*) FROM outbox.queue WHERE worker > 0") == [(2,)])
        with psycopg.connect(cloned_url) as conn:
            inbox.mark(conn, "read", recipient=ADA)
        await asyncio.to_thread(wait_until_heard, cloned_url)
        (last,) = enqueue(cloned_url, 1)
        go.set()
        await await_until(lambda: state(cloned_url, last)[0] == "sent")
    assert begun == [busy, last]
    assert state(cloned_url, email)[0] == "cancelled"


async def test_who_stood_behind_it_in_a_line_is_due(database_url: str, tmp_path: Path) -> None:
    read = await arrived(database_url, tmp_path)
    email = follow(database_url, read, ordering_key="ada")
    (behind,) = enqueue(database_url, 1, ordering_key="ada")
    assert state(database_url, behind)[0] == "blocked"
    with psycopg.connect(database_url) as conn:
        inbox.mark(conn, "read", recipient=ADA)
    assert (state(database_url, email)[0], state(database_url, behind)[0]) == ("cancelled", "due")


async def test_one_statement_that_reads_many_ends_what_follows_each(database_url: str, tmp_path: Path) -> None:
    read = put_inapp(database_url, 30)
    await drain(database_url, inbox_route(tmp_path))
    followers = {follow(database_url, one): one for one in read}
    assert rows(database_url, "UPDATE outbox.inbox SET read_at = created_at RETURNING 1") == [(1,)] * 30
    for email, one in followers.items():
        ended, _, words = state(database_url, email)
        assert (ended, words.split()[0]) == ("cancelled", str(one))


async def test_a_replayed_letter_that_is_not_needed_any_more_is_not_sent(database_url: str, tmp_path: Path) -> None:
    read = await arrived(database_url, tmp_path)
    email = follow(database_url, read)
    (claimed,) = await claim(database_url)
    assert await settle(database_url, claimed, Dead(provider="smtp", failure=TROUBLE, reason="rejected"))
    with psycopg.connect(database_url) as conn:
        assert len(replay(conn, [email])) == 1
        conn.commit()
        inbox.mark(conn, "read", recipient=ADA)
    assert state(database_url, email)[0] == "cancelled"


# Unless it was sent


async def test_what_was_sent_is_not_followed(database_url: str) -> None:
    (push,) = enqueue(database_url, 1, channel="push", recipient="device")
    sms = follow_sent(database_url, push)
    recorder = Recorder()
    await drain(database_url, route(recorder, channel="push"))
    await drain(database_url, route(recorder, channel="sms"))
    assert recorder.keys == [str(push)]
    ended, error_class, words = state(database_url, sms)
    assert (ended, error_class) == ("cancelled", "needless")
    assert words.startswith(f"{push} was sent at 20")


@pytest.mark.parametrize("how", ["waits", "is retried", "is dead", "is unknown"])
async def test_what_was_not_sent_by_then_is_followed(how: str, database_url: str) -> None:
    (push,) = enqueue(database_url, 1, channel="push", recipient="device")
    sms = follow_sent(database_url, uuid4() if how == "is unknown" else push)
    if how in {"is retried", "is dead"}:
        (claimed,) = await claim(database_url, channel="push")
        again = Retry(provider="fcm", failure=TROUBLE, delay=60)
        dead = Dead(provider="fcm", failure=TROUBLE, reason="unreachable")
        assert await settle(database_url, claimed, again if how == "is retried" else dead)
    recorder = Recorder()
    await drain(database_url, route(recorder, channel="sms"))
    assert recorder.keys == [str(sms)]


async def test_what_was_taken_back_need_not_be_followed(database_url: str) -> None:
    (push,) = enqueue(database_url, 1, channel="push", recipient="device")
    sms = follow_sent(database_url, push)
    with psycopg.connect(database_url) as conn:
        assert outbox.cancel(conn, id=push).cancelled == 1
    recorder = Recorder()
    await drain(database_url, route(recorder, channel="sms"))
    assert recorder.keys == []
    assert f"{push} was cancelled at" in state(database_url, sms)[2]


def follow_sent(url: str, sent: UUID) -> UUID:
    with psycopg.connect(url) as conn:
        return outbox.enqueue(conn, channel="sms", recipient="+447700900001", unless_sent=sent).id


@pytest.mark.parametrize("way", ["plain", "with a key", "many", "copied"])
def test_the_condition_is_kept_by_every_way_to_enqueue(way: str, conn: psycopg.Connection) -> None:
    sent = uuid4()
    given = EMAIL | {"unless_sent": sent}
    match way:
        case "plain":
            outbox.enqueue(conn, **given)
        case "with a key":
            outbox.enqueue(conn, **given, idempotency_key="k")
        case "many":
            outbox.enqueue_many(conn, [given])
        case _:
            outbox.enqueue_many(conn, [given] * 400)
    assert conn.execute("SELECT DISTINCT unless_sent FROM outbox.notifications").fetchall() == [(sent,)]


def test_what_is_no_id_is_refused(conn: psycopg.Connection) -> None:
    with pytest.raises(outbox.InvalidNotification, match="unless_sent: 'x' is not the id of a notification"):
        outbox.enqueue(conn, **EMAIL, unless_sent="x")


async def test_nothing_takes_the_token_of_a_recipient_that_is_not_needed(database_url: str, tmp_path: Path) -> None:
    read = await arrived(database_url, tmp_path)
    with psycopg.connect(database_url) as conn:
        inbox.mark(conn, "read", recipient=ADA)
    follow(database_url, read)
    (claimed,) = await claim(database_url)
    assert claimed.needless is not None
    assert not claimed.wants_token()


async def test_a_push_that_was_tapped_on_ends_what_waits_for_it(database_url: str) -> None:
    (push,) = enqueue(database_url, 1, channel="push", recipient="device")
    sms = follow(database_url, push, channel="sms", recipient="+447700900001", run_at=timedelta(minutes=5))
    async with await psycopg.AsyncConnection.connect(database_url) as conn:
        await outbox.amark_read(conn, str(push))
    ended, _, words = state(database_url, sms)
    assert ended == "cancelled"
    assert words.startswith(f"{push} was read at")
