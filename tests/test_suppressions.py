"""Suppressions: added and removed in the application's transaction, merged by strength; what waits ends with them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import outbox
from outbox import InvalidSuppression, reasons, suppressions
from outbox.config import TopicConfig
from outbox.messages import Removed, Suppressed
from outbox.outcomes import Retry, Sent
from outbox.queue.topics import declare
from outbox.queue.unblock import unblock
from tests.backdated import put_days_ago
from tests.hands import TROUBLE, claim, enqueue, expire_leases, rows, settle
from tests.kinds import KINDS, Async, opened
from tests.recorder import Recorder, delivered, drain, route
from tests.test_plans import EXPLAINED, NO_AUTOVACUUM, STATISTICS, Plans

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

ADA = "ada@example.org"
SOON, LATER = timedelta(hours=1), timedelta(days=30)


def add(url: str, recipient: str = ADA, **given: Any) -> Suppressed:
    with psycopg.connect(url) as conn:
        return suppressions.add(conn, **{"channel": "email", "recipient": recipient, "reason": "unsubscribed"} | given)


def remove(url: str, recipient: str = ADA, **given: Any) -> Removed:
    with psycopg.connect(url) as conn:
        return suppressions.remove(conn, **{"channel": "email", "recipient": recipient} | given)


def states(url: str) -> dict[UUID, str]:
    return dict(rows(url, "SELECT id, state FROM outbox.status"))


async def say_transactional(url: str, *topics: str) -> None:
    """Declare these as transactional, and news as a topic like any other."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        await declare(conn, dict.fromkeys(topics, TopicConfig(transactional=True)) | {"news": TopicConfig()})


# Adding


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_every_kind_of_connection_adds_finds_and_removes_in_its_transaction(kind: Any, database_url: str) -> None:
    enqueue(database_url, 2, recipient="Ada@Example.org")
    async with opened(kind, database_url) as transaction:
        conn, waits = transaction.conn, isinstance(transaction, Async)

        async def ask(name: str, **given: Any) -> Any:
            verb = getattr(suppressions, f"a{name}" if waits else name)
            return await verb(conn, channel="email", **given) if waits else verb(conn, channel="email", **given)

        added = await ask("add", recipient="ADA@example.org", reason="unsubscribed", topic="news", until=LATER)
        assert added == Suppressed(new=True, reason="unsubscribed", ended=0, in_hand=0)
        added = await ask("add", recipient="ADA@example.org", reason="stop", source="the form")
        assert added == Suppressed(new=True, reason="stop", ended=2, in_hand=0)
        stop, news = await ask("find", recipient="Ada@example.org")
        assert (stop.recipient, stop.topic, stop.sender, stop.reason, stop.source) == (
            ADA,
            None,
            None,
            "stop",
            "the form",
        )
        assert (stop.until, news.topic) == (None, "news")
        assert abs(news.until - datetime.now(UTC) - LATER) < timedelta(minutes=5)
        page = await ask("page", limit=1)
        assert page.items == [stop]
        assert (await ask("page", limit=1, after=page.next)).items == [news]
        assert await ask("remove", recipient=ADA, topic="news") == Removed("unsubscribed", ("stop",))
        assert await ask("remove", recipient=ADA) == Removed(None, ("stop",))
        assert await ask("remove", recipient=ADA, strong=True) == Removed("stop", ())
        assert await ask("find", recipient=ADA) == []
        await transaction.rollback()
    assert rows(database_url, "SELECT count(*) FROM outbox.suppressions") == [(0,)]
    assert set(states(database_url).values()) == {"due"}, "it was rolled back"


async def test_what_waits_ends_suppressed_and_says_so(database_url: str) -> None:
    sent, leased, retrying, due = enqueue(database_url, 4, recipient=ADA)
    (scheduled,) = enqueue(database_url, recipient="ADA@EXAMPLE.ORG", run_at=SOON)
    (other,) = enqueue(database_url, recipient="eve@example.org")
    (sms,) = enqueue(database_url, recipient=ADA, channel="sms")
    first, second, third = await claim(database_url, limit=3)
    assert [first.id, second.id, third.id] == [sent, leased, retrying]
    await settle(database_url, first, Sent(provider="smtp"))
    await settle(database_url, third, Retry(provider="smtp", failure=TROUBLE, delay=60))
    assert add(database_url) == Suppressed(new=True, reason="unsubscribed", ended=3, in_hand=1)
    assert states(database_url) == {
        sent: "sent",
        leased: "leased",
        retrying: "suppressed",
        due: "suppressed",
        scheduled: "suppressed",
        other: "due",
        sms: "due",
    }
    said = rows(database_url, "SELECT error_class, error, attempts FROM outbox.attempts a JOIN outbox.status s "
                "ON s.id = a.notification_id WHERE a.outcome = 'suppressed' ORDER BY attempts")  # fmt: skip
    today = rows(database_url, "SELECT created_at::date FROM outbox.suppressions")[0][0]
    words = f"unsubscribed, since {today}"
    assert said == [("suppressed", words, 0), ("suppressed", words, 0), ("suppressed", words, 1)]
    assert add(database_url) == Suppressed(new=False, reason="unsubscribed", ended=0, in_hand=1)


async def test_nothing_that_comes_later_is_sent_until_it_is_removed(database_url: str) -> None:
    add(database_url)
    enqueue(database_url, recipient="Ada@example.org")
    assert await delivered(database_url) == []
    assert set(states(database_url).values()) == {"suppressed"}
    assert remove(database_url) == Removed("unsubscribed", ())
    enqueue(database_url, recipient=ADA)
    assert len(await delivered(database_url)) == 1


async def test_what_a_lost_worker_held_ends_and_its_claim_is_recorded(database_url: str) -> None:
    enqueue(database_url, recipient=ADA)
    (lost,) = await claim(database_url, worker=9)
    expire_leases(database_url)
    assert add(database_url).ended == 1
    assert rows(database_url, "SELECT claim, outcome, worker FROM outbox.attempts ORDER BY 1") == [
        (1, "lost", 9),
        (2, "suppressed", None),
    ]
    await settle(database_url, lost, Sent(provider="smtp"), worker=9)
    assert set(states(database_url).values()) == {"sent"}, "a late success is evidence"


def test_a_topic_is_suppressed_alone(database_url: str) -> None:
    (news,) = enqueue(database_url, recipient=ADA, topic="news")
    (billing,) = enqueue(database_url, recipient=ADA, topic="billing")
    (plain,) = enqueue(database_url, recipient=ADA)
    assert add(database_url, topic="news").ended == 1
    assert states(database_url) == {news: "suppressed", billing: "due", plain: "due"}


def test_what_comes_due_when_it_is_over_still_waits(database_url: str) -> None:
    (within,) = enqueue(database_url, recipient=ADA, run_at=SOON)
    (beyond,) = enqueue(database_url, recipient=ADA, run_at=LATER)
    assert add(database_url, until=timedelta(days=1)).ended == 1
    assert states(database_url) == {within: "suppressed", beyond: "scheduled"}


def test_one_of_our_senders_alone_is_left_to_the_claims(database_url: str) -> None:
    enqueue(database_url, recipient="+447700900001", channel="sms")
    given = {"channel": "sms", "reason": "stop", "sender": "+447700900999"}
    assert add(database_url, "+447700900001", **given) == Suppressed(new=True, reason="stop", ended=0, in_hand=0)
    assert set(states(database_url).values()) == {"due"}


async def test_those_that_stood_behind_it_in_a_line_go_on(database_url: str) -> None:
    enqueue(database_url, recipient=ADA, ordering_key="o")
    (behind,) = enqueue(database_url, recipient="eve@example.org", ordering_key="o")
    (blocked,) = enqueue(database_url, recipient=ADA, ordering_key="o")
    assert add(database_url).ended == 2
    assert (states(database_url)[behind], states(database_url)[blocked]) == ("blocked", "suppressed")
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
        assert await unblock(conn) == (1, None)
    assert [message.id for message in await delivered(database_url)] == [behind]


async def test_what_somebody_has_locked_is_not_waited_for_and_ends_at_its_claim(database_url: str) -> None:
    enqueue(database_url, 2, recipient=ADA)
    with psycopg.connect(database_url) as conn:
        conn.execute("SELECT FROM outbox.queue ORDER BY id LIMIT 1 FOR UPDATE")
        assert add(database_url) == Suppressed(new=True, reason="unsubscribed", ended=1, in_hand=1)
        conn.rollback()
    assert await delivered(database_url) == []
    assert set(states(database_url).values()) == {"suppressed"}


# How what waits is found


CAMPAIGN = """
INSERT INTO outbox.notifications (channel, recipient, run_at)
SELECT 'email', 'user' || n || '@example.org', now() + n % 2 * interval '1 hour' FROM generate_series(1, 10500) AS n
"""


@pytest.mark.parametrize("index", [False, True])
def test_in_a_campaign_it_is_found_all_the_same(cloned_url: str, index: bool) -> None:  # noqa: FBT001 - a parameter of the test
    put_days_ago(cloned_url, 3, 1, recipient=ADA)
    put_days_ago(cloned_url, 40, 1, recipient=ADA, partition=False)
    enqueue(cloned_url, 2, recipient="ADA@example.org")
    rows(cloned_url, CAMPAIGN)
    if index:
        rows(cloned_url, "CREATE INDEX ON outbox.notifications (lower(recipient))")
    rows(cloned_url, "ANALYZE outbox.notifications")
    assert add(cloned_url).ended == 4
    assert set(rows(cloned_url, "SELECT state FROM outbox.status WHERE lower(recipient) = %s", ADA)) == {
        ("suppressed",)
    }
    assert rows(cloned_url, "SELECT count(*) FROM outbox.queue") == [(10_500,)]


@pytest.mark.parametrize("make", STATISTICS, ids=lambda make: make.__name__)
async def test_where_little_waits_nothing_is_read_as_a_whole(cloned_url: str, make: Callable[[str], None]) -> None:
    rows(cloned_url, NO_AUTOVACUUM)
    make(cloned_url)
    rows(cloned_url, CAMPAIGN)
    rows(cloned_url, "DELETE FROM outbox.queue")
    enqueue(cloned_url, 100)
    async with await psycopg.AsyncConnection.connect(cloned_url) as conn:
        await conn.execute(EXPLAINED + "SET auto_explain.log_nested_statements = on", prepare=False)
        plans = Plans(conn)
        added = await suppressions.aadd(conn, channel="email", recipient="user7@example.org", reason="stop")
    assert added.ended == 1
    assert plans.of("outbox.queue")
    plans.assert_lookups()


# Of two, the stronger


def test_the_words_are_as_strong_in_the_database_as_they_are_here(conn: psycopg.Connection) -> None:
    for reason in (*reasons.KNOWN, "asked_by_post"):
        assert conn.execute("SELECT outbox.reason_strength(%s)", [reason]).fetchone() == (reasons.strength(reason),)
    assert sorted(reasons.KNOWN, key=reasons.strength, reverse=True) == list(reasons.KNOWN)


FOREVER = timedelta(days=36_000)
ADDED = st.tuples(
    st.sampled_from([*reasons.KNOWN, "own", "other"]), st.sampled_from([None, timedelta(days=1), timedelta(days=2)])
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(added=st.lists(ADDED, min_size=1, max_size=5))
def test_a_stronger_reason_is_never_replaced_and_the_longest_time_stays(
    conn: psycopg.Connection, added: list[tuple[str, timedelta | None]]
) -> None:
    for reason, until in added:
        found = suppressions.add(conn, channel="email", recipient=ADA, reason=reason, until=until)
    (stands,) = suppressions.find(conn, channel="email", recipient=ADA)
    conn.rollback()
    strongest = max(reasons.strength(reason) for reason, _ in added)
    newest = [reason for reason, _ in added if reasons.strength(reason) == strongest][-1]
    longest = max(FOREVER if until is None else until for _, until in added)
    left = FOREVER if stands.until is None else stands.until - datetime.now(UTC)
    assert (stands.reason, found.reason, found.new) == (newest, newest, len(added) == 1)
    assert abs(left - longest) < timedelta(minutes=5)


def test_one_whose_time_is_over_is_not_there(database_url: str) -> None:
    add(database_url, reason="stop", until=SOON)
    rows(database_url, "UPDATE outbox.suppressions SET until = now() - interval '1 s', created_at = '2020-01-01'")
    with psycopg.connect(database_url) as conn:
        assert suppressions.find(conn, channel="email", recipient=ADA) == []
    assert add(database_url, until=SOON) == Suppressed(new=True, reason="unsubscribed", ended=0, in_hand=0)
    assert rows(database_url, "SELECT reason, created_at > '2020-01-02' FROM outbox.suppressions") == [
        ("unsubscribed", True)
    ]


# Transactional topics


@pytest.mark.parametrize("reason", reasons.KNOWN)
@pytest.mark.parametrize("topic", [None, "receipts"])
async def test_a_transactional_topic_overrides_an_unsubscription_and_nothing_else(
    database_url: str, reason: str, topic: str | None
) -> None:
    await say_transactional(database_url, "receipts")
    enqueue(database_url, recipient=ADA, topic="receipts")
    add(database_url, reason=reason, topic=topic)
    enqueue(database_url, recipient=ADA, topic="receipts")
    recorder = Recorder()
    await drain(database_url, route(recorder, transactional=("receipts",)))
    assert len(recorder.sent) == (2 if reason == "unsubscribed" else 0)


async def test_other_topics_and_none_end_by_an_unsubscription(database_url: str) -> None:
    await say_transactional(database_url, "receipts")
    for topic in ("receipts", "news", None):
        enqueue(database_url, recipient=ADA, topic=topic)
    assert add(database_url).ended == 2
    recorder = Recorder()
    await drain(database_url, route(recorder, transactional=("receipts",)))
    assert [message.topic for message in recorder.sent] == ["receipts"]


async def test_a_worker_says_which_topics_are_transactional_and_which_are_not_any_more(database_url: str) -> None:
    await say_transactional(database_url, "receipts", "of another configuration")
    await drain(
        database_url, route(Recorder()), topics={"receipts": TopicConfig(), "invoices": TopicConfig(transactional=True)}
    )
    assert rows(database_url, "SELECT name, transactional FROM outbox.topics ORDER BY 1") == [
        ("invoices", True),
        ("news", False),
        ("of another configuration", True),
        ("receipts", False),
    ]


# Mistakes


@pytest.mark.parametrize(
    ("given", "field", "problem"),
    [
        ({"channel": "E-Mail"}, "channel", "lower-case letters"),
        ({"recipient": "ada"}, "recipient", "looks like name@example.org"),
        ({"recipient": ""}, "recipient", "must be a text"),
        ({"channel": "webhook", "recipient": "x" * 2_001}, "recipient", "longer than 2,000 bytes"),
        ({"reason": "unsubscribe"}, "reason", "did you mean unsubscribed?"),
        ({"reason": "asked to"}, "reason", "stop, hard_bounce, complaint, manual, unsubscribed, or a word of your own"),
        ({"reason": ["stop"]}, "reason", "must be one of stop, hard_bounce"),
        ({"topic": "x" * 256}, "topic", "at most 255 characters"),
        ({"sender": "a\nb"}, "sender", "control character"),
        ({"source": 5}, "source", "must be a text, not int"),
        ({"until": datetime(2020, 1, 1, tzinfo=UTC)}, "until", "lies in the past"),
        ({"until": timedelta(0)}, "until", "lies in the past"),
        ({"until": datetime(2040, 1, 1)}, "until", "without a time zone"),  # noqa: DTZ001 - that is the mistake
    ],
)
def test_a_mistake_is_refused_before_it_can_spoil_the_transaction(
    conn: psycopg.Connection, given: dict[str, Any], field: str, problem: str
) -> None:
    with pytest.raises(InvalidSuppression, match=problem) as refused:
        suppressions.add(conn, **{"channel": "email", "recipient": ADA, "reason": "unsubscribed"} | given)
    assert refused.value.field == field
    assert conn.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("'E-Mail', 'ada@example.org', 'stop'", "channel of a suppression is not a name"),
        ("'email', '', 'stop'", "recipient of a suppression is empty"),
        ("'email', 'ada@example.org', 'asked to'", "reason of a suppression is not a word"),
        ("'email', 'ada@example.org', 'stop', until => '2020-01-01'", "until of a suppression lies in the past"),
        ("NULL, 'ada@example.org', 'stop'", "channel of a suppression is not a name"),
    ],
)
def test_the_function_refuses_what_is_wrong_and_does_not_quote_it(
    conn: psycopg.Connection, arguments: str, problem: str
) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=problem) as refused:
        conn.execute(f"SELECT outbox.suppress({arguments})".encode())
    assert ADA not in str(refused.value.diag.message_primary)


def test_a_connection_that_commits_by_itself_is_refused(database_url: str) -> None:
    given: dict[str, Any] = {"channel": "email", "recipient": ADA, "reason": "stop"}
    with psycopg.connect(database_url, autocommit=True) as conn:
        with pytest.raises(outbox.NotInTransaction):
            suppressions.add(conn, **given)
        assert suppressions.add(conn, **given, allow_autocommit=True).new


@pytest.mark.parametrize("after", ["", "nonsense", "W10=", "WzEsMiwzLDRd"])
def test_a_page_that_cannot_be_is_refused(conn: psycopg.Connection, after: str) -> None:
    with pytest.raises(ValueError, match="not the `next` of a page"):
        suppressions.page(conn, after=after)
    with pytest.raises(ValueError, match="from 1 to 10,000"):
        suppressions.page(conn, limit=0)


# Looking


def test_pages_follow_one_another_and_can_be_narrowed(database_url: str) -> None:
    for number in range(25):
        add(database_url, f"user{number}@example.org", topic="news" if number % 2 else None)
    add(database_url, "+447700900001", channel="sms", reason="stop")
    add(database_url, "over@example.org", until=SOON)
    rows(database_url, "UPDATE outbox.suppressions SET until = now() - interval '1 s' WHERE until IS NOT NULL")
    with psycopg.connect(database_url) as conn:
        seen: list[suppressions.Suppression] = []
        after = None
        while True:
            page = suppressions.page(conn, limit=10, after=after)
            seen += page.items
            if (after := page.next) is None:
                break
        assert len({one.recipient for one in seen}) == len(seen) == 26
        assert [(one.channel, one.recipient) for one in seen[-1:]] == [("sms", "+447700900001")]
        assert len(suppressions.page(conn, channel="email").items) == 25
        assert len(suppressions.page(conn, topic="news").items) == 12
        assert len(suppressions.page(conn, reason="stop").items) == 1
        assert len(suppressions.page(conn, recipient="USER7@example.org").items) == 1


def test_an_application_lifts_no_ban_of_an_operators(database_url: str) -> None:
    add(database_url, reason="manual")
    assert remove(database_url) == Removed(None, ("manual",))
    assert remove(database_url, strong=True) == Removed("manual", ())
