from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox import errors
from outbox.config import ChannelConfig
from outbox.holds import LONGEST_TOLD
from outbox.outcomes import Ambiguous, Dead, Deferred, Outcome, Retry, Suppression
from outbox.queue.claim import Claimed
from outbox.retry import backoff, judge

if TYPE_CHECKING:
    from collections.abc import Sequence

POLICY = ChannelConfig(providers=("smtp",), max_attempts=3, backoff=(1, 10, 120), jitter=0)
DAY = 86_400.0


def claimed(
    *, attempt: int = 0, claim: int = 1, age: float = 0.0, unrecognised: Sequence[str] | None = None
) -> Claimed:
    identity = uuid4()
    return Claimed(identity, str(identity), claim=claim, attempt=attempt, age=age, unrecognised=unrecognised)


def judged(error: errors.DeliveryError, policy: ChannelConfig = POLICY, **situation: Any) -> Outcome:
    return judge(error, claimed(**situation), policy, "smtp", Random(1))


def test_a_temporary_error_waits_longer_each_time_and_then_is_exhausted() -> None:
    error = errors.Temporary("later", code="451")
    outcomes = [judged(error, attempt=attempt) for attempt in range(3)]
    assert [(type(outcome), outcome.delay, outcome.reason) for outcome in outcomes] == [
        (Retry, 1, None),
        (Retry, 10, None),
        (Dead, None, "exhausted"),
    ]
    assert all(outcome.used for outcome in outcomes)


def test_the_last_step_of_the_backoff_repeats() -> None:
    assert [backoff(attempt, POLICY, Random(1)) for attempt in (1, 2, 3, 4, 50)] == [1, 10, 120, 120, 120]


def test_a_hint_of_the_provider_makes_a_retry_later_never_earlier() -> None:
    assert judged(errors.Temporary("greylisted", retry_after=300)).delay == 300
    assert judged(errors.Temporary("greylisted", retry_after=0.1)).delay == 1


@pytest.mark.parametrize("error", [errors.Unreachable("no such user"), errors.Rejected("spam")])
def test_a_permanent_error_is_dead_at_once_under_its_own_name(error: errors.DeliveryError) -> None:
    outcome = judged(error)
    assert isinstance(outcome, Dead)
    assert outcome.reason == error.name


@pytest.mark.parametrize("error", [errors.Misconfigured("535 bad password"), errors.Throttled("slow down")])
def test_what_is_not_the_messages_fault_uses_no_attempt_but_not_for_ever(error: errors.DeliveryError) -> None:
    outcome = judged(error, attempt=2, claim=9)
    assert isinstance(outcome, Deferred)
    assert not outcome.used
    assert outcome.delay is not None
    assert outcome.delay > 0
    old = judged(error, attempt=2, claim=9, age=4 * DAY)
    assert (type(old), old.reason) == (Dead, "too_old")


@pytest.mark.parametrize(("told", "waited"), [(60, 60), (1e12, LONGEST_TOLD), (-5, 1)])
def test_a_throttle_is_obeyed_within_reason(told: float, waited: float) -> None:
    assert judged(errors.Throttled("slow down", retry_after=told)).delay == waited


def test_throttles_without_a_hint_back_off_by_the_claims_that_came_to_nothing() -> None:
    delays = [judged(errors.Throttled("slow down"), attempt=1, claim=claim).delay for claim in (2, 3, 4, 9)]
    assert delays == [1, 10, 120, 120]


def test_whom_an_error_is_about_is_suppressed_and_nobody_else() -> None:
    assert judged(errors.Unreachable("no such user")).suppression == Suppression("hard_bounce")
    stop = errors.Unreachable("STOP", sender="+447700900999", because="stop")
    assert judged(stop).suppression == Suppression("stop", "+447700900999")
    assert judged(errors.Rejected("spam")).suppression is None


def test_a_code_that_nobody_knows_is_tried_once_more_and_then_taken_for_a_rejection() -> None:
    error = errors.Unrecognised("what?", code="418 99")
    assert isinstance(judged(error), Retry)
    again = judged(error, attempt=1, unrecognised=["smtp 418 99"])
    assert (type(again), again.reason, again.suppression) == (Dead, "rejected", None)


@pytest.mark.parametrize("before", [None, [], ["smtp 418 98"], ["other 418 99"], ["smtp "]])
def test_what_went_wrong_before_in_another_way_is_no_reason_to_take_a_new_code_for_a_rejection(
    before: list[str] | None,
) -> None:
    error = errors.Unrecognised("what?", code="418 99")
    assert isinstance(judged(error, attempt=1, unrecognised=before), Retry)


def test_an_ambiguous_error_is_retried_or_stopped_by_policy() -> None:
    error = errors.Ambiguous("lost after the dot")
    assert judged(error) == Ambiguous(provider="smtp", failure=judged(error).failure, delay=1)
    last = judged(error, attempt=2)
    assert (type(last), last.delay, last.reason) == (Ambiguous, None, "in_doubt")
    stopped = judged(error, POLICY.model_copy(update={"on_ambiguous": "stop"}))
    assert (type(stopped), stopped.delay, stopped.reason) == (Ambiguous, None, "in_doubt")


@pytest.mark.parametrize(("age", "delay"), [(0, 1), (DAY - 2, 1), (DAY - 1, None)])
def test_what_is_stopped_in_doubt_is_retried_while_the_provider_knows_it_by_its_key(
    age: float, delay: float | None
) -> None:
    policy = POLICY.model_copy(update={"on_ambiguous": "stop"})
    outcome = judge(errors.Ambiguous("lost"), claimed(age=age), policy, "resend", Random(1), remembered=DAY)
    assert (outcome.delay, outcome.reason) == (delay, None if delay else "in_doubt")


@given(
    error=st.sampled_from(
        [
            errors.Unreachable("x"),
            errors.Rejected("x"),
            errors.Misconfigured("x"),
            errors.Throttled("x"),
            errors.Temporary("x"),
            errors.Ambiguous("x"),
        ]
    ),
    attempt=st.integers(0, 200),
    deferrals=st.integers(0, 1_000),
    age=st.floats(0, 1e8),
    jitter=st.floats(0, 1),
    told=st.none() | st.floats(allow_nan=False),
    seed=st.integers(),
)
def test_every_judgement_ends_the_notification_or_gives_it_a_time(  # noqa: PLR0917 - hypothesis passes by name
    error: errors.DeliveryError, attempt: int, deferrals: int, age: float, jitter: float, told: float | None, seed: int
) -> None:
    if isinstance(error, (errors.Throttled, errors.Temporary)):
        error = type(error)("x", retry_after=told)
    policy = POLICY.model_copy(update={"jitter": jitter})
    outcome = judge(
        error, claimed(attempt=attempt, claim=attempt + deferrals + 1, age=age), policy, "smtp", Random(seed)
    )
    assert (outcome.delay is None) == (outcome.reason is not None)
    assert outcome.delay is None or 0 <= outcome.delay <= LONGEST_TOLD
    assert outcome.failure is not None
    assert outcome.failure.error_class == error.name


@pytest.mark.parametrize(("told", "waited"), [("300", 300), ("soon", 1), (object(), 1), (10**400, 1)])
def test_a_hint_may_be_a_header_s_text_or_nonsense(told: Any, waited: float) -> None:
    assert judged(errors.Temporary("greylisted", retry_after=told)).delay == waited
