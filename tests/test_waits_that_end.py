"""What waited without an end before migration 0031."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import outbox
from outbox import migrate
from outbox.config import TopicConfig
from outbox.errors import InvalidNotification, Rejected
from outbox.queue.replay import replay
from tests.hands import WAITING, enqueue, rows
from tests.recorder import Recorder, drain, route
from tests.test_worker import running
from tests.waiting import await_until, wait_until

if TYPE_CHECKING:
    from outbox.messages import Notification

_FILTER = """
CREATE FUNCTION public.filter() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER filter BEFORE INSERT ON outbox.notifications FOR EACH ROW EXECUTE FUNCTION public.filter();
"""
_CHANGED = """
SELECT proname, pg_get_functiondef(oid) FROM pg_proc
WHERE pronamespace = 'outbox'::regnamespace AND proname IN (
    'enqueue', 'erase_notifications', 'cancel', 'supersede', 'gather', 'close_due_digests', 'refreshed_throttle',
    'delete_expired')
ORDER BY 1
"""


def test_what_a_trigger_keeps_out_is_refused_in_words(cloned_url: str) -> None:
    rows(cloned_url, _FILTER)
    with psycopg.connect(cloned_url) as conn:
        with pytest.raises(InvalidNotification, match="kept out by a trigger"):
            outbox.enqueue(conn, channel="email", recipient="ada@example.org")
        conn.execute("SET LOCAL statement_timeout = '5s'")
        with pytest.raises(psycopg.errors.TriggeredActionException, match="a trigger keeps it out"):
            conn.execute("SELECT outbox.enqueue('email', 'ada@example.org', delay => '1 hour')")


def test_a_digest_that_gathered_for_as_long_as_things_are_kept_is_kept_when_it_is_sent(cloned_url: str) -> None:
    """It has the id of its first item, and lies in the DEFAULT partition if the day of that is gone."""
    rows(
        cloned_url,
        """
        INSERT INTO outbox.notifications (id, created_at, channel, recipient)
        VALUES ('01800000-0000-7000-8000-000000000001', now() - interval '1 hour', 'email', 'a digest'),
               ('01800000-0000-7000-8000-000000000002', now() - interval '31 days', 'email', 'another')
        """,
    )
    rows(cloned_url, "DELETE FROM outbox.queue")
    assert rows(cloned_url, "SELECT outbox.delete_expired('notifications', 30)") == [(1,)]
    assert rows(cloned_url, "SELECT recipient FROM outbox.notifications") == [("a digest",)]


def test_down_and_up_again_leaves_the_functions_as_they_were(cloned_url: str) -> None:
    before = rows(cloned_url, _CHANGED)
    migrate.downgrade(cloned_url, "0030")
    between = rows(cloned_url, _CHANGED)
    assert [old[0] for old, new in zip(before, between, strict=True) if old != new] == [name for name, _ in before]
    migrate.upgrade(cloned_url)
    assert rows(cloned_url, _CHANGED) == before


async def test_what_is_blocked_in_its_line_keeps_no_place_from_the_one_ahead_of_it(database_url: str) -> None:
    async def behave(notification: Notification) -> None:
        if notification.payload["n"] == 1:
            raise Rejected("not like this")

    rule = TopicConfig.model_validate({"throttle": "1/d", "throttle_policy": "defer"})
    ada: dict[str, Any] = {"recipient": "ada@example.org", "topic": "news", "ordering_key": "ada"}
    (first,) = enqueue(database_url, payload={"n": 1}, **ada)
    await drain(database_url, route(Recorder(behave), topics={"news": rule}))
    (second,) = enqueue(database_url, payload={"n": 2}, run_at=timedelta(days=1), **ada)
    with psycopg.connect(database_url) as conn:
        assert replay(conn, [first]).ids == (first,)
    assert rows(database_url, "SELECT run_at = 'infinity' FROM outbox.queue WHERE id = %s", first) == [(True,)]

    rows(database_url, "UPDATE outbox.queue SET run_at = now() WHERE id = %s", second)
    recorder = Recorder()
    await drain(database_url, route(recorder, topics={"news": rule}))
    assert [each.id for each in recorder.sent] == [second]
    assert rows(database_url, "SELECT id, run_at < 'infinity' FROM outbox.queue") == [(first, True)], "its turn comes"


def test_a_digest_that_a_trigger_refuses_in_its_own_words_keeps_no_other_open(cloned_url: str) -> None:
    rows(
        cloned_url,
        """
        CREATE FUNCTION public.guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF new.recipient = 'bob' THEN RAISE EXCEPTION USING ERRCODE = '55000', MESSAGE = 'no'; END IF; RETURN new;
        END $$;
        CREATE TRIGGER guard BEFORE INSERT ON outbox.notifications FOR EACH ROW EXECUTE FUNCTION public.guard();
        SELECT outbox.enqueue_digest('push', name, 'likes', interval '1 hour') FROM unnest('{ada,bob}'::text[]) AS name;
        UPDATE outbox.digests SET closes_at = now();
        """,
    )
    assert rows(cloned_url, "SELECT outbox.close_due_digests(10)") == [(1,)]
    assert rows(cloned_url, "SELECT recipient FROM outbox.notifications") == [("ada",)]
    assert rows(cloned_url, "SELECT recipient, closes_at > now() FROM outbox.digests") == [("bob", True)]


def test_an_erasure_of_earlier_days_leaves_no_window_that_was_opened_since(database_url: str) -> None:
    rows(database_url, "SELECT outbox.enqueue_digest('push', 'ada', 'likes', interval '1 hour')")
    rows(database_url, "SELECT outbox.erase_notifications('ada', until => now() - interval '1 day')")
    assert rows(database_url, "SELECT 1 FROM outbox.digests") == []
    assert rows(database_url, "SELECT 1 FROM outbox.digest_items") == []


def test_what_joined_a_window_during_an_erasure_goes_with_it(cloned_url: str) -> None:
    """The window was opened after the erasure began, and the last to join it commits while it is being deleted."""
    rows(cloned_url, "SELECT outbox.enqueue_digest('push', 'ada', 'likes', interval '1 hour')")
    with psycopg.connect(cloned_url) as joining, ThreadPoolExecutor(1) as pool:
        joining.execute("SELECT outbox.enqueue_digest('push', 'ada', 'likes', interval '1 hour')")
        erasing = pool.submit(rows, cloned_url, "SELECT outbox.erase_notifications('ada')")
        wait_until(lambda: rows(cloned_url, WAITING))
        joining.commit()
        erasing.result(30)
    assert rows(cloned_url, "SELECT 1 FROM outbox.digests") == []
    assert rows(cloned_url, "SELECT 1 FROM outbox.digest_items") == []


async def test_who_gathers_for_a_throttle_waits_for_no_window_that_is_being_taken_back(cloned_url: str) -> None:
    rule = TopicConfig.model_validate({"throttle": "1/d", "throttle_policy": "digest"})
    ada: dict[str, Any] = {"recipient": "ada@example.org", "topic": "news", "group_key": "campaign", "template": "t"}
    enqueue(cloned_url, **ada)
    enqueue(cloned_url, **ada)
    recorder = Recorder()
    await drain(cloned_url, route(recorder, topics={"news": rule}))
    assert rows(cloned_url, "SELECT items FROM outbox.digests") == [(1,)]
    (third,) = enqueue(cloned_url, **ada)
    async with running(cloned_url, route(recorder, topics={"news": rule})):
        with psycopg.connect(cloned_url) as application:
            application.execute("SELECT FROM outbox.digests FOR UPDATE")
            await await_until(lambda: rows(cloned_url, "SELECT 1 FROM outbox.queue WHERE worker IS NOT NULL"))
            (bob,) = enqueue(cloned_url, recipient="bob@example.org", template="t")
            await await_until(lambda: any(each.id == bob for each in recorder.sent))
            assert rows(cloned_url, WAITING) == []
        await await_until(lambda: rows(cloned_url, "SELECT 1 FROM outbox.queue WHERE id = %s", third) == [])
    assert rows(cloned_url, "SELECT items FROM outbox.digests") == [(2,)]
