"""At most so many to one recipient about one topic, in any period of a length; the rest by policy, on record."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import outbox
from outbox import migrate
from outbox.check import check
from outbox.config import TopicConfig, load
from outbox.durations import Quota, parse_quota
from outbox.errors import Ambiguous, ConfigError, Rejected, Temporary, Throttled, Unreachable
from outbox.metrics import Counts
from outbox.queue.admit import Asking, admit
from tests.command_line import run
from tests.hands import claim, enqueue, rows
from tests.recorder import Recorder, drain, route
from tests.test_docs import blocks
from tests.test_worker import running
from tests.waiting import await_until

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from outbox.events import Event
    from outbox.route import Route

ADA = "ada@example.org"


def limited(*providers: Recorder, throttle: str = "3/d", policy: str = "drop", **other: Any) -> Route:
    """A route whose topic `news` has a throttle."""
    rule = TopicConfig.model_validate({"throttle": throttle, "throttle_policy": policy} | other.pop("rule", {}))
    return route(*providers, topics={"news": rule}, **other)


def news(url: str, count: int = 1, **given: Any) -> list[Any]:
    return [enqueue(url, **{"recipient": ADA, "topic": "news"} | given)[0] for _ in range(count)]


def states(url: str) -> dict[str, int]:
    return dict(rows(url, "SELECT state, count(*) FROM outbox.status GROUP BY 1"))


@pytest.mark.parametrize(("policy", "rest"), [("drop", "suppressed"), ("defer", "deferred"), ("digest", "suppressed")])
async def test_three_workers_together_deliver_so_many_and_no_more(database_url: str, policy: str, rest: str) -> None:
    news(database_url, 10)
    enqueue(database_url, 5, topic="news")
    news(database_url, 4, topic="orders")
    recorder = Recorder()
    await asyncio.gather(*(drain(database_url, limited(recorder, policy=policy)) for _ in range(3)))
    assert sum(each.recipient == ADA and each.topic == "news" for each in recorder.sent) == 3
    assert len(recorder.sent) == 3 + 5 + 4
    assert states(database_url) == {"sent": 12, rest: 7}


def let_pass(url: str, back: timedelta) -> None:
    """Put back every time that a throttle looks at, as if so long had passed."""
    rows(url, "UPDATE outbox.queue SET run_at = run_at - %s WHERE run_at > now()", back)
    rows(url, "UPDATE outbox.attempts SET finished_at = finished_at - %s", back)
    rows(url, "UPDATE outbox.digests SET closes_at = closes_at - %s", back)
    rows(
        url,
        "UPDATE outbox.throttles SET look_at = look_at - %(by)s, "
        "sent_at = ARRAY(SELECT at - %(by)s FROM unnest(sent_at) AS at), "
        "held_at = ARRAY(SELECT at - %(by)s FROM unnest(held_at) AS at)".replace("%(by)s", "interval '1 s' * %s"),
        *[back.total_seconds()] * 3,
    )


def last_words(url: str, identity: UUID) -> str:
    ((words,),) = rows(
        url, "SELECT error FROM outbox.attempts WHERE notification_id = %s ORDER BY claim DESC LIMIT 1", identity
    )
    return str(words)


def tend(url: str) -> int:
    rows(url, "UPDATE outbox.throttles SET look_at = clock_timestamp()")
    ((seen,),) = rows(url, "SELECT outbox.tend_throttles(100)")
    return int(seen)


async def test_in_no_period_are_there_more_whatever_the_period(cloned_url: str) -> None:
    """What waits goes on by itself, and of any three deliveries two are a period apart."""
    news(cloned_url, 7)
    recorder = Recorder()
    routes = [limited(recorder, throttle="2/1s", policy="defer") for _ in range(3)]
    async with running(cloned_url, routes[0]), running(cloned_url, routes[1]), running(cloned_url, routes[2]):
        await await_until(lambda: len(recorder.sent) == 7, timeout=30)
        await await_until(lambda: rows(cloned_url, "SELECT 1 WHERE NOT EXISTS (SELECT FROM outbox.queue)"))
    sent = rows(
        cloned_url,
        "SELECT date_part('epoch', started_at), date_part('epoch', finished_at) FROM outbox.attempts "
        "WHERE outcome = 'sent' ORDER BY finished_at",
    )
    assert len(sent) == 7
    assert all(third[0] - first[1] >= 1 for first, third in zip(sent, sent[2:], strict=False))
    assert rows(cloned_url, "SELECT max(attempt) FROM outbox.attempts") == [(1,)]


async def test_many_decide_at_once_and_hand_out_each_place_once(database_url: str) -> None:
    people = [f"user{number}@example.org" for number in range(5)]
    for _ in range(12):
        enqueue(database_url, len(people), topic="news")

    async def decide(worker: int) -> int:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
            admitted = 0
            for _ in range(12):
                claimed = await claim(database_url, limit=7, worker=worker)
                asking = [Asking(one.id, str(one.recipient), "news", Quota(3, 60.0), defers=False) for one in claimed]
                refused = {each.id for each in await admit(conn, asking, channel="email") if each.wait is not None}
                admitted += len({one.id for one in claimed} - refused)
            return admitted

    assert sum(await asyncio.gather(*(decide(worker) for worker in range(6)))) == 3 * len(people)
    assert rows(database_url, "SELECT DISTINCT cardinality(held) FROM outbox.throttles") == [(3,)]


async def test_dropped_says_by_which_rule_and_when_one_would_have_been_let_through(database_url: str) -> None:
    ids = news(database_url, 3)
    events: list[Event] = []
    recorder = Recorder()
    await drain(database_url, limited(recorder, throttle="2/d", events=events))
    let_pass(database_url, timedelta(hours=5))
    (late,) = news(database_url, recipient="Ada@EXAMPLE.org")
    await drain(database_url, limited(recorder, throttle="2/d", events=events))
    assert re.fullmatch(
        r"over the throttle of news, 2 in 1d: one would have been let through in (1d|23h 59m)",
        last_words(database_url, ids[2]),
    )
    assert re.search(r"let through in (19h|18h 59m)", last_words(database_url, late)), "an address has no case"
    told = rows(
        database_url, "SELECT outcome, error_class, attempt FROM outbox.attempts WHERE notification_id = %s", late
    )
    assert told == [("suppressed", "throttled", 0)]
    counts = Counts({"email": ["recorder0"]})
    for event in events:
        counts(event)
    labels = {"channel": "email", "topic": "news", "policy": "drop"}
    assert counts.registry.get_sample_value("outbox_throttled_total", labels) == 2


async def test_who_waits_goes_on_in_the_order_of_priority_and_then_of_coming(database_url: str) -> None:
    first, *waiting = news(database_url, 4)
    (urgent,) = news(database_url, priority="high", run_at=timedelta(seconds=0.2))
    await asyncio.sleep(0.3)
    recorder = Recorder()
    limits = limited(recorder, throttle="1/d", policy="defer")
    rows(database_url, "UPDATE outbox.queue SET run_at = now() + interval '1 h' WHERE id = %s", urgent)
    await drain(database_url, limits)
    assert [each.id for each in recorder.sent] == [first]
    rows(database_url, "UPDATE outbox.queue SET run_at = now() WHERE id = %s", urgent)
    await drain(database_url, limits)
    for _ in range(4):
        let_pass(database_url, timedelta(days=1, seconds=1))
        tend(database_url)
        await drain(database_url, limits)
    assert [each.id for each in recorder.sent] == [first, urgent, *waiting]
    assert rows(database_url, "SELECT max(attempt) FROM outbox.attempts") == [(1,)]


async def test_what_waits_for_a_place_is_not_too_old_for_it_and_expires_at_its_time(database_url: str) -> None:
    news(database_url, 2)
    (late,) = news(database_url, expires_at=timedelta(hours=1))
    recorder = Recorder()
    limits = limited(recorder, throttle="1/d", policy="defer", max_age="1h")
    await drain(database_url, limits)
    ((wait,),) = rows(database_url, "SELECT date_part('epoch', run_at - now()) FROM outbox.queue WHERE id = %s", late)
    assert wait <= 3_600
    rows(
        database_url,
        "SET session_replication_role = replica; UPDATE outbox.notifications "
        "SET run_at = run_at - interval '1 day', expires_at = expires_at - interval '2 hours'",
    )
    let_pass(database_url, timedelta(days=1, seconds=1))
    recorder.failing = Throttled("slow down", retry_after=0.2)
    await drain(database_url, limits)
    assert len(recorder.keys) == 2, "it was tried"
    assert rows(database_url, "SELECT count(*) FROM outbox.dead_letters") == [(0,)], "its age counts from then on"
    assert states(database_url)["expired"] == 1


@pytest.mark.parametrize(
    ("error", "place_is_free"), [(Rejected("no"), True), (Ambiguous("who knows"), False), (Unreachable("gone"), True)]
)
async def test_what_was_not_sent_gives_its_place_back(
    database_url: str,
    error: Exception,
    place_is_free: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    (dead,) = news(database_url)
    recorder = Recorder()
    recorder.failing = error
    limits = limited(recorder, throttle="1/d", max_attempts=1)
    await drain(database_url, limits)
    rows(database_url, "DELETE FROM outbox.suppressions")
    recorder.failing = None
    (following,) = news(database_url)
    await drain(database_url, limits)
    assert [each.id for each in recorder.sent] == ([following] if place_is_free else [])
    assert rows(database_url, "SELECT notification_id FROM outbox.dead_letters") == [(dead,)]


async def test_a_place_that_is_given_back_wakes_who_waits(database_url: str) -> None:
    news(database_url, 2)
    recorder = Recorder()
    recorder.failing = Rejected("no")
    limits = limited(recorder, throttle="1/d", policy="defer")
    await drain(database_url, limits)
    assert states(database_url) == {"dead": 1, "deferred": 1}
    assert rows(database_url, "SELECT look_at < now() + interval '61 s' FROM outbox.throttles") == [(True,)]
    assert tend(database_url) == 1
    recorder.failing = None
    await drain(database_url, limits)
    assert len(recorder.sent) == 1


async def test_retries_take_no_further_place_and_keep_their_own(database_url: str) -> None:
    (tried,) = news(database_url)
    recorder = Recorder()
    recorder.failing = Temporary("later")
    limits = limited(recorder, throttle="1/d", backoff=(0.05,), jitter=0, max_attempts=4)
    await drain(database_url, limits)
    news(database_url)
    await await_until(lambda: rows(database_url, "SELECT 1 FROM outbox.queue WHERE id = %s AND run_at <= now()", tried))
    recorder.failing = None
    await drain(database_url, limits)
    assert [each.id for each in recorder.sent] == [tried]
    assert states(database_url) == {"sent": 1, "suppressed": 1}


async def test_the_rest_goes_out_as_one_when_there_is_a_place(database_url: str) -> None:
    first, *rest = [news(database_url, payload={"n": number}, template="one")[0] for number in range(4)]
    recorder = Recorder()
    limits = limited(recorder, throttle="1/d", policy="digest", rule={"throttle_template": "several"})
    await drain(database_url, limits)
    ((digest, closes_in, key),) = rows(
        database_url, "SELECT id, date_part('epoch', closes_at - now()), key FROM outbox.digests"
    )
    assert 86_390 < closes_in <= 86_400
    assert key == "throttle:news"
    words = last_words(database_url, rest[0])
    assert words == f"over the throttle of news, 1 in 1d: it goes out with others, in {digest}"
    explained = run(database_url, "explain", rest[0]).stdout
    assert f"outbox explain {digest}" in " ".join(explained.split())
    let_pass(database_url, timedelta(days=1, seconds=1))
    (newer,) = news(database_url, payload={"n": 9})
    await drain(database_url, limits)
    assert [each.id for each in recorder.sent] == [first], "the digest is ahead of it, and about to close"
    rows(database_url, "SELECT outbox.close_due_digests(100)")
    await drain(database_url, limits)
    assert [each.id for each in recorder.sent] == [first, digest]
    sent = recorder.sent[-1]
    assert sent.template == "several"
    assert sent.payload == {
        "items": [{"n": 1}, {"n": 2}, {"n": 3}, {"n": 9}], "count": 4, "first": {"n": 1}, "last": {"n": 9}
    }  # fmt: skip
    explained = json.loads(run(database_url, "explain", digest, "--json").stdout)
    assert explained["made_of"] == [str(identity) for identity in [*rest, newer]]
    assert explained["throttle"]["number"] == 1
    assert states(database_url) == {"sent": 2, "suppressed": 4}


async def test_what_belongs_to_another_group_is_not_taken_back_with_the_first_in_the_digest(database_url: str) -> None:
    limits = limited(Recorder(), throttle="1/d", policy="digest")
    news(database_url, group_key="order:0")
    news(database_url, group_key="order:1")
    await drain(database_url, limits)
    assert rows(database_url, "SELECT group_key FROM outbox.digests") == [("order:1",)]
    news(database_url, group_key="order:2")
    await drain(database_url, limits)
    with psycopg.connect(database_url) as conn:
        assert outbox.cancel(conn, group_key="order:1") == outbox.Cancelled(0, 0, 0, 0, ended=1)
    assert rows(database_url, "SELECT items FROM outbox.digests") == [(2,)], "what order 2 says is still to go out"


async def test_a_digest_that_finds_no_place_waits_and_is_not_gathered_itself(database_url: str) -> None:
    news(database_url, 3)
    recorder = Recorder()
    limits = limited(recorder, throttle="1/d", policy="digest")
    await drain(database_url, limits)
    rows(database_url, "UPDATE outbox.digests SET closes_at = now()")
    rows(database_url, "SELECT outbox.close_due_digests(100)")
    await drain(database_url, limits)
    assert states(database_url) == {"sent": 1, "suppressed": 2, "deferred": 1}
    let_pass(database_url, timedelta(days=1, seconds=1))
    await drain(database_url, limits)
    assert recorder.sent[-1].payload["count"] == 2


async def test_what_was_gathered_says_what_became_of_its_digest(database_url: str) -> None:
    def following(identity: UUID) -> str:
        return str(json.loads(run(database_url, "explain", identity, "--json").stdout)["next"])

    _, gathered = news(database_url, 2)
    limits = limited(Recorder(), throttle="1/d", policy="digest")
    await drain(database_url, limits)
    assert "goes out in another notification, when there is a place" in following(gathered)
    let_pass(database_url, timedelta(days=1, seconds=1))
    rows(database_url, "SELECT outbox.close_due_digests(100)")
    assert "goes out in another notification, when there is a place" in following(gathered)
    await drain(database_url, limits)
    assert following(gathered).startswith("nothing: what it says was in another notification, which is sent: ")
    (dropped,) = news(database_url)
    await drain(database_url, limits)
    with psycopg.connect(database_url) as conn:
        assert outbox.cancel(conn, id=last_words(database_url, dropped)[-36:]).cancelled == 1
    assert "was in another notification, which is cancelled: " in following(dropped)


async def test_a_digest_of_several_groups_belongs_to_none_and_is_cancelled_with_none(database_url: str) -> None:
    news(database_url)
    for number, group in enumerate(("spring", "spring", "summer", "spring")):
        news(database_url, group_key=group, payload={"n": number})
        news(database_url, recipient="eve@example.org", group_key="spring")
    await drain(database_url, limited(Recorder(), throttle="1/d", policy="digest"))
    found = "SELECT recipient, group_key, items FROM outbox.digests ORDER BY recipient"
    assert rows(database_url, found) == [(ADA, None, 4), ("eve@example.org", "spring", 3)]
    with psycopg.connect(database_url) as conn:
        assert outbox.cancel(conn, group_key="spring").cancelled == 1
    assert rows(database_url, found) == [(ADA, None, 4)]


async def test_what_is_gathered_while_it_is_superseded_waits_for_that_and_nobody_for_it(cloned_url: str) -> None:
    """One has the window and wants what waits, and the other must not have that and want the window."""
    news(cloned_url, 2, group_key="g")
    limits = limited(Recorder(), throttle="1/d", policy="digest")
    await drain(cloned_url, limits)
    (late,) = news(cloned_url, group_key="g")
    async with await psycopg.AsyncConnection.connect(cloned_url) as conn:
        await conn.execute("SELECT FROM outbox.digests FOR UPDATE")  # as outbox.supersede() does, before it goes on
        draining = asyncio.create_task(drain(cloned_url, limits))
        claimed = "SELECT 1 FROM outbox.queue WHERE id = %s AND worker IS NOT NULL"
        await await_until(lambda: rows(cloned_url, claimed, late))
        await asyncio.sleep(0.5)  # more than once by then, it has found that the window is somebody's
        await conn.execute("SELECT FROM outbox.queue WHERE id = %s FOR UPDATE NOWAIT", [late])
        await conn.commit()
        await draining
    assert rows(cloned_url, "SELECT items FROM outbox.digests") == [(2,)]


@pytest.mark.parametrize("large", [{"payload": {"numbers": [0] * 65_000}}, {"recipient": "x" * 3_000}])
async def test_what_is_too_large_to_go_out_with_others_waits_for_its_own_turn(
    database_url: str, large: dict[str, Any]
) -> None:
    news(database_url, 2, channel="push", **{"recipient": ADA} | large)
    recorder = Recorder()
    limits = limited(recorder, throttle="1/d", policy="digest", channel="push")
    await drain(database_url, limits)
    assert states(database_url) == {"sent": 1, "deferred": 1}
    assert rows(database_url, "SELECT error FROM outbox.attempts WHERE outcome = 'deferred'") == [
        ("over the throttle of news, 1 in 1d: it is too large to go out with others, and waits for its turn",)
    ]
    let_pass(database_url, timedelta(days=1, seconds=1))
    await drain(database_url, limits)
    assert states(database_url) == {"sent": 2}


async def test_two_who_ask_for_the_same_new_and_old_rows_do_not_wait_for_each_other(cloned_url: str) -> None:
    """One has made a row when the other wants it, who must not hold then what the first wants next."""
    by_digest = "SELECT r FROM unnest(%s::text[]) AS r ORDER BY outbox.throttle_recipient('email', r)"
    (old,), (new,) = rows(cloned_url, by_digest, ["ada@example.org", "eve@example.org"])

    def asking(recipient: str, number: int) -> list[Asking]:
        return [Asking(each, recipient, "news", Quota(2, 60.0), defers=False) for each in enqueue(cloned_url, number)]

    async with await psycopg.AsyncConnection.connect(cloned_url) as one:
        await admit(one, asking(old, 1), channel="email")
        await one.commit()
        await admit(one, asking(new, 1), channel="email")
        async with await psycopg.AsyncConnection.connect(cloned_url) as other:
            waiting = asyncio.create_task(admit(other, [*asking(old, 1), *asking(new, 3)], channel="email"))
            blocked = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            await await_until(lambda: rows(cloned_url, blocked))
            await admit(one, asking(old, 1), channel="email")
            await one.commit()
            await waiting


async def test_what_expires_before_the_digest_goes_out_is_not_in_it(database_url: str) -> None:
    news(database_url)
    (late,) = news(database_url, expires_at=timedelta(hours=1))
    await drain(database_url, limited(Recorder(), throttle="1/d", policy="digest"))
    assert rows(database_url, "SELECT count(*) FROM outbox.digests") == [(0,)]
    assert states(database_url) == {"sent": 1, "expired": 1}
    assert "it expires in 59m" in last_words(database_url, late)


async def test_a_throttle_that_was_made_stricter_holds_at_once(database_url: str) -> None:
    recorder = Recorder()
    news(database_url, 3)
    await drain(database_url, limited(recorder, throttle="3/d"))
    let_pass(database_url, timedelta(hours=23))
    news(database_url, 1)
    await drain(database_url, limited(recorder, throttle="2/d"))
    assert states(database_url) == {"sent": 3, "suppressed": 1}


async def test_what_is_past_is_forgotten_and_what_is_known_is_kept_beyond_its_attempts(database_url: str) -> None:
    news(database_url)
    await drain(database_url, limited(Recorder(), throttle="1/d"))
    assert tend(database_url) == 1
    rows(database_url, "DELETE FROM outbox.attempts")  # as retention does
    assert rows(database_url, "SELECT cardinality(held), cardinality(sent_at) FROM outbox.throttles") == [(0, 1)]
    news(database_url)
    await drain(database_url, limited(Recorder(), throttle="1/d"))
    assert states(database_url)["suppressed"] == 1
    let_pass(database_url, timedelta(days=1, seconds=1))
    tend(database_url)
    assert rows(database_url, "SELECT count(*) FROM outbox.throttles") == [(0,)]


async def test_erasing_somebody_forgets_what_they_were_sent(database_url: str) -> None:
    for recipient in (ADA, "eve@example.org"):
        news(database_url, 2, recipient=recipient)
    await drain(database_url, limited(Recorder(), throttle="1/d", policy="digest"))
    with psycopg.connect(database_url) as conn:
        outbox.erase(conn, recipient="ADA@example.org")
    assert rows(database_url, "SELECT count(*) FROM outbox.throttles") == [(1,)]
    assert rows(database_url, "SELECT recipient FROM outbox.digests") == [("eve@example.org",)]


async def test_a_transaction_that_has_erased_somebody_and_stays_open_holds_up_nobody_else(cloned_url: str) -> None:
    limits = limited(Recorder(), throttle="1/d")
    news(cloned_url)
    await drain(cloned_url, limits)
    with psycopg.connect(cloned_url) as conn:
        outbox.erase(conn, recipient=ADA)
        (held,) = news(cloned_url)
        others = news(cloned_url, recipient="eve@example.org") + enqueue(cloned_url, 2)
        recorder = Recorder()
        await asyncio.wait_for(drain(cloned_url, limited(recorder, throttle="1/d")), timeout=20)
        assert {each.id for each in recorder.sent} == set(others)
        assert last_words(cloned_url, held) == "somebody holds the throttle of news: it is looked at again in 3s"
    rows(cloned_url, "UPDATE outbox.queue SET run_at = now()")
    await drain(cloned_url, limits)
    assert states(cloned_url) == {"sent": 4}


async def test_where_no_topic_has_a_throttle_nothing_is_asked(database_url: str) -> None:
    news(database_url, 3)
    rows(database_url, "ALTER FUNCTION outbox.admit RENAME TO admit_not")
    try:
        await drain(database_url, route(Recorder()))
        enqueue(database_url, topic="orders")
        await drain(database_url, limited(Recorder()))
    finally:
        rows(database_url, "ALTER FUNCTION outbox.admit_not RENAME TO admit")
    assert states(database_url) == {"sent": 4}


def test_down_and_up_again_leaves_everything_as_it_was(cloned_url: str) -> None:
    before = rows(cloned_url, "SELECT pg_get_functiondef('outbox.erase_notifications'::regproc)")
    migrate.downgrade(cloned_url, "0019")
    assert rows(cloned_url, "SELECT to_regclass('outbox.throttles')") == [(None,)]
    with psycopg.connect(cloned_url) as conn:
        outbox.erase(conn, recipient=ADA)
    migrate.upgrade(cloned_url)
    assert rows(cloned_url, "SELECT pg_get_functiondef('outbox.erase_notifications'::regproc)") == before


@pytest.mark.parametrize(
    ("text", "quota"),
    [
        ("3/d", (3, 86_400)),
        ("1 / h", (1, 3_600)),
        ("10/w", (10, 604_800)),
        ("2/90m", (2, 5_400)),
        ("5/30d", (5, 2_592_000)),
    ],
)
def test_a_throttle_is_a_whole_number_in_a_unit_or_a_duration(text: str, quota: tuple[int, float]) -> None:
    assert parse_quota(text) == Quota(*quota)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('throttle = "3"', "topics.news.throttle: '3' is not so many in so long: write it like 3/d, 10/7d or 1/30m"),
        ('throttle = "2.5/d"', "topics.news.throttle: '2.5/d' is not so many in so long"),
        ('throttle = "0/d"', "topics.news.throttle: '0/d' begins with no whole number from 1 to 1000"),
        ('throttle = "1001/d"', "topics.news.throttle: '1001/d' begins with no whole number from 1 to 1000"),
        ('throttle = "1/31d"', "topics.news.throttle: '1/31d' has a period that is not between 1s and 30d"),
        ('throttle = "1/ms"', "topics.news.throttle: '1/ms' has a period that is not between 1s and 30d"),
        ('throttle_policy = "drop"', "topics.news.throttle_policy: there is no throttle that it is the policy of"),
        ('throttle = "3/d"\nthrottle_policy = "delay"', '"delay"; it must be "drop", "defer" or "digest"'),
        (
            'throttle = "3/d"\nthrottle_template = "many"',
            "topics.news.throttle_template: it is the template of what a throttle gathers, so it needs throttle_policy",
        ),
        (
            'transactional = true\nthrottle = "3/d"\nthrottle_policy = "drop"',
            "topics.news.transactional: what is transactional must not be dropped",
        ),
        ('throtle = "3/d"', "topics.news.throtle is not a known key; did you mean throttle?"),
    ],
)
def test_what_cannot_be_meant_is_refused_when_it_is_read(tmp_path: Path, lines: str, problem: str) -> None:
    file = tmp_path / "outbox.toml"
    file.write_text(f"[topics.news]\n{lines}\n")
    with pytest.raises(ConfigError, match=re.escape(problem)):
        load(file, environ={})


def test_a_template_of_digests_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "templates" / "news").mkdir(parents=True)
    for part in ("subject.txt", "body.txt"):
        (tmp_path / "templates" / "news" / part).write_text("News")
    file = tmp_path / "outbox.toml"
    file.write_text(
        '[channels.email]\nproviders = ["recorder"]\n'
        '[topics.news]\nthrottle = "1/d"\nthrottle_policy = "digest"\nthrottle_template = "newz"\n'
    )
    (only,) = check(load(file, environ={}))
    assert only.endswith("topics.news.throttle_template: there is no template newz; did you mean news?")


def test_keys_of_throttles_are_not_for_digests_of_ones_own(conn: psycopg.Connection) -> None:
    with pytest.raises(outbox.InvalidNotification, match="digest_key: must not begin with throttle:"):
        outbox.enqueue(
            conn, channel="email", recipient=ADA, digest_key="throttle:news", digest_window=timedelta(hours=1)
        )


async def test_the_page_about_throttles_is_right(cloned_url: str, tmp_path: Path) -> None:
    file = tmp_path / "outbox.toml"
    file.write_text("".join(blocks("docs/throttling.md", "toml")) + '[channels.email]\nproviders = ["recorder"]\n')
    rule = load(file, environ={}).topics["news"]
    assert rule.throttle == Quota(3, 86_400.0)
    news(cloned_url, 5)
    recorder = Recorder()
    await drain(cloned_url, route(recorder, topics={"news": rule}))
    assert len(recorder.sent) == 3
    held, gathered = (rows(cloned_url, sql) for sql in blocks("docs/throttling.md", "sql"))
    assert [row[2] for row in held] == ["suppressed"] * 2
    assert [len(row[1]) for row in gathered] == [2]


# What was gathered is what it was


def close_and_let_go(url: str) -> None:
    let_pass(url, timedelta(days=1, seconds=1))
    rows(url, "SELECT outbox.close_due_digests(100)")


@pytest.mark.parametrize(
    ("lasting", "expires"), [((30, 50, 40), 50), ((30, None), None), ((None, 30), None), ((30,), 30)]
)
async def test_a_digest_expires_with_the_last_of_its_items(
    database_url: str, lasting: tuple[int | None, ...], expires: int | None
) -> None:
    news(database_url)
    for hours in lasting:
        news(database_url, expires_at=hours and timedelta(hours=hours))
    limits = limited(Recorder(), throttle="1/d", policy="digest")
    await drain(database_url, limits)
    told = "SELECT round(extract(epoch FROM expires_at - now()) / 3600) FROM outbox."
    assert rows(database_url, f"{told}digests") == [(expires,)]
    rows(database_url, "UPDATE outbox.digests SET closes_at = now(), expires_at = expires_at - interval '60 hours'")
    rows(database_url, "SELECT outbox.close_due_digests(100)")
    await drain(database_url, limits)
    assert states(database_url).get("expired", 0) == (expires is not None)


async def test_a_large_item_whose_window_closes_at_once_takes_its_expiry_along(database_url: str) -> None:
    news(database_url)
    news(database_url, payload={"text": "x" * 210_000}, expires_at=timedelta(hours=30))
    await drain(database_url, limited(Recorder(), throttle="1/d", policy="digest"))
    told = (
        "SELECT round(extract(epoch FROM expires_at - now()) / 3600) FROM outbox.notifications WHERE payload ? 'items'"
    )
    assert rows(database_url, told) == [(30,)]


async def test_two_spellings_of_an_address_have_one_digest_that_goes_to_the_first(database_url: str) -> None:
    recorder = Recorder()
    limits = limited(recorder, throttle="1/d", policy="digest")
    for recipient in (ADA, "Ada@Example.org", "ADA@example.org", ADA):
        news(database_url, recipient=recipient)
        await drain(database_url, limits)
    assert rows(database_url, "SELECT recipient, items FROM outbox.digests") == [("Ada@Example.org", 3)]
    news(database_url, recipient="+447700900001", channel="sms")
    news(database_url, recipient="eve@example.org")
    close_and_let_go(database_url)
    await drain(database_url, limits)
    assert [(one.recipient, one.payload.get("count")) for one in recorder.sent][-2:] == [
        ("eve@example.org", None),
        ("Ada@Example.org", 3),
    ]


@pytest.mark.parametrize("became", ["sent", "cancelled", "waits"])
async def test_what_was_gathered_counts_as_sent_or_taken_back_when_its_digest_was(
    database_url: str, became: str
) -> None:
    news(database_url)
    (gathered,) = news(database_url, group_key="order:1")
    recorder = Recorder()
    limits = limited(recorder, throttle="1/d", policy="digest")
    await drain(database_url, limits)
    ((digest,),) = rows(database_url, "SELECT id FROM outbox.digests")
    (after,) = enqueue(database_url, recipient=ADA, topic="orders", unless_sent=gathered, run_at=timedelta(days=3))
    if became == "sent":
        close_and_let_go(database_url)
        await drain(database_url, limits)
        assert recorder.sent[-1].id == digest
    elif became == "cancelled":
        with psycopg.connect(database_url) as conn:
            outbox.cancel(conn, group_key="order:1")
    rows(database_url, "UPDATE outbox.queue SET run_at = now() WHERE id = %s", after)
    await drain(database_url, limits)
    assert (after in {one.id for one in recorder.sent}) == (became == "waits")
    if became != "waits":
        assert last_words(database_url, after).startswith(f"{gathered} was {became} at ")


@pytest.mark.parametrize("before_it_is_due", [True, False])
async def test_who_has_read_the_digest_has_read_what_was_gathered(database_url: str, before_it_is_due: bool) -> None:  # noqa: FBT001 - a parameter
    news(database_url)
    (gathered,) = news(database_url)
    limits = limited(Recorder(), throttle="1/d", policy="digest")
    await drain(database_url, limits)
    ((digest,),) = rows(database_url, "SELECT id FROM outbox.digests")
    rows(
        database_url,
        "INSERT INTO outbox.inbox (notification_id, recipient, title, body) VALUES (%s, %s, 'several', '')",
        digest,
        ADA,
    )
    later = {"recipient": ADA, "topic": "orders", "unless_read": gathered, "run_at": timedelta(hours=1)}
    if before_it_is_due:
        enqueue(database_url, **later)
        enqueue(database_url, **later | {"unless_read": digest})
    with psycopg.connect(database_url) as conn:
        outbox.mark_read(conn, digest)
    if not before_it_is_due:
        enqueue(database_url, **later | {"run_at": None})
        recorder = Recorder()
        await drain(database_url, limited(recorder, throttle="1/d", policy="digest"))
        assert recorder.sent == []
    ended = rows(database_url, "SELECT count(*) FROM outbox.attempts WHERE error LIKE '% was read at %'")
    assert ended == [(2 if before_it_is_due else 1,)]
    assert rows(database_url, "SELECT count(*) FROM outbox.queue") == [(0,)]
