"""Nothing is fetched for a message that no provider may be given: it waits, as one without attachments does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from outbox import errors, holds
from outbox.deliver import deliver
from outbox.durations import Rate
from outbox.outcomes import Deferred, Retry, Sent
from outbox.queue.claim import Claimed
from tests.providers.server import HttpServer, Reply
from tests.recorder import Recorder, route
from tests.test_email_fetching import linking, store
from tests.waiting import await_until

if TYPE_CHECKING:
    import pytest

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
    return await deliver(claimed, time.monotonic(), to)


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
