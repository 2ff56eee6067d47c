"""When a provider is held, because it refuses us or is down, and how it comes back."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from outbox import errors, holds
from outbox.holds import FIRST_PAUSE, HOLD, JITTER, LONG, LONGEST_PAUSE, SEVERAL, Holds

DOWN = errors.Temporary("no connection")
LOST = errors.Ambiguous("no answer")
REFUSED = errors.Misconfigured("535 bad password")


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(holds, "time", clock)
    return clock


@pytest.fixture
def one() -> Holds:
    return Holds(["smtp"])


def fail(one: Holds, clock: Clock, count: int, error: errors.DeliveryError = DOWN, seconds: float = 2 * LONG) -> None:
    """Let so many different messages fail, spread over so many seconds."""
    for number in range(count):
        assert one.may_try("smtp", f"m{number}")
        one.failed("smtp", f"m{number}", error)
        clock.now += seconds / (count - 1)


def probe(one: Holds, clock: Clock, key: str = "probe") -> None:
    """Wait for the end of the hold, and be the first to try."""
    clock.now += one.closed_for() + 0.001
    assert one.may_try("smtp", key)


@pytest.mark.parametrize("error", [DOWN, LOST])
def test_a_provider_is_held_when_several_messages_failed_for_a_while_with_no_success_between(
    one: Holds, clock: Clock, error: errors.DeliveryError
) -> None:
    fail(one, clock, SEVERAL - 1, error)
    assert not one.all_held()
    held = one.failed("smtp", "the last straw", error)
    assert held is not None
    assert FIRST_PAUSE * (1 - JITTER) <= held <= FIRST_PAUSE * (1 + JITTER)
    assert one.closed_for() == pytest.approx(held)
    assert one.why() is error
    assert not one.may_try("smtp", "another")


def test_one_message_that_always_fails_holds_nobody(one: Holds, clock: Clock) -> None:
    for _ in range(100):
        assert one.failed("smtp", "the same", DOWN) is None
        clock.now += 60
    assert one.may_try("smtp", "another")


def test_failures_among_successes_hold_nobody(one: Holds, clock: Clock) -> None:
    for number in range(1_000):
        assert one.failed("smtp", f"greylisted {number}", DOWN) is None
        clock.now += 1
        if number % (SEVERAL - 1) == 0:
            assert not one.accepted("smtp")


def test_a_burst_of_failures_is_chance_until_it_lasts(one: Holds, clock: Clock) -> None:
    fail(one, clock, 50, seconds=0.9 * LONG)
    assert not one.all_held()
    clock.now += 0.2 * LONG
    assert one.failed("smtp", "one more", DOWN) is not None


@pytest.mark.parametrize("told", [None, 3.0, 3_600.0, "nonsense"])
def test_a_provider_that_throttles_is_left_alone_for_a_while_whatever_it_still_accepts(
    one: Holds, clock: Clock, told: Any
) -> None:
    slow = errors.Throttled("too many requests", code="429", retry_after=told)
    pause = {3.0: 3.0, 3_600.0: LONGEST_PAUSE}.get(told, FIRST_PAUSE)
    assert one.may_try("smtp", "in flight")
    assert one.failed("smtp", "m0", slow) == pytest.approx(pause, rel=JITTER)
    assert one.failed("smtp", "m1", slow) is None
    assert not one.accepted("smtp")
    assert not one.may_try("smtp", "another")
    probe(one, clock)
    assert one.accepted("smtp")
    assert one.may_try("smtp", "another")


def test_a_provider_that_goes_on_throttling_is_asked_less_and_less(one: Holds, clock: Clock) -> None:
    slow = errors.Throttled("too many requests", code="429")
    one.failed("smtp", "m0", slow)
    for pause in (2.0, 4.0, 8.0, LONGEST_PAUSE, LONGEST_PAUSE):
        probe(one, clock)
        assert one.failed("smtp", "probe", slow) == pytest.approx(pause, rel=JITTER)


def test_limits_for_each_recipient_pause_nobody_else() -> None:
    paced = Holds(["apns"], never_paused=["apns"])
    assert paced.failed("apns", "m0", errors.Throttled("too many to this device", code="TooManyRequests")) is None
    assert paced.may_try("apns", "another")


@pytest.mark.parametrize(
    "error", [errors.Throttled("our own pool is full"), errors.Rejected("spam"), errors.Unreachable("nobody")]
)
def test_what_is_not_the_providers_failure_does_not_count(
    one: Holds, clock: Clock, error: errors.DeliveryError
) -> None:
    for number in range(50):
        clock.now += 1
        if isinstance(error, errors.Throttled):
            assert one.failed("smtp", f"m{number}", error) is None
        else:
            assert not one.refused("smtp")
    assert not one.all_held()


def test_a_refusal_of_a_message_is_a_sign_of_life(one: Holds, clock: Clock) -> None:
    fail(one, clock, SEVERAL - 1)
    one.refused("smtp")
    assert one.failed("smtp", "the next", DOWN) is None
    fail(one, clock, SEVERAL + 1, seconds=LONG * 1.05)
    assert one.all_held()
    probe(one, clock)
    assert one.refused("smtp")
    assert not one.all_held()


def test_a_refusal_of_a_message_does_not_end_a_hold_for_our_account(one: Holds) -> None:
    assert one.failed("smtp", "m", REFUSED) == HOLD
    assert not one.refused("smtp")
    assert one.all_held()


def test_there_is_one_probe_at_a_time_and_each_that_fails_doubles_the_pause(one: Holds, clock: Clock) -> None:
    fail(one, clock, SEVERAL)
    one.failed("smtp", "the last straw", DOWN)
    pauses = []
    for number in range(8):
        probe(one, clock, f"probe {number}")
        assert not one.may_try("smtp", "another")
        pause = one.failed("smtp", f"probe {number}", DOWN)
        assert pause is not None
        pauses.append(pause)
    wanted = [2, 4, 8, 16, HOLD, HOLD, HOLD, HOLD]
    assert all(abs(pause - want) <= want * JITTER for pause, want in zip(pauses, wanted, strict=True))
    assert len(set(pauses)) == 8, "spread, so that a fleet does not probe in step"


def test_a_probe_that_hangs_is_not_waited_for_for_ever(one: Holds, clock: Clock) -> None:
    fail(one, clock, SEVERAL)
    one.failed("smtp", "the last straw", DOWN)
    probe(one, clock, "hangs")
    assert one.closed_for() == pytest.approx(HOLD)
    clock.now += HOLD + 0.001
    assert one.may_try("smtp", "the next probe")
    assert one.failed("smtp", "hangs", LOST) is None


def test_what_was_under_way_when_it_was_held_neither_prolongs_the_hold_nor_is_told(one: Holds, clock: Clock) -> None:
    fail(one, clock, SEVERAL)
    one.failed("smtp", "the last straw", DOWN)
    before = one.closed_for()
    assert [one.failed("smtp", f"straggler {number}", DOWN) for number in range(20)] == [None] * 20
    assert one.closed_for() == before


def test_any_success_ends_the_hold_and_the_next_begins_with_a_short_one(one: Holds, clock: Clock) -> None:
    for _ in range(2):
        fail(one, clock, SEVERAL)
        one.failed("smtp", "the last straw", DOWN)
        assert one.closed_for() <= FIRST_PAUSE * (1 + JITTER)
        for number in range(4):
            probe(one, clock, f"probe {number}")
            one.failed("smtp", f"probe {number}", DOWN)
        probe(one, clock)
        assert one.accepted("smtp")
        assert one.closed_for() == 0
        assert not one.accepted("smtp"), "it is told once"


def test_each_provider_is_counted_by_itself(clock: Clock) -> None:
    two = Holds(["smtp", "spare"])
    for number, name in zip(range(2 * SEVERAL - 2), itertools.cycle(["smtp", "spare"])):
        assert two.failed(name, f"m{number}", DOWN) is None
        clock.now += 1
    assert two.failed("smtp", "the last straw", DOWN) is not None
    assert not two.all_held()
    assert two.closed_for() == 0
    assert two.may_try("spare", "m")


def test_a_provider_with_a_far_side_for_each_recipient_is_never_down_but_may_be_refused(clock: Clock) -> None:
    one = Holds(["smtp"], never_down=["smtp"])
    fail(one, clock, 3 * SEVERAL)
    fail(one, clock, 3 * SEVERAL, LOST)
    assert not one.all_held()
    assert one.failed("smtp", "m0", REFUSED) == HOLD
    assert one.all_held()
