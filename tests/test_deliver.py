from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from outbox import errors, events
from outbox.deliver import deliver
from outbox.messages import Receipt
from outbox.outcomes import Ambiguous, Dead, Deferred, Expired, Outcome, Retry, Sent, Suppressed
from outbox.queue.bulk import ids
from outbox.queue.claim import Claimed
from tests.command_line import run
from tests.endings import put
from tests.hands import leased, rows
from tests.recorder import Recorder, drain, route

if TYPE_CHECKING:
    from outbox.events import Event
    from outbox.messages import Notification
    from outbox.route import Route

SECRET = "your code is 123456"


def claimed(**given: Any) -> Claimed:
    (identity,) = ids(1, time.time_ns() // 1_000)
    known = {"age": 1.0, "recipient": "ada@example.org", "payload": json.dumps({"text": SECRET})}
    return Claimed(identity, str(identity), **{**known, **given})


def failing(*raised: BaseException) -> Recorder:
    """A provider that fails with each of these in turn, and then accepts."""
    left = list(raised)

    async def behave(_: Notification) -> None:
        if left:
            raise left.pop(0)

    return Recorder(behave)


async def attempt(to: Route, given: Claimed | None = None) -> Outcome:
    return await deliver(leased(given or claimed()), to)


async def test_an_accepted_message_is_sent_with_its_receipt_and_the_id_as_key() -> None:
    recorder = Recorder()
    one = claimed()
    assert await attempt(route(recorder), one) == Sent(provider="recorder0", provider_message_id="recorded 1")
    assert recorder.keys == [str(one.id)]


@pytest.mark.parametrize(
    ("situation", "kind"),
    [
        ({"suppression": "unsubscribed, since 2026-01-01"}, Suppressed),
        ({"expires_in": -0.1}, Expired),
        ({"lost": 5}, Dead),
        ({"attempt": 5}, Dead),
        ({"claim": 3, "sent_by": 1}, Suppressed),
    ],
)
async def test_what_must_not_be_sent_reaches_no_provider(situation: dict[str, object], kind: type[Outcome]) -> None:
    recorder = Recorder()
    outcome = await attempt(route(recorder), claimed(**situation))
    assert isinstance(outcome, kind)
    assert not outcome.used
    assert recorder.keys == []


async def test_what_was_lost_to_another_worker_since_its_turn_came_reaches_no_provider() -> None:
    recorder = Recorder()
    lease = leased(claimed())
    lease.deadline = time.monotonic()
    outcome = await deliver(lease, route(recorder))
    assert isinstance(outcome, Deferred)
    assert (outcome.used, outcome.delay) == (False, 0.0)
    assert recorder.keys == []


async def test_the_next_provider_is_not_asked_when_the_lease_ran_out_while_the_first_was() -> None:
    lease = leased(claimed())

    async def behave(_: Notification) -> None:
        lease.deadline = time.monotonic()  # it was frozen meanwhile, and its connection is gone when it wakes
        raise errors.Temporary("the connection is gone")

    second = Recorder()
    outcome = await deliver(lease, route(Recorder(behave), second))
    assert isinstance(outcome, Retry)
    assert second.keys == []


async def test_the_time_in_hand_counts_against_the_expiry() -> None:
    recorder = Recorder()
    outcome = await deliver(leased(claimed(expires_in=5.0), ago=6.0), route(recorder))
    assert isinstance(outcome, Expired)
    assert recorder.keys == []


def slow(notification: Notification) -> Notification:
    """Compose a message in more time than it has."""
    time.sleep(0.03)
    return notification


async def test_what_expires_while_it_is_rendered_reaches_no_provider() -> None:
    recorder = Recorder()
    to = route(recorder)
    to.compose = slow
    outcome = await attempt(to, claimed(expires_in=0.02))
    assert isinstance(outcome, Expired)
    assert outcome.failure is not None
    assert outcome.failure.detail == "0.0 s past its expires_at before any provider was asked"
    assert recorder.keys == []


@pytest.mark.parametrize("error", [errors.Temporary("busy", code="451"), errors.Throttled("slow", code="451")])
async def test_what_expires_with_a_slow_provider_never_reaches_the_next(error: errors.DeliveryError) -> None:
    async def take_long(_: Notification) -> None:
        await asyncio.sleep(0.06)
        raise error

    seen: list[Event] = []
    first, second = Recorder(take_long), Recorder()
    outcome = await attempt(route(first, second, events=seen), claimed(expires_in=0.05))
    assert isinstance(outcome, Expired)
    assert not outcome.used
    assert outcome.failure is not None
    assert outcome.failure.detail == f"0.0 s past its expires_at after recorder0 said {error}"
    assert (len(first.keys), second.keys) == (1, [])
    assert not any(isinstance(event, events.FailedOver) for event in seen)
    alone = await attempt(route(Recorder(take_long)), claimed(expires_in=0.05))
    assert isinstance(alone, Expired), "it would come back for nothing"


async def test_a_send_that_has_begun_is_not_cut_off_when_it_expires() -> None:
    async def take_long(_: Notification) -> None:
        await asyncio.sleep(0.06)

    assert isinstance(await attempt(route(Recorder(take_long)), claimed(expires_in=0.05)), Sent)

    async def die(_: Notification) -> None:
        await asyncio.sleep(0.06)
        raise errors.Ambiguous("lost")

    assert isinstance(await attempt(route(Recorder(die)), claimed(expires_in=0.05)), Ambiguous)


async def test_each_provider_is_told_how_much_time_there_is_left_when_it_is_asked() -> None:
    async def take_long(_: Notification) -> None:
        await asyncio.sleep(0.05)
        raise errors.Temporary("busy")

    given: list[float | None] = []

    async def note(message: Notification) -> None:
        given.append(message.expires_in)

    one = leased(claimed(expires_in=5.0), ago=2.0)
    assert isinstance(await deliver(one, route(Recorder(take_long), Recorder(note))), Sent)
    (left,) = given
    assert left is not None
    assert 2.0 < left <= 2.95


async def test_what_expires_before_it_is_the_probe_leaves_the_probe_to_another() -> None:
    recorder = Recorder()
    to = route(recorder)
    to.holds.failed("recorder0", "another", errors.Misconfigured("535"))
    to.holds._held["recorder0"].until = time.monotonic()  # noqa: SLF001 - the hold is over
    to.compose = slow
    assert isinstance(await attempt(to, claimed(expires_in=0.02)), Expired)
    assert to.holds.may_try("recorder0", "the next")
    assert recorder.keys == []


@pytest.mark.parametrize("error", [errors.Temporary("busy"), errors.Throttled("slow"), errors.Misconfigured("535")])
async def test_the_next_provider_is_tried_when_the_first_proved_that_it_did_not_accept(
    error: errors.DeliveryError,
) -> None:
    seen: list[Event] = []
    first, second = failing(error), Recorder()
    outcome = await attempt(route(first, second, events=seen))
    before = f"after recorder0 said {error}"
    assert outcome == Sent(provider="recorder1", provider_message_id="recorded 1", before=before)
    assert any(isinstance(event, events.FailedOver) and event.provider == "recorder0" for event in seen)


@pytest.mark.parametrize("error", [errors.Ambiguous("lost"), errors.Rejected("spam"), errors.Unreachable("nobody")])
async def test_no_other_provider_is_tried_when_it_may_have_been_accepted_or_never_will(
    error: errors.DeliveryError,
) -> None:
    seen: list[Event] = []
    second = Recorder()
    outcome = await attempt(route(failing(error), second, events=seen))
    assert isinstance(outcome, (Ambiguous, Dead))
    assert second.keys == []
    assert not any(isinstance(event, events.FailedOver) for event in seen)


async def test_a_code_that_nobody_knows_is_told_of_and_the_next_provider_tried() -> None:
    seen: list[Event] = []
    first, second = failing(errors.Unrecognised("what?", code="400 29999")), Recorder()
    assert isinstance(await attempt(route(first, second, events=seen)), Sent)
    (told,) = [event for event in seen if isinstance(event, events.CodeUnknown)]
    assert (told.provider, told.error.code) == ("recorder0", "400 29999")


async def test_who_was_tried_before_in_the_same_attempt_is_on_record_whatever_came_of_it(database_url: str) -> None:
    busy, down = errors.Temporary("try later", code="451 4.3.0"), errors.Misconfigured("no such key", code="401")
    ids = put(database_url, 3)
    await drain(database_url, route(failing(busy), failing(down), Recorder()))
    told = dict(rows(database_url, "SELECT notification_id, error FROM outbox.attempts WHERE outcome = 'sent'"))
    words = "after recorder0 said 451 4.3.0: try later; then recorder1 said 401: no such key"
    assert list(told.values()).count(words) == 1
    (one,) = [identity for identity in ids if told[identity] == words]
    explained = " ".join(run(database_url, "explain", one).stdout.split())
    assert "recorder2" in explained
    assert "after recorder0 said 451" in explained
    assert SECRET not in str(told)

    (failed,) = put(database_url)
    last = failing(errors.Rejected("no", code="550"))
    await drain(database_url, route(failing(busy), last))
    kept = rows(database_url, "SELECT error_code, error FROM outbox.dead_letters WHERE notification_id = %s", failed)
    assert kept == [("550", "no (after recorder0 said 451 4.3.0: try later)")]


async def test_an_unknown_code_after_another_trouble_is_tried_once_more_and_the_same_again_is_a_rejection(
    database_url: str,
) -> None:
    what = errors.Unrecognised("what?", code="418 99")
    (identity,) = put(database_url)
    to = route(failing(errors.Temporary("busy", code="451"), what, what), backoff=(0.0,))
    await drain(database_url, to)
    outcomes = rows(database_url, "SELECT outcome FROM outbox.attempts ORDER BY claim")
    assert outcomes == [("retry",), ("retry",), ("dead",)]
    assert rows(database_url, "SELECT notification_id, reason FROM outbox.dead_letters") == [(identity, "rejected")]


async def test_what_another_may_have_accepted_goes_to_nobody_else_where_a_copy_is_worse_than_none() -> None:
    first, second = Recorder(), Recorder()
    to = route(first, second, on_ambiguous="stop")
    stays = await attempt(to, claimed(claim=2, in_doubt="recorder0"))
    assert (type(stays), stays.reason, stays.used) == (Ambiguous, "in_doubt", False)
    assert first.keys == second.keys == []

    first.key_lifetime = 60.0
    assert isinstance(await attempt(to, claimed(claim=2, in_doubt="recorder0")), Sent)
    assert isinstance(await attempt(to, claimed(claim=2, in_doubt="recorder0", age=61)), Ambiguous)
    assert (len(first.keys), second.keys) == (1, [])

    first.failing = errors.Temporary("busy")
    assert isinstance(await attempt(to, claimed(claim=2, in_doubt="recorder0")), Retry)
    assert second.keys == []


async def test_a_provider_that_never_answers_is_ambiguous_after_the_timeout() -> None:
    async def hang(_: Notification) -> None:
        await asyncio.Event().wait()

    outcome = await attempt(route(Recorder(hang), timeout=0.05))
    assert isinstance(outcome, Ambiguous)
    assert outcome.failure is not None
    assert outcome.failure.detail == "no answer within 0.05 s"


async def test_what_was_not_sent_when_the_timeout_came_is_known_not_to_be() -> None:
    async def wait_in_line(_: Notification) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise errors.NotSent from None

    outcome = await attempt(route(Recorder(wait_in_line), timeout=0.05))
    assert isinstance(outcome, Retry)
    assert outcome.failure is not None
    assert outcome.failure.detail == "no answer within 0.05 s"


async def test_a_defect_in_a_provider_is_ambiguous_and_never_quotes_the_message() -> None:
    seen: list[Event] = []
    outcome = await attempt(route(failing(KeyError(SECRET)), events=seen))
    assert isinstance(outcome, Ambiguous)
    assert "KeyError at test_deliver.py:" in str(outcome)
    assert "123456" not in str(outcome) + str(seen)


@pytest.mark.parametrize("answer", [None, "accepted", 7])
async def test_what_is_no_receipt_is_a_defect_and_no_end_of_the_worker(answer: Any) -> None:
    class Careless(Recorder):
        async def send(self, message: Notification, key: str) -> Receipt:
            await super().send(message, key)
            return answer  # type: ignore[no-any-return]

    seen: list[Event] = []
    outcome = await attempt(route(Careless(), events=seen))
    assert isinstance(outcome, Ambiguous), "it may well have been accepted"
    assert [event.kind for event in seen if isinstance(event, events.ProviderFailed)] == ["AttributeError"]


async def test_an_id_that_is_a_number_is_kept_as_its_text() -> None:
    class Numbering(Recorder):
        async def send(self, message: Notification, key: str) -> Receipt:
            await super().send(message, key)
            return Receipt(12_345)  # type: ignore[arg-type]

    assert await attempt(route(Numbering())) == Sent(provider="recorder0", provider_message_id="12345")


async def test_a_cancellation_that_nobody_asked_for_is_the_provider_s_defect() -> None:
    """As where the sends of a provider wait for one refresh of its token, and the first to give up cancels it."""
    refresh: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def behave(_: Notification) -> None:
        await refresh

    seen: list[Event] = []
    both = [asyncio.create_task(attempt(route(Recorder(behave), events=seen))) for _ in range(2)]
    await asyncio.sleep(0)
    refresh.cancel()
    assert [type(outcome) for outcome in await asyncio.gather(*both)] == [Ambiguous, Ambiguous]
    assert [event.kind for event in seen if isinstance(event, events.ProviderFailed)] == ["CancelledError"] * 2


async def test_a_moment_without_memory_costs_no_message_its_delivery() -> None:
    def compose(_: Notification) -> object:
        raise MemoryError

    to = route(Recorder())
    to.compose = compose
    assert isinstance(await attempt(to), Deferred)


async def test_a_defect_in_composing_is_a_dead_letter_and_never_quotes_the_message() -> None:
    def compose(_: Notification) -> object:
        raise ZeroDivisionError(SECRET)

    to = route(Recorder())
    to.compose = compose
    outcome = await attempt(to)
    assert isinstance(outcome, Dead)
    assert outcome.reason == "rejected"
    assert not outcome.used
    assert "ZeroDivisionError at test_deliver.py:" in str(outcome)
    assert "123456" not in str(outcome)


async def test_the_last_error_of_several_providers_is_the_one_that_is_judged() -> None:
    outcome = await attempt(route(failing(errors.Throttled("slow")), failing(errors.Temporary("busy"))))
    assert isinstance(outcome, Retry)
    assert (outcome.provider, outcome.failure and outcome.failure.detail) == ("recorder1", "busy")
