"""What the database will not record, because of the values in it or because of a constraint that somebody has added."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from outbox import events
from outbox.errors import Rejected, Temporary
from outbox.messages import Receipt
from outbox.worker import settler
from tests.hands import enqueue, rows
from tests.recorder import Recorder, drain, route
from tests.test_worker import running, states
from tests.waiting import await_until

if TYPE_CHECKING:
    from outbox.events import Event
    from outbox.messages import Notification


def refuse(url: str, condition: str) -> None:
    rows(url, f"ALTER TABLE outbox.attempts ADD CONSTRAINT strict CHECK ({condition})")


def refusals(seen: list[Event]) -> list[str]:
    return [event.problem for event in seen if isinstance(event, events.ChoreFailed)]


async def test_an_id_that_is_refused_is_left_out_and_keeps_no_other_from_being_recorded(cloned_url: str) -> None:
    class Odd(Recorder):
        async def send(self, message: Notification, key: str) -> Receipt:
            await super().send(message, key)
            return Receipt("odd" if len(self.sent) == 3 else "even")

    refuse(cloned_url, "provider_message_id <> 'odd'")
    enqueue(cloned_url, 5)
    recorder, seen = Odd(), list[events.Event]()
    assert await drain(cloned_url, route(recorder, events=seen)) == 0
    assert len(recorder.keys) == 5
    assert states(cloned_url) == {"sent": 5}
    named = rows(cloned_url, "SELECT notification_id::text FROM outbox.attempts WHERE provider_message_id IS NULL")
    assert named == [(recorder.keys[2],)]
    assert ["CheckViolation" in problem for problem in refusals(seen)] == [True]


async def test_words_that_are_refused_are_left_out(cloned_url: str) -> None:
    async def behave(_: Notification) -> None:
        raise Temporary("cursed", code="451 4.3.0")

    refuse(cloned_url, "error <> 'cursed'")
    enqueue(cloned_url)
    assert await drain(cloned_url, route(Recorder(behave), max_attempts=1)) == 0
    assert rows(cloned_url, "SELECT reason, error_class, error_code, error FROM outbox.dead_letters") == [
        ("exhausted", "temporary", None, "what was said could not be recorded")
    ]


async def test_what_is_refused_without_words_too_is_not_sent_again_and_recorded_as_soon_as_it_can_be(
    cloned_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settler, "_REFUSED_PAUSE", 0.1)
    refuse(cloned_url, "outcome <> 'sent'")
    enqueue(cloned_url)
    recorder, seen = Recorder(), list[events.Event]()
    async with running(cloned_url, route(recorder, events=seen), lease=1.0):
        await await_until(lambda: len(refusals(seen)) > 20)
        rows(cloned_url, "ALTER TABLE outbox.attempts DROP CONSTRAINT strict")
        await await_until(lambda: states(cloned_url) == {"sent": 1})
    assert len(recorder.keys) == 1


_RAISES = """
CREATE FUNCTION public.guard() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN RAISE EXCEPTION USING MESSAGE = 'not today', ERRCODE = '%s'; END $$;
CREATE TRIGGER guard BEFORE INSERT ON outbox.dead_letters FOR EACH ROW EXECUTE FUNCTION public.guard();
"""


@pytest.mark.parametrize("code", ["P0001", "42501", "55000", "38000"], ids=lambda code: f"SQLSTATE {code}")
async def test_what_a_trigger_of_the_applications_refuses_stops_no_worker_and_no_other_settlement(
    cloned_url: str, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    async def behave(notification: Notification) -> None:
        if notification.recipient == "user2@example.org":
            raise Rejected("no such order")

    monkeypatch.setattr(settler, "_REFUSED_PAUSE", 0.1)
    rows(cloned_url, _RAISES % code)
    enqueue(cloned_url, 5)
    recorder, seen = Recorder(behave), list[events.Event]()
    async with running(cloned_url, route(recorder, events=seen), lease=1.0):
        await await_until(lambda: len(refusals(seen)) > 20)
        assert states(cloned_url) == {"sent": 4, "leased": 1}
        rows(cloned_url, "DROP TRIGGER guard ON outbox.dead_letters")
        await await_until(lambda: states(cloned_url) == {"sent": 4, "dead": 1})
    assert len(recorder.keys) == 5, "nothing was sent a second time"
