"""Nothing is fetched for a message that no provider may be given; and what cannot be fetched is not tried for ever."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from outbox import errors, holds
from outbox.deliver import deliver
from outbox.durations import Rate
from outbox.outcomes import Dead, Deferred, Retry, Sent
from outbox.queue.claim import Claimed
from tests.endings import put
from tests.hands import leased, rows
from tests.providers.server import HttpServer, Reply
from tests.recorder import Recorder, drain, route
from tests.test_email_fetching import linking, store
from tests.waiting import await_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from outbox.channels.email.fetching import Fetching
    from outbox.outcomes import Outcome
    from outbox.route import Route

REFUSES_US = errors.Misconfigured("bad password", code="535")


def fetching_route(server: HttpServer, fetching: Fetching, *providers: Recorder, **given: Any) -> Route:
    to = route(*providers, **given)
    to.compose = lambda _: linking(server.url, "/a")
    to.completion = fetching
    return to


async def attempt(to: Route, **given: Any) -> Outcome:
    one = uuid4()
    claimed = Claimed(one, str(one), **{"age": 1.0, "recipient": "ada@example.org", "payload": "{}", **given})
    return await deliver(leased(claimed), to)


async def test_nothing_is_fetched_while_every_provider_is_held() -> None:
    first, second = Recorder(), Recorder()
    async with store(Reply(500)) as (files, fetching):
        to = fetching_route(files, fetching, first, second)
        for name in to.providers:
            to.holds.failed(name, "another", REFUSES_US)
        outcome = await attempt(to)
    assert (type(outcome), outcome.used, outcome.provider) == (Deferred, False, None)
    assert outcome.failure is not None
    assert outcome.failure.error_class == "misconfigured"
    assert outcome.delay is not None
    assert outcome.delay > holds.HOLD - 1
    assert (files.requests, first.keys, second.keys) == ([], [], [])


async def test_nothing_is_fetched_while_the_rates_of_all_providers_are_used_up() -> None:
    async with store(Reply(500)) as (files, fetching):
        to = fetching_route(files, fetching, Recorder(), rates={"recorder0": Rate(1, 60)})
        outcome = await attempt(to)
    assert (type(outcome), outcome.used, files.requests) == (Deferred, False, [])
    assert outcome.failure is not None
    assert outcome.failure.error_class == "throttled"


async def test_nothing_is_fetched_while_the_one_that_may_have_accepted_it_is_held() -> None:
    first, second = Recorder(), Recorder()
    first.key_lifetime = 60.0
    async with store(Reply(500)) as (files, fetching):
        to = fetching_route(files, fetching, first, second)
        to.holds.failed("recorder0", "another", REFUSES_US)
        outcome = await attempt(to, claim=2, in_doubt="recorder0")
        assert (type(outcome), files.requests) == (Deferred, [])
        assert isinstance(await attempt(to), Retry), "another message may go through the second, so it is fetched for"
    assert (len(files.requests), second.keys) == (1, [])


async def test_where_one_provider_may_be_tried_it_is_fetched_and_sent() -> None:
    held, spent, free = Recorder(), Recorder(), Recorder()
    async with store() as (files, fetching):
        to = fetching_route(files, fetching, held, spent, free, rates={"recorder1": Rate(1, 60)})
        to.holds.failed("recorder0", "another", REFUSES_US)
        assert isinstance(await attempt(to), Sent)
    assert (len(files.requests), held.keys, spent.keys, len(free.keys)) == (1, [], [], 1)


async def test_to_look_spends_no_token_and_a_fetch_that_fails_is_no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holds, "HOLD", 0.1)
    only = Recorder()
    async with store(Reply(500)) as (files, fetching):
        to = fetching_route(files, fetching, only, rates={"recorder0": Rate(1, 60)})
        to.tokens.bounds(["recorder0"])[0].left = 1.0
        to.holds.failed("recorder0", "another", REFUSES_US)
        await await_until(lambda: to.holds.closed_for() == 0.0)
        assert isinstance(await attempt(to), Retry), "the file is not there yet"
        assert isinstance(await attempt(to), Sent), "the probe"
        assert isinstance(await attempt(to), Deferred), "for the token is spent"
    assert (len(files.requests), len(only.keys)) == (2, 1)


async def test_each_failed_fetch_uses_an_attempt_and_waits_longer_until_the_last_is_a_dead_letter() -> None:
    only = Recorder()
    async with store(*[Reply(500)] * 3) as (files, fetching):
        to = fetching_route(files, fetching, only, max_attempts=3, backoff=(1.0, 10.0, 120.0), jitter=0.0)
        found = [await attempt(to, attempt=used, claim=used + 1) for used in range(3)]
    assert [(type(one), one.delay, one.reason, one.used, one.provider) for one in found] == [
        (Retry, 1, None, True, None),
        (Retry, 10, None, True, None),
        (Dead, None, "exhausted", True, None),
    ]
    assert (len(files.requests), only.keys) == (3, [])


class Broken:
    """A completion with a defect."""

    def needed(self, _: object) -> bool:
        return True

    @asynccontextmanager
    async def completed(self, _: object) -> AsyncIterator[object]:
        yield 1 / 0

    async def aclose(self) -> None:
        """Nothing to close."""


async def test_a_defect_in_completing_is_not_tried_for_ever() -> None:
    only = Recorder()
    to = route(only, max_attempts=2, backoff=(1.0, 10.0), jitter=0.0)
    to.completion = Broken()
    found = [await attempt(to, attempt=used) for used in range(2)]
    assert [(type(one), one.used) for one in found] == [(Retry, True), (Dead, True)]
    assert only.keys == []


@pytest.mark.parametrize("error", [errors.Temporary("not rendered yet"), errors.Ambiguous("who knows")])
async def test_what_a_channels_own_compose_puts_off_is_not_tried_for_ever(error: errors.DeliveryError) -> None:
    def compose(_: object) -> object:
        raise error

    to = route(Recorder(), max_attempts=2, backoff=(1.0, 10.0), jitter=0.0)
    to.compose = compose
    again, last = [await attempt(to, attempt=used) for used in range(2)]
    assert (again.used, again.delay, again.reason) == (True, 1, None)
    assert (last.used, last.delay) == (True, None)
    assert last.reason is not None


async def test_a_file_that_is_gone_is_a_dead_letter_at_once_and_uses_no_attempt() -> None:
    async with store(Reply(404)) as (files, fetching):
        found = await attempt(fetching_route(files, fetching, Recorder()))
    assert (type(found), found.reason, found.used) == (Dead, "rejected", False)


async def test_a_file_that_never_comes_ends_in_the_database_as_exhausted(database_url: str) -> None:
    only = Recorder()
    (identity,) = put(database_url)
    async with store(*[Reply(500)] * 5) as (files, fetching):
        to = fetching_route(files, fetching, only, max_attempts=3, backoff=(0.0,))
        assert await drain(database_url, to) == 0
    tries = rows(database_url, "SELECT attempt, outcome, provider FROM outbox.attempts ORDER BY claim")
    assert tries == [(1, "retry", None), (2, "retry", None), (3, "dead", None)]
    letters = rows(database_url, "SELECT notification_id, reason, attempts FROM outbox.dead_letters")
    assert letters == [(identity, "exhausted", 3)]
    assert (len(files.requests), only.keys) == (3, [])
