"""What somebody pauses is left alone by every worker, and goes on where it stood when it is resumed."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from outbox import errors
from outbox.errors import InvalidPause, NotInTransaction
from outbox.events import ChoreFailed
from outbox.outcomes import Dead, Deferred
from outbox.pause_events import Paused, Resumed
from outbox.queue.audit import list_audit
from outbox.queue.pause import pause
from outbox.queue.paused import Pause, known_targets, list_pauses, read_target
from outbox.queue.resume import resume
from outbox.worker.pausing import Pausing
from tests.hands import enqueue, rows
from tests.recorder import Recorder, drain, route
from tests.test_deliver import attempt, claimed
from tests.test_worker import running, states
from tests.waiting import await_until

if TYPE_CHECKING:
    from psycopg import Connection

    from outbox.events import Event
    from outbox.messages import Notification

SINCE = datetime(2026, 11, 1, tzinfo=UTC)
UNTOUCHED = "SELECT count(*) FROM outbox.queue WHERE claim = 0 AND attempt = 0 AND worker IS NULL AND run_at <= now()"


def pause_now(url: str, scope: str = "channel", name: str = "email", **terms: Any) -> None:
    with psycopg.connect(url) as conn:
        pause(conn, scope=scope, name=name, actor="ada@desk", **terms)


def resume_now(url: str, scope: str = "channel", name: str = "email") -> None:
    with psycopg.connect(url) as conn:
        assert resume(conn, scope=scope, name=name, actor="bob@desk") is not None


class Answers:
    """Stands for the database: each look gets the next answer, or that error."""

    def __init__(self, *answers: list[Pause] | Exception) -> None:
        self._left = list(answers)

    async def run(self, _: object) -> list[Pause]:
        answer = self._left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def beyond(recorder: Recorder, count: int) -> bool:
    return len(recorder.sent) > count


def told(events: list[Event], kind: type[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


class TestTheTransition:
    def test_who_pauses_says_why_and_until_when_and_it_is_written_down(self, conn: Connection) -> None:
        done = pause(conn, scope="provider", name="ses", actor="ada@desk", until=timedelta(hours=2), reason="outage")

        (listed,) = list_pauses(conn)
        assert (listed.target, listed.by, listed.reason, done.again) == ("provider:ses", "ada@desk", "outage", False)
        assert listed.left == pytest.approx(7_200, abs=5)
        (entry,) = list_audit(conn)
        assert (entry.actor, entry.action, entry.subject, entry.reason) == (
            "ada@desk", "pause", "provider:ses", "outage",
        )  # fmt: skip

    def test_a_second_pause_changes_the_terms_and_not_the_beginning(self, conn: Connection) -> None:
        first = pause(conn, scope="channel", name="email", actor="ada", until=timedelta(hours=1), reason="a")
        again = pause(conn, scope="channel", name="email", actor="bob")

        assert (again.again, again.pause.by, again.pause.until, again.pause.reason) == (True, "bob", None, None)
        assert again.pause.paused_at == first.pause.paused_at

    def test_one_that_is_over_is_listed_no_more_and_the_next_begins_anew(self, conn: Connection) -> None:
        first = pause(conn, scope="channel", name="email", actor="ada")
        ended = resume(conn, scope="channel", name="email", actor="bob")

        assert ended is not None
        assert (ended.by, ended.paused_at) == ("ada", first.pause.paused_at)
        assert list_pauses(conn) == []
        second = pause(conn, scope="channel", name="email", actor="ada")
        assert not second.again
        assert second.pause.paused_at > first.pause.paused_at

    def test_what_is_not_paused_cannot_be_resumed_and_nothing_is_written_down(self, conn: Connection) -> None:
        assert resume(conn, scope="channel", name="email", actor="bob") is None
        assert list_audit(conn) == []

    def test_what_is_rolled_back_was_not_paused(self, conn: Connection) -> None:
        pause(conn, scope="channel", name="email", actor="ada")
        conn.rollback()

        assert (list_pauses(conn), list_audit(conn)) == ([], [])

    @pytest.mark.parametrize(
        ("wrong", "field"),
        [
            ({"scope": "topic"}, "scope"),
            ({"name": "E-mail"}, "name"),
            ({"scope": "provider", "name": ""}, "name"),
            ({"scope": "provider", "name": "s\x1b[31mes"}, "name"),
            ({"reason": "x" * 1_001}, "reason"),
            ({"until": timedelta(seconds=-1)}, "until"),
            ({"until": datetime(2020, 1, 1, tzinfo=UTC)}, "until"),
            ({"until": datetime(2099, 1, 1)}, "until"),  # noqa: DTZ001 - that is what is wrong with it
        ],
    )
    def test_what_makes_no_sense_is_refused_and_named(self, conn: Connection, wrong: Any, field: str) -> None:
        with pytest.raises(InvalidPause) as refused:
            pause(conn, **{"scope": "channel", "name": "email", "actor": "ada"} | wrong)

        assert refused.value.field == field
        assert list_audit(conn) == []

    def test_outside_of_a_transaction_nothing_is_paused(self, database_url: str) -> None:
        with psycopg.connect(database_url, autocommit=True) as conn, pytest.raises(NotInTransaction):
            pause(conn, scope="channel", name="email", actor="ada")

    @pytest.mark.parametrize(
        ("text", "target"),
        [
            ("email", ("channel", "email")),
            ("channel:email", ("channel", "email")),
            ("provider:my.own:thing", ("provider", "my.own:thing")),
        ],
    )
    def test_a_target_is_a_channel_unless_it_says_otherwise(self, text: str, target: tuple[str, str]) -> None:
        assert read_target(text) == target

    @pytest.mark.parametrize("text", ["", "Email", "topic:news", "provider:"])
    def test_what_is_no_target_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidPause):
            read_target(text)


class TestAPausedChannel:
    async def test_it_is_not_claimed_and_goes_on_when_it_is_resumed(self, database_url: str) -> None:
        events: list[Event] = []
        recorder, other = Recorder(), Recorder()
        async with running(database_url, route(recorder, events=events), route(other, channel="sms")):
            pause_now(database_url, reason="a bad template")
            await await_until(lambda: told(events, Paused))
            enqueue(database_url, 5)
            enqueue(database_url, 5, channel="sms", recipient="+4915112345678")
            await await_until(lambda: len(other.sent) == 5)
            assert rows(database_url, UNTOUCHED) == [(5,)]
            resume_now(database_url)
            await await_until(lambda: len(recorder.sent) == 5)
            await await_until(lambda: told(events, Resumed))
        assert rows(database_url, "SELECT DISTINCT claim, attempt, outcome FROM outbox.attempts") == [(1, 1, "sent")]
        (event,) = told(events, Paused)
        assert (event.scope, event.name, event.by, event.reason) == ("channel", "email", "ada@desk", "a bad template")

    async def test_a_worker_that_starts_meanwhile_claims_nothing(self, database_url: str) -> None:
        pause_now(database_url)
        enqueue(database_url, 5)
        events: list[Event] = []
        recorder = Recorder()
        async with running(database_url, route(recorder, events=events), idle_poll=0.01):
            await await_until(lambda: told(events, Paused))
            await asyncio.sleep(0.3)  # thirty polls
            assert rows(database_url, UNTOUCHED) == [(5,)]
            resume_now(database_url)
            await await_until(lambda: len(recorder.sent) == 5)

    async def test_what_is_in_hand_is_finished(self, database_url: str) -> None:
        let_go = asyncio.Event()

        async def behave(_: Notification) -> None:
            await let_go.wait()

        enqueue(database_url, 3)
        events: list[Event] = []
        recorder = Recorder(behave)
        async with running(database_url, route(recorder, events=events)):
            await await_until(lambda: len(recorder.keys) == 3)
            pause_now(database_url)
            await await_until(lambda: told(events, Paused))
            let_go.set()
            await await_until(lambda: states(database_url) == {"sent": 3})

    async def test_it_ends_by_itself_when_its_time_has_come(self, database_url: str) -> None:
        pause_now(database_url, until=timedelta(seconds=0.7))
        enqueue(database_url, 1)
        events: list[Event] = []
        recorder = Recorder()
        async with running(database_url, route(recorder, events=events)):
            await await_until(lambda: recorder.sent)
            await await_until(lambda: told(events, Resumed))
        late = "SELECT finished_at >= until FROM outbox.attempts, outbox.pauses"
        assert rows(database_url, late) == [(True,)]

    async def test_who_hears_no_notification_learns_of_it_within_about_a_second(self, cloned_url: str) -> None:
        rows(cloned_url, "ALTER TABLE outbox.pauses DISABLE TRIGGER pauses_tell")
        events: list[Event] = []
        async with running(cloned_url, route(Recorder(), events=events)):
            pause_now(cloned_url)
            began = time.monotonic()
            await await_until(lambda: told(events, Paused))
            assert time.monotonic() - began < 3, "a second, on a machine that has time"

    async def test_by_plain_sql_it_is_paused_at_once_and_the_login_did_it(self, database_url: str) -> None:
        events: list[Event] = []
        async with running(database_url, route(Recorder(), events=events)):
            rows(database_url, "INSERT INTO outbox.pauses (scope, name) VALUES ('channel', 'email')")
            (event,) = await await_until(lambda: told(events, Paused))
        with psycopg.connect(database_url) as conn:
            assert event.by == conn.info.user

    async def test_a_drain_gives_up_on_it_and_says_so(self, database_url: str) -> None:
        pause_now(database_url)
        enqueue(database_url, 5)
        assert await drain(database_url, route(Recorder())) == 1
        assert rows(database_url, UNTOUCHED) == [(5,)]

    async def test_who_may_not_look_works_on_and_says_so(self, cloned_url: str) -> None:
        rows(cloned_url, "ALTER TABLE outbox.pauses RENAME TO elsewhere")
        enqueue(cloned_url, 2)
        events: list[Event] = []
        recorder = Recorder()
        async with running(cloned_url, route(recorder, events=events)):
            await await_until(lambda: len(recorder.sent) == 2)
        assert "pauses" in [event.chore for event in told(events, ChoreFailed)]

    async def test_it_stays_so_while_nobody_can_read_what_is_paused(self, cloned_url: str) -> None:
        pause_now(cloned_url)
        enqueue(cloned_url, 2)
        events: list[Event] = []
        recorder = Recorder()
        async with running(cloned_url, route(recorder, events=events)):
            await await_until(lambda: told(events, Paused))
            unreadable = "ALTER TABLE outbox.pauses DROP CONSTRAINT pauses_until_is_a_moment"
            rows(cloned_url, unreadable)
            rows(cloned_url, "INSERT INTO outbox.pauses (scope, name, until) VALUES ('channel', 'sms', 'infinity')")
            await await_until(lambda: told(events, ChoreFailed))
            assert recorder.sent == []
            rows(cloned_url, "DELETE FROM outbox.pauses WHERE name = 'sms'")
            resume_now(cloned_url)
            await await_until(lambda: len(recorder.sent) == 2)

    async def test_a_look_that_fails_moves_no_time_in_which_it_stood_still(self) -> None:
        over = Pause("channel", "email", SINCE, SINCE, "ada", None, since=30.0, left=-10.0)
        events: list[Event] = []
        to = route(Recorder(), events=events)
        looking = Pausing(Answers([over], psycopg.OperationalError("gone")), [to], events.append)  # type: ignore[arg-type]
        looks = asyncio.create_task(looking.run())
        await await_until(lambda: to.stood_still)
        known = to.stood_still
        looking.hint()
        await await_until(lambda: told(events, ChoreFailed))
        looks.cancel()
        assert to.stood_still is known
        assert not looking.gates["email"].is_shut

    @pytest.mark.parametrize("until", ["infinity", "10000-01-01"])
    def test_a_pause_without_end_is_one_without_an_until(self, conn: Connection, until: str) -> None:
        with pytest.raises(psycopg.errors.CheckViolation, match="pauses_until_is_a_moment"):
            conn.execute("INSERT INTO outbox.pauses (scope, name, until) VALUES ('channel', 'sms', %s)", [until])

    async def test_workers_say_what_can_be_paused(self, database_url: str) -> None:
        async with running(database_url, route(Recorder(), Recorder())):
            with psycopg.connect(database_url) as conn:
                conn.autocommit = True
                known = await await_until(lambda: (found := known_targets(conn))["channel"] and found)
        assert known == {"channel": ["email"], "provider": ["recorder0", "recorder1"]}


class TestAPausedProvider:
    async def test_the_next_in_order_is_asked(self, database_url: str) -> None:
        pause_now(database_url, "provider", "recorder0")
        enqueue(database_url, 5)
        first, second = Recorder(), Recorder()
        async with running(database_url, route(first, second)):
            await await_until(lambda: len(second.sent) == 5)
            resume_now(database_url, "provider", "recorder0")
            await await_until(lambda: enqueue(database_url) and first.sent)
        assert set(rows(database_url, "SELECT attempt, outcome FROM outbox.attempts")) == {(1, "sent")}

    async def test_where_there_is_no_other_nothing_is_claimed_and_nothing_spins(self, database_url: str) -> None:
        pause_now(database_url, "provider", "recorder0")
        enqueue(database_url, 5)
        events: list[Event] = []
        recorder = Recorder()
        async with running(database_url, route(recorder, events=events), idle_poll=0.01):
            await await_until(lambda: told(events, Paused))
            await asyncio.sleep(0.3)  # thirty polls
            assert rows(database_url, UNTOUCHED) == [(5,)]
            resume_now(database_url, "provider", "recorder0")
            await await_until(lambda: len(recorder.sent) == 5)

    async def test_a_pause_in_the_midst_of_hundreds_uses_no_attempt_and_repeats_few_claims(
        self, database_url: str
    ) -> None:
        async def behave(_: Notification) -> None:
            await asyncio.sleep(0.002)

        enqueue(database_url, 400)
        events: list[Event] = []
        recorder = Recorder(behave)
        async with running(database_url, route(recorder, events=events), concurrency=5):
            for _ in range(3):
                sent = len(recorder.sent)
                await await_until(partial(beyond, recorder, sent + 20))
                pause_now(database_url, "provider", "recorder0")
                await await_until(lambda: told(events, Paused))
                resume_now(database_url, "provider", "recorder0")
                await await_until(lambda: told(events, Resumed))
                events.clear()
            await await_until(lambda: rows(database_url, UNTOUCHED) == [(0,)], timeout=30)
        attempts = rows(database_url, "SELECT outcome, max(attempt), count(*) FROM outbox.attempts GROUP BY 1")
        put_off = {outcome: (used, count) for outcome, used, count in attempts if outcome != "sent"}
        assert put_off.keys() <= {"deferred"}
        assert all(used == 0 and count <= 3 * 2 * 5 for used, count in put_off.values()), put_off

    async def test_what_only_it_may_have_accepted_waits_for_it(self) -> None:
        first, second = Recorder(), Recorder()
        first.key_lifetime = 3_600.0
        to = route(first, second)
        to.holds.pause({"recorder0"})
        outcome = await attempt(to, claimed(claim=2, attempt=1, in_doubt="recorder0"))
        assert isinstance(outcome, Deferred)
        assert outcome.failure is not None
        assert (outcome.failure.error_class, outcome.failure.detail) == ("paused", "held: recorder0 is paused")
        assert outcome.delay is not None
        assert outcome.delay > 60
        assert (first.keys, second.keys) == ([], [])

    async def test_of_two_the_one_that_is_down_is_probed_and_the_paused_one_is_not(self) -> None:
        first, second = Recorder(), Recorder()
        to = route(first, second)
        to.holds.pause({"recorder0"})
        assert to.holds.failed("recorder1", "m", errors.Misconfigured("535 bad password")) is not None
        outcome = await attempt(to)
        assert isinstance(outcome, Deferred)
        assert outcome.failure is not None
        assert outcome.failure.error_class == "misconfigured"
        assert 0 < to.holds.closed_for() <= 30


class TestTimePaused:
    """The time in which nothing could be sent makes nothing too old."""

    async def test_it_does_not_count_against_max_age(self) -> None:
        down = Recorder()
        down.failing = errors.Throttled("busy", code="429")
        to = route(down, max_age=60.0)
        one = claimed(age=600.0)
        assert isinstance(await attempt(to, one), Dead)
        now = time.monotonic()
        to = route(down, max_age=60.0)
        to.stood_still = ((now - 580.0, now - 300.0), (now - 290.0, now))
        assert isinstance(await attempt(to, one), Deferred)
        assert isinstance(await attempt(to, claimed(age=900.0)), Dead), "it was 330 s old without that"

    async def test_a_worker_knows_the_last_pause_of_before_it_started(self, database_url: str) -> None:
        rows(
            database_url,
            "INSERT INTO outbox.pauses (scope, name, paused_at, until) "
            "VALUES ('channel', 'email', now() - interval '4 days', now() - interval '1 minute')",
        )
        await self._throttled_and_due_four_days_ago(database_url)
        assert rows(database_url, "SELECT outcome FROM outbox.attempts") == [("deferred",)]

    async def test_a_short_pause_after_a_long_one_makes_nothing_of_the_long_one_count(self, database_url: str) -> None:
        rows(
            database_url,
            "INSERT INTO outbox.pauses (scope, name, paused_at, until) "
            "VALUES ('channel', 'email', now() - interval '4 days', now() - interval '1 minute')",
        )
        pause_now(database_url, until=timedelta(seconds=0.2))
        await self._throttled_and_due_four_days_ago(database_url)
        assert rows(database_url, "SELECT outcome FROM outbox.attempts") == [("deferred",)]

    async def _throttled_and_due_four_days_ago(self, database_url: str) -> None:
        (identity,) = enqueue(database_url)
        rows(database_url, "ALTER TABLE outbox.notifications DISABLE TRIGGER USER")
        rows(database_url, "UPDATE outbox.notifications SET run_at = now() - interval '4 days' WHERE id = %s", identity)
        rows(database_url, "ALTER TABLE outbox.notifications ENABLE TRIGGER USER")
        busy = Recorder()
        busy.failing = errors.Throttled("busy", code="429")
        async with running(database_url, route(busy)):
            await await_until(lambda: rows(database_url, "SELECT 1 FROM outbox.attempts"))
