"""What was enqueued in the place of a dead letter stands for it: for who follows it, cancels, asks or erases."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import outbox
from outbox import inbox
from outbox.errors import Rejected
from outbox.outcomes import Dead, Retry, Sent
from outbox.queue.edit import edit
from outbox.queue.erase import Person, count_slice, erase, erase_slice, list_slices
from outbox.queue.replay import replay
from outbox.queue.story import tell
from tests import hands
from tests.command_line import run
from tests.endings import REFUSED, claim_due, end, put, put_dead, settle_as
from tests.hands import TROUBLE, rows
from tests.recorder import Recorder, drain
from tests.test_inapp import ADA
from tests.test_throttle import close_and_let_go, limited, news

if TYPE_CHECKING:
    from uuid import UUID

STATES = "SELECT state FROM outbox.status WHERE id = %s"


def edited(url: str, old: UUID, **changed: Any) -> UUID:
    """Edit a dead letter; return the new id."""
    with psycopg.connect(url) as conn:
        new = edit(conn, old, **changed or {"recipient": "ada@example.net"}).new_id
    assert new is not None
    return new


def edited_twice(url: str, **given: Any) -> tuple[UUID, UUID]:
    """A dead letter whose edit died as well, and was edited; return the first id and the last."""
    [first] = put_dead(url, **given)
    edited(url, first, payload={"text": "second"})
    end(url, REFUSED, channel=given.get("channel", "email"))
    [second] = [
        found for (found,) in rows(url, "SELECT notification_id FROM outbox.dead_letters WHERE resolution IS NULL")
    ]
    return first, edited(url, second, payload={"text": "third"})


class TestWhatFollows:
    def test_it_is_not_needed_once_the_edited_one_was_sent(self, database_url: str) -> None:
        first, _ = edited_twice(database_url)
        end(database_url, Sent(provider="smtp"))
        put(database_url, 1, channel="sms", recipient="+4915112345678", unless_sent=first)
        [claimed] = claim_due(database_url, channel="sms")
        assert (claimed.needless or "").startswith(f"{first} was sent at ")

    def test_it_is_needed_while_the_edited_one_was_not_sent(self, database_url: str) -> None:
        first, _ = edited_twice(database_url)
        put(database_url, 1, channel="sms", recipient="+4915112345678", unless_sent=first)
        [claimed] = claim_due(database_url, channel="sms")
        assert claimed.needless is None

    async def test_so_it_is_of_what_a_throttle_gathered_into_a_digest_that_died_and_was_edited(
        self, database_url: str
    ) -> None:
        recorder = Recorder()
        limits = limited(recorder, throttle="1/d", policy="digest")
        _, gathered = news(database_url, 2)
        await drain(database_url, limits)
        ((digest,),) = rows(database_url, "SELECT id FROM outbox.digests")
        close_and_let_go(database_url)
        recorder.failing = Rejected("the content is not acceptable", code="554")
        await drain(database_url, limits)
        recorder.failing = None
        assert rows(database_url, STATES, digest) == [("dead",)]
        after = {"recipient": "ada@example.net", "topic": "orders", "unless_sent": gathered}
        [later] = hands.enqueue(database_url, **after, run_at=timedelta(days=3))
        [needed] = hands.enqueue(database_url, **after)
        await drain(database_url, limits)
        assert recorder.sent[-1].id == needed
        new = edited(database_url, digest, recipient="ada@example.net")
        await drain(database_url, limits)
        assert recorder.sent[-1].id == new
        rows(database_url, "UPDATE outbox.queue SET run_at = now() WHERE id = %s", later)
        await drain(database_url, limits)
        assert rows(database_url, STATES, later) == [("cancelled",)]
        [(words,)] = rows(database_url, "SELECT error FROM outbox.attempts WHERE notification_id = %s", later)
        assert words.startswith(f"{gathered} was sent at ")

    def test_it_is_ended_by_the_reading_of_the_edited_one(self, database_url: str) -> None:
        first, last = edited_twice(database_url, channel="inapp", recipient=ADA)
        [email] = put(database_url, 1, unless_read=first, run_at=timedelta(hours=1))
        with psycopg.connect(database_url) as conn:
            outbox.mark_read(conn, last)
        assert rows(database_url, STATES, email) == [("cancelled",)]

    def test_what_comes_after_that_reading_is_ended_by_its_claim(self, database_url: str) -> None:
        first, last = edited_twice(database_url, channel="inapp", recipient=ADA)
        rows(
            database_url,
            "INSERT INTO outbox.inbox (notification_id, recipient, title) VALUES (%s, %s, 'Hi')",
            last,
            ADA,
        )
        with psycopg.connect(database_url) as conn:
            inbox.mark(conn, "read", recipient=ADA)
        put(database_url, 1, unless_read=first)
        [claimed] = claim_due(database_url)
        assert (claimed.needless or "").startswith(f"{first} was read at ")

    def test_its_turn_comes_as_long_after_the_edited_one_as_it_was_to_come_after_the_first(
        self, database_url: str
    ) -> None:
        first, last = edited_twice(database_url, channel="inapp", recipient=ADA)
        put(database_url, 1, unless_read=first)
        rows(database_url, "UPDATE outbox.queue SET run_at = now() + interval '1 hour' WHERE id = %s", last)
        [claimed] = claim_due(database_url)
        assert claimed.follows_in == pytest.approx(3_600, abs=60)


class TestTakingItBack:
    def test_the_id_that_an_application_knows_takes_back_what_stands_for_it(self, database_url: str) -> None:
        first, last = edited_twice(database_url)
        with psycopg.connect(database_url) as conn:
            done = outbox.cancel(conn, id=first)
        assert (done.cancelled, done.dead) == (1, 0)
        assert rows(database_url, STATES, last) == [("cancelled",)]

    def test_so_it_does_when_retention_has_dropped_the_first(self, database_url: str) -> None:
        [first] = put_dead(database_url)
        rows(database_url, "DELETE FROM outbox.notifications")
        with psycopg.connect(database_url) as conn:
            assert replay(conn, [first]).anew
            assert outbox.cancel(conn, id=first).cancelled == 1

    def test_one_that_was_not_edited_counts_as_dead(self, database_url: str) -> None:
        [first] = put_dead(database_url)
        with psycopg.connect(database_url) as conn:
            assert outbox.cancel(conn, id=first) == outbox.Cancelled(0, 0, 0, 1, 0)


class TestAsking:
    def test_the_story_of_the_first_says_how_the_last_fares(self, database_url: str) -> None:
        first, last = edited_twice(database_url)
        end(database_url, Sent(provider="smtp"))
        with psycopg.connect(database_url) as conn:
            story = tell(conn, first)
        assert story is not None
        assert story.successor is not None
        assert (story.successor.id, story.successor.state) == (last, "sent")

    def test_explain_says_it_in_words_and_as_json(self, database_url: str) -> None:
        first, last = edited_twice(database_url)
        said = run(database_url, "explain", str(first))
        assert f"in its place, which is due: outbox explain {last}" in " ".join(said.stdout.split())
        document = json.loads(run(database_url, "explain", str(first), "--json").stdout)
        assert document["in_its_place"] == {"id": str(last), "state": "due"}

    def test_explain_leads_on_from_one_that_retention_has_dropped(self, database_url: str) -> None:
        [first] = put_dead(database_url)
        new = edited(database_url, first)
        rows(database_url, "DELETE FROM outbox.notifications WHERE id = %s", first)
        assert f"outbox explain {new}" in " ".join(run(database_url, "explain", str(first)).stderr.split())


class TestErasing:
    def test_what_went_to_somebody_else_in_the_place_of_theirs_is_erased_with_theirs(self, database_url: str) -> None:
        [first] = put_dead(database_url, recipient="ada@example.org", idempotency_key="welcome:1")
        second = edited(database_url, first, recipient="eve@example.net")
        end(database_url, REFUSED)
        edited(database_url, second, recipient="zoe@example.com")
        put(database_url, 1, recipient="eve@example.net")
        with psycopg.connect(database_url) as conn:
            done = erase(conn, recipient="ada@example.org")
        assert (done.notifications, done.dead_letters, done.cancelled, done.idempotency_keys) == (3, 2, 1, 1)
        left = "SELECT recipient FROM outbox.notifications UNION ALL SELECT recipient FROM outbox.dead_letters"
        assert rows(database_url, left) == [("eve@example.net",)]

    def test_what_a_worker_holds_is_found_again_when_it_is_sent(self, database_url: str) -> None:
        [first] = put_dead(database_url, recipient="ada@example.org")
        edited(database_url, first, recipient="eve@example.net")
        held = claim_due(database_url)
        with psycopg.connect(database_url) as conn:
            assert erase(conn, recipient="ada@example.org").leased == 1
        settle_as(database_url, held, Sent(provider="smtp"))
        with psycopg.connect(database_url) as conn:
            erase(conn, recipient="ada@example.org")
        assert rows(database_url, "SELECT count(*) FROM outbox.notifications") == [(0,)]
        assert rows(database_url, "SELECT count(*) FROM outbox.dead_letters") == [(0,)]

    def test_in_slices_it_erases_what_was_counted(self, database_url: str) -> None:
        [first] = put_dead(database_url, recipient="ada@example.org", idempotency_key="welcome:1")
        second = edited(database_url, first, recipient="eve@example.net")
        end(database_url, Retry(provider="smtp", failure=TROUBLE, delay=0.0))
        end(database_url, Dead(provider="smtp", failure=TROUBLE, reason="exhausted"))
        edited(database_url, second, recipient="ada@example.org")
        person = Person("ada@example.org")
        with psycopg.connect(database_url) as conn:
            slices = list_slices(conn)
            counted = [count_slice(conn, person, each) for each in slices]
            done = [erase_slice(conn, person, each) for each in slices]
        assert sum(each.notifications for each in counted) == sum(each.notifications for each in done) == 3
        assert sum(each.dead_letters for each in counted) == sum(each.dead_letters for each in done) == 2
        assert sum(each.cancelled for each in counted) == sum(each.cancelled for each in done) == 1
