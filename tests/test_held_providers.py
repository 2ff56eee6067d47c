"""What one provider's refusals and failures mean for the messages after them, and for those that probe it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from outbox import errors, holds
from outbox.outcomes import Ambiguous, Dead, Deferred, Retry, Sent
from tests.recorder import Recorder, route
from tests.test_deliver import attempt, claimed, failing

if TYPE_CHECKING:
    from outbox.events import Event


async def test_a_provider_that_refuses_us_is_held_and_probed_and_resumes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holds, "HOLD", 0.2)
    seen: list[Event] = []
    provider = failing(errors.Misconfigured("535 5.7.8 bad password"), errors.Misconfigured("535 5.7.8 bad password"))
    to = route(provider, events=seen)
    assert isinstance(await attempt(to), Deferred)
    assert to.holds.closed_for() > 0
    held = await attempt(to)
    assert isinstance(held, Deferred)
    assert not held.used
    assert len(provider.keys) == 1
    await asyncio.sleep(to.holds.closed_for())
    results = await asyncio.gather(*(attempt(to) for _ in range(20)))
    assert len(provider.keys) == 2, "one probe, not twenty"
    assert all(isinstance(result, Deferred) for result in results)
    await asyncio.sleep(to.holds.closed_for())
    assert isinstance(await attempt(to), Sent)
    assert to.holds.closed_for() == 0
    assert [type(event).__name__ for event in seen] == ["ProviderHeld", "ProviderHeld", "ProviderResumed"]


@pytest.fixture
def _quick_to_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holds, "SEVERAL", 2)
    monkeypatch.setattr(holds, "LONG", 0.0)
    monkeypatch.setattr(holds, "FIRST_PAUSE", 0.1)


@pytest.mark.usefixtures("_quick_to_judge")
async def test_a_provider_that_is_down_is_held_and_probed_and_uses_up_nobodys_attempts() -> None:
    seen: list[Event] = []
    provider = failing(*[errors.Temporary("no connection")] * 3)
    to = route(provider, events=seen)
    assert isinstance(await attempt(to), Retry)
    last_straw, held = await attempt(to), await attempt(to)
    assert len(provider.keys) == 2
    await asyncio.sleep(to.holds.closed_for())
    probe = await attempt(to)
    assert len(provider.keys) == 3
    for outcome in (last_straw, held, probe):
        assert isinstance(outcome, Deferred)
        assert not outcome.used
        assert outcome.failure is not None
        assert outcome.failure.error_class == "temporary"
    assert (last_straw.provider, held.provider, probe.provider) == ("recorder0", None, "recorder0")
    await asyncio.sleep(to.holds.closed_for())
    assert isinstance(await attempt(to), Sent)
    assert [type(event).__name__ for event in seen] == ["ProviderHeld", "ProviderHeld", "ProviderResumed"]


@pytest.mark.usefixtures("_quick_to_judge")
async def test_what_may_have_been_accepted_uses_an_attempt_though_the_provider_is_held() -> None:
    to = route(failing(*[errors.Ambiguous("no answer")] * 2))
    for _ in range(2):
        outcome = await attempt(to)
        assert isinstance(outcome, Ambiguous)
        assert outcome.used
    assert to.holds.all_held()


@pytest.mark.usefixtures("_quick_to_judge")
async def test_a_provider_that_is_down_is_passed_over_for_the_next() -> None:
    first, second = failing(*[errors.Temporary("no connection")] * 2), Recorder()
    to = route(first, second)
    assert [type(await attempt(to)) for _ in range(5)] == [Sent] * 5
    assert len(first.keys) == 2
    await asyncio.sleep(0.15)
    assert await attempt(to) == Sent(provider="recorder0", provider_message_id="recorded 1")


@pytest.mark.usefixtures("_quick_to_judge")
async def test_a_probe_that_is_refused_for_its_content_resumes_the_provider() -> None:
    seen: list[Event] = []
    to = route(failing(*[errors.Temporary("no connection")] * 2, errors.Rejected("spam", code="554")), events=seen)
    for _ in range(2):
        await attempt(to)
    await asyncio.sleep(to.holds.closed_for())
    assert isinstance(await attempt(to), Dead)
    assert isinstance(await attempt(to), Sent)
    assert [type(event).__name__ for event in seen] == ["ProviderHeld", "ProviderResumed"]


@pytest.mark.usefixtures("_quick_to_judge")
async def test_messages_that_are_refused_with_a_code_that_nobody_knows_hold_up_nobody() -> None:
    seen: list[Event] = []
    to = route(failing(*[errors.Unrecognised("what?", code="418")] * 7), events=seen)
    assert [type(await attempt(to)) for _ in range(4)] == [Retry] * 4
    assert [type(await attempt(to, claimed(attempt=1, unrecognised=["recorder0 418"]))) for _ in range(3)] == [Dead] * 3
    assert isinstance(await attempt(to), Sent)
    assert {type(event).__name__ for event in seen} == {"CodeUnknown"}


@pytest.mark.usefixtures("_quick_to_judge")
async def test_a_probe_that_is_refused_with_a_code_that_nobody_knows_resumes_the_provider() -> None:
    down, unknown = errors.Temporary("no connection"), errors.Unrecognised("what?", code="418")
    to = route(failing(down, down, unknown))
    for _ in range(2):
        await attempt(to)
    await asyncio.sleep(to.holds.closed_for())
    assert isinstance(await attempt(to), Retry)
    assert isinstance(await attempt(to), Sent)


@pytest.mark.usefixtures("_quick_to_judge")
async def test_a_probe_that_never_reached_the_provider_leaves_its_turn_to_the_next() -> None:
    down, too_large = errors.Temporary("no connection"), errors.Rejected("it has 5,000 bytes")
    to = route(failing(down, down, too_large))
    for _ in range(2):
        await attempt(to)
    await asyncio.sleep(to.holds.closed_for())
    assert isinstance(await attempt(to), Dead)
    assert to.holds.all_held(), "nothing is known of the provider"
    assert isinstance(await attempt(to), Sent)
