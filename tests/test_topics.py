"""Topics: what is declared holds whatever is enqueued, at every door, and nothing is asked where none is declared."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import outbox
from outbox import InvalidFanOut, InvalidNotification, InvalidSchedule, schedules
from outbox.config import TopicConfig
from outbox.errors import Ambiguous
from outbox.events import TopicsChanged
from outbox.queue.digest import close_due
from outbox.queue.replay import replay
from outbox.queue.topics import count_waiting, declare, remove
from tests.endings import put_dead
from tests.hands import claim, enqueue, expire_leases, rows
from tests.kinds import KINDS, opened
from tests.recorder import Recorder, drain, route
from tests.topical import ADA, say

if TYPE_CHECKING:
    from outbox.events import Event
    from outbox.messages import Notification

TO_ADA: dict[str, Any] = {"channel": "email", "recipient": ADA, "payload": {"subject": "Hi", "text": "Hi"}}
DIGEST: dict[str, Any] = {"digest_key": "likes", "digest_window": timedelta(minutes=1)}
EXPIRY = "SELECT expires_at - greatest(run_at, created_at) FROM outbox.notifications"


# The doors


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_an_unknown_topic_is_refused_on_every_kind_of_connection_and_the_transaction_goes_on(
    kind: Any, database_url: str
) -> None:
    say(database_url, news={}, billing={"channels": ["push"]})
    async with opened(kind, database_url) as transaction:
        for more in ({}, {"idempotency_key": "k"}, {"group_key": "g", "supersedes": True}, DIGEST):
            with pytest.raises(InvalidNotification, match=r"^topic: 'newz' is not declared; did you mean news\?$"):
                await transaction.enqueue(**TO_ADA, topic="newz", **more)
            with pytest.raises(
                InvalidNotification, match=r"^topic: 'billing' is not sent by email; it is sent by push$"
            ):
                await transaction.enqueue(**TO_ADA, topic="billing", **more)
        for count in (2, 400):  # in a statement, and by COPY where there is one
            with pytest.raises(
                InvalidNotification, match=r"^\[1\]\.topic: 'newz' is not declared; did you mean news\?$"
            ):
                await transaction.enqueue_many([TO_ADA | {"topic": "news"}, *[TO_ADA | {"topic": "newz"}] * count])
        first = await transaction.enqueue(**TO_ADA, topic="news")
        many = await transaction.enqueue_many([TO_ADA | {"topic": "news"}] * 400)
        await transaction.commit()
    assert rows(database_url, "SELECT count(*), count(DISTINCT topic) FROM outbox.notifications") == [(401, 1)]
    assert len({first.id, *(one.id for one in many)}) == 401


async def test_an_escalation_is_refused_before_any_of_its_steps(database_url: str) -> None:
    say(database_url, news={}, billing={"channels": ["inapp"]})
    steps, to = ["inapp", "wait 5m unless read", "email"], {"inapp": "user:1", "email": ADA}
    with psycopg.connect(database_url) as conn:
        with pytest.raises(InvalidNotification, match=r"^topic: 'newz' is not declared; did you mean news\?$"):
            outbox.escalate(conn, to=to, steps=steps, topic="newz")
        with pytest.raises(InvalidNotification, match=r"^topic: 'billing' is not sent by email; it is sent by inapp$"):
            outbox.escalate(conn, to=to, steps=steps, topic="billing")
        assert len(outbox.escalate(conn, to={"inapp": "user:1"}, steps=steps, topic="billing").ids) == 1
        assert len(outbox.escalate(conn, to=to, steps=steps, topic="news").ids) == 2


BY_SQL = {
    "insert": "INSERT INTO outbox.notifications (channel, recipient, topic) VALUES ('email', 'a@b.c', {})",
    "insert select": "INSERT INTO outbox.notifications (channel, recipient, topic) "
    "SELECT 'email', 'a@b.c', CASE n WHEN 7 THEN {} ELSE 'news' END FROM generate_series(1, 9) n",
    "enqueue": "SELECT outbox.enqueue('email', 'a@b.c', topic => {})",
    "enqueue_digest": "SELECT outbox.enqueue_digest('email', 'a@b.c', 'k', interval '1 minute', topic => {})",
}


@pytest.mark.parametrize("door", BY_SQL)
def test_in_sql_it_is_an_error_that_says_what_there_is(door: str, conn: psycopg.Connection, database_url: str) -> None:
    say(database_url, news={}, billing={"channels": ["push", "sms"]})
    with pytest.raises(psycopg.errors.CheckViolation, match="topic 'newz' is not declared") as refused:
        conn.execute(BY_SQL[door].format("'newz'").encode())
    assert str(refused.value.diag.message_hint).startswith("There are billing, news. A topic is declared by [topics.")
    assert refused.value.diag.constraint_name == "notifications_topic_is_declared"
    conn.rollback()
    with pytest.raises(psycopg.errors.CheckViolation, match="topic 'billing' is not sent by email") as refused:
        conn.execute(BY_SQL[door].format("'billing'").encode())
    assert refused.value.diag.message_hint == "It is sent by push, sms."
    conn.rollback()
    conn.execute(BY_SQL[door].format("'news'").encode())


def test_copy_is_held_to_it_whatever_comes_before(conn: psycopg.Connection, database_url: str) -> None:
    say(database_url, news={}, billing={})

    def copy(*topics: str | None) -> None:
        with conn.cursor().copy("COPY outbox.notifications (channel, recipient, topic) FROM STDIN") as copying:
            for topic in topics:
                copying.write_row(("email", ADA, topic))

    copy("news", "billing", None, "news", "news", None, "billing")
    with pytest.raises(psycopg.errors.CheckViolation, match="'other' is not declared"):
        copy(None, "news", "news", "other", "news")


def test_where_no_topic_is_declared_they_are_free_words(database_url: str) -> None:
    enqueue(database_url, topic="anything")
    enqueue(database_url, 400, topic="whatever else")
    with psycopg.connect(database_url) as conn:
        for more in ({}, {"idempotency_key": "k"}, DIGEST):
            assert outbox.enqueue(conn, **TO_ADA, topic="at all", **more).created


def test_what_has_no_topic_is_never_asked_about(database_url: str) -> None:
    say(database_url, news={"default": "opt_in", "channels": ["push"]})
    enqueue(database_url)
    enqueue(database_url, 400)


def test_what_a_transaction_remembers_of_a_topic_is_forgotten_at_its_end(
    conn: psycopg.Connection, database_url: str
) -> None:
    say(database_url, news={}, other={})
    insert = BY_SQL["insert"].format("'news'").encode()
    conn.execute(insert)
    with psycopg.connect(database_url) as another:
        remove(another, ["news"])
    conn.commit()
    with pytest.raises(psycopg.errors.CheckViolation, match="not declared"):
        conn.execute(insert)


# How long it is worth sending


def test_a_topic_says_until_when_it_is_worth_sending_from_when_it_is_due(
    conn: psycopg.Connection, database_url: str
) -> None:
    say(database_url, code={"expires": "10m"}, news={})
    for more in ({}, {"run_at": timedelta(hours=3)}, {"idempotency_key": "k"}, {"expires_at": timedelta(days=1)}):
        outbox.enqueue(conn, **TO_ADA, topic="code", **more)
    outbox.enqueue_many(conn, [TO_ADA | {"topic": "code"}, TO_ADA | {"topic": "news"}, TO_ADA] * 200)
    past = "INSERT INTO outbox.notifications (channel, recipient, topic, run_at) VALUES ('email', 'a@b.c', 'code', %s)"
    conn.execute(past, ["2020-01-01 00:00Z"])
    found = conn.execute(f"SELECT topic, {EXPIRY[7:]} ORDER BY id".encode()).fetchall()
    tenth, day = timedelta(minutes=10), timedelta(days=1)
    assert found[:4] == [("code", tenth), ("code", tenth), ("code", tenth), ("code", day)]
    assert found[4:-1] == [("code", tenth), ("news", None), (None, None)] * 200
    assert found[-1] == ("code", tenth), "what is overdue counts from when it was enqueued"


async def test_a_digest_has_its_topics_expiry_from_when_it_closes(database_url: str) -> None:
    say(database_url, likes={"expires": "1h"})
    with psycopg.connect(database_url) as conn:
        for _ in range(2):
            outbox.enqueue(conn, **TO_ADA, topic="likes", digest_max_items=2, **DIGEST)
    assert rows(database_url, EXPIRY) == [(timedelta(hours=1),)]


# What was accepted before goes on


async def test_a_window_whose_topic_is_gone_closes_all_the_same(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        outbox.enqueue(conn, **TO_ADA, topic="free", **DIGEST)
    say(database_url, news={})
    rows(database_url, "UPDATE outbox.digests SET closes_at = now()")
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
        assert await close_due(conn, batch=10) is False
    assert rows(database_url, "SELECT topic, expires_at FROM outbox.notifications") == [("free", None)]
    with psycopg.connect(database_url) as conn, pytest.raises(InvalidNotification, match="'free' is not declared"):
        outbox.enqueue(conn, **TO_ADA, topic="free")


@pytest.mark.parametrize("dropped", [False, True])
def test_a_dead_letter_whose_topic_is_gone_is_replayed_all_the_same(database_url: str, dropped: bool) -> None:  # noqa: FBT001
    (identity,) = put_dead(database_url, topic="free")
    say(database_url, news={})
    if dropped:
        rows(database_url, "DELETE FROM outbox.notifications")
    with psycopg.connect(database_url) as conn:
        assert len(replay(conn, [identity])) == 1
        conn.commit()
        with pytest.raises(psycopg.errors.CheckViolation):
            conn.execute(BY_SQL["insert"].format("'free'").encode())
    assert rows(database_url, "SELECT topic FROM outbox.notifications") == [("free",)]


def test_a_schedule_is_held_to_it_when_it_is_added(conn: psycopg.Connection, database_url: str) -> None:
    say(database_url, news={"channels": ["email"]})
    people = "SELECT 'ada@example.org' AS recipient"
    with pytest.raises(InvalidSchedule, match=r"topic: 'newz' is not declared; did you mean news\?"):
        schedules.add(conn, "digest", "@daily", people, channel="email", topic="newz")
    with pytest.raises(InvalidSchedule, match="topic: 'news' is not sent by sms; it is sent by email"):
        schedules.add(conn, "digest", "@daily", people, channel="sms", topic="news")
    schedules.add(conn, "digest", "@daily", people, channel="email", topic="news")
    assert schedules.run_now(conn, "digest") == 1
    schedules.add(conn, "later", "@daily", f"{people}, 'newz' AS topic", channel="email")
    with pytest.raises(psycopg.errors.CheckViolation, match="'newz' is not declared"):
        schedules.run_now(conn, "later")


def test_a_fan_out_is_held_to_it_before_it_runs(conn: psycopg.Connection, database_url: str) -> None:
    say(database_url, news={"channels": ["email"]})
    people = "SELECT 'ada@example.org' AS recipient"
    with pytest.raises(InvalidFanOut, match=r"topic: 'newz' is not declared; did you mean news\?"):
        outbox.enqueue_select(conn, people, channel="email", topic="newz")
    outbox.enqueue_select(conn, people, channel="email", topic="news")
    assert conn.execute("SELECT topic FROM outbox.notifications").fetchall() == [("news",)]


# Declaring


async def test_workers_declare_all_of_it_and_say_what_was_said_otherwise_before(database_url: str) -> None:
    events: list[Event] = []
    first = {
        "news": TopicConfig(default="opt_in", channels=("email", "push"), delivery="at_most_once", expires=600),
        "receipts": TopicConfig(transactional=True),
    }
    await drain(database_url, route(Recorder(), events=events), topics=first)
    await drain(database_url, route(Recorder(), events=events), topics=first)
    assert not [event for event in events if isinstance(event, TopicsChanged)]
    kept = "SELECT name, transactional, opt_in, channels, delivery, expires FROM outbox.topics ORDER BY 1"
    assert rows(database_url, kept) == [
        ("news", False, True, ["email", "push"], "at_most_once", timedelta(minutes=10)),
        ("receipts", True, False, None, None, None),
    ]
    await drain(database_url, route(Recorder(), events=events), topics=first | {"news": TopicConfig()})
    assert [event.topics for event in events if isinstance(event, TopicsChanged)] == [("news",)]
    assert rows(database_url, kept)[0] == ("news", False, False, None, None, None)


async def test_two_who_declare_in_another_order_do_not_deadlock(cloned_url: str) -> None:
    names = [f"topic{number}" for number in range(50)]

    async def declare_often(order: list[str], *, transactional: bool) -> None:
        async with await psycopg.AsyncConnection.connect(cloned_url, autocommit=True) as conn:
            for _ in range(30):
                await declare(conn, {name: TopicConfig(transactional=transactional) for name in order})

    await asyncio.gather(*(declare_often(names[::step], transactional=step > 0) for step in (1, -1) for _ in range(3)))
    assert rows(cloned_url, "SELECT count(*), count(DISTINCT transactional) FROM outbox.topics") == [(50, 1)]


def test_what_waits_is_counted_by_topic_windows_too(conn: psycopg.Connection, database_url: str) -> None:
    enqueue(database_url, 3, topic="news")
    enqueue(database_url, topic="free", run_at=timedelta(days=1))
    enqueue(database_url, 2)
    outbox.enqueue(conn, **TO_ADA, topic="free", **DIGEST)
    assert count_waiting(conn) == {"news": 3, "free": 2}


# In doubt


@pytest.mark.parametrize(
    ("delivery", "on_ambiguous", "sends"),
    [
        ("at_most_once", "retry", 1),
        ("at_most_once", "stop", 1),
        ("at_least_once", "stop", 2),
        (None, "stop", 1),
        (None, "retry", 2),
    ],
)
async def test_a_topic_says_what_is_done_where_nobody_can_know(
    database_url: str, delivery: Any, on_ambiguous: str, sends: int
) -> None:
    tried = 0

    async def behave(_: Notification) -> None:
        nonlocal tried
        tried += 1
        if tried == 1:
            raise Ambiguous("the connection broke after the message")

    topics = {"news": TopicConfig(delivery=delivery)}
    policy: dict[str, Any] = {"on_ambiguous": on_ambiguous, "backoff": (0.0,), "jitter": 0}
    enqueue(database_url, topic="news")
    await drain(database_url, route(Recorder(behave), topics=topics, **policy), topics=topics)
    assert tried == sends
    assert rows(database_url, "SELECT state FROM outbox.status") == [("sent",) if sends == 2 else ("dead",)]


@pytest.mark.parametrize(
    ("delivery", "on_ambiguous", "lifetimes", "state"),
    [
        ("at_most_once", "retry", [0.0], "dead"),
        ("at_most_once", "retry", [3_600.0], "sent"),
        ("at_most_once", "retry", [3_600.0, 3_600.0], "dead"),
        ("at_least_once", "retry", [0.0], "sent"),
        (None, "stop", [0.0], "sent"),
    ],
)
async def test_what_a_vanished_worker_may_have_sent_is_not_sent_again_where_at_most_one_is_wanted(
    database_url: str, delivery: Any, on_ambiguous: str, lifetimes: list[float], state: str
) -> None:
    enqueue(database_url, topic="news")
    await claim(database_url, worker=99)
    expire_leases(database_url)
    topics = {"news": TopicConfig(delivery=delivery)}
    recorders = [Recorder() for _ in lifetimes]
    for recorder, lifetime in zip(recorders, lifetimes, strict=True):
        recorder.key_lifetime = lifetime
    await drain(database_url, route(*recorders, topics=topics, on_ambiguous=on_ambiguous), topics=topics)
    assert rows(database_url, "SELECT state FROM outbox.status") == [(state,)]
    assert sum(len(recorder.keys) for recorder in recorders) == (state == "sent")
    if state == "dead":
        assert rows(database_url, "SELECT reason, error FROM outbox.dead_letters") == [
            ("in_doubt", "a worker vanished with it in hand, and may have sent it")
        ]
