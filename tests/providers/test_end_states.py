"""A worker with each provider against its counterpart: where a notification ends, whatever the provider answers."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from outbox import errors
from outbox.config import ChannelConfig
from outbox.route import Route
from tests.hands import rows
from tests.providers.counterpart import KEY
from tests.providers.server import Act, Reply, Silence
from tests.providers.test_contract import NAMES, Case
from tests.recorder import drain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class End(NamedTuple):
    """What is on record after one attempt."""

    state: str
    attempts: int
    error_class: str | None
    dead_because: str | None
    suppressed: bool


ENDS = {
    errors.Unreachable: End("dead", 1, "unreachable", "unreachable", suppressed=True),
    errors.Rejected: End("dead", 1, "rejected", "rejected", suppressed=False),
    errors.Misconfigured: End("deferred", 0, "misconfigured", None, suppressed=False),
    errors.Throttled: End("deferred", 0, "throttled", None, suppressed=False),
    errors.Temporary: End("retrying", 1, "temporary", None, suppressed=False),
    errors.Unrecognised: End("retrying", 1, "unrecognised", None, suppressed=False),
}
AMBIGUOUS = {
    "retry": End("retrying", 1, "ambiguous", None, suppressed=False),
    "stop": End("dead", 1, "ambiguous", "in_doubt", suppressed=False),
}
_LATER = (60.0,)  # what is tried again is not due before it is looked at
_END = """
SELECT s.state, s.attempts, s.last_error_class, d.reason,
       EXISTS (SELECT FROM outbox.suppressions p WHERE p.recipient = lower(s.recipient) OR p.recipient = s.recipient)
FROM outbox.status s LEFT JOIN outbox.dead_letters d ON d.notification_id = s.id
"""


@asynccontextmanager
async def served(case: Case, *acts: Act, patience: float = 30, **policy: Any) -> AsyncIterator[Route]:
    """Yield a route to the provider, whose far side does so first, and then what it should."""
    async with case.server() as server, case.at(server.url, timeout=patience) as provider:
        server.script.extend(acts)
        yield Route(
            channel=case.channel,
            policy=ChannelConfig(providers=(case.provider,), backoff=_LATER, **policy),
            compose=lambda _: case.message(server.url),
            providers={case.provider: provider},
            listener=lambda _: None,
        )


async def end(url: str, case: Case, *acts: Act, patience: float = 30, **policy: Any) -> End:
    """Deliver one notification, and return where it is after that."""
    for table in ("queue", "attempts", "dead_letters", "suppressions", "notifications"):
        rows(url, f"DELETE FROM outbox.{table}")
    enqueued = "INSERT INTO outbox.notifications (id, channel, recipient) VALUES (%s, %s, %s)"
    rows(url, enqueued, KEY, case.channel, case.message("https://127.0.0.1").recipient)
    async with served(case, *acts, patience=patience, **policy) as route:
        await drain(url, route)
    return End(*rows(url, _END)[0])


@pytest.fixture(params=NAMES)
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Case:
    monkeypatch.chdir(tmp_path)
    return Case(request.param)


async def test_what_it_accepts_is_sent(case: Case, database_url: str) -> None:
    assert await end(database_url, case) == End("sent", 1, None, None, suppressed=False)
    sent = "SELECT provider, provider_message_id FROM outbox.attempts WHERE outcome = 'sent'"
    assert rows(database_url, sent)[-1] == (case.provider, case.far.receipt)


async def test_what_it_refuses_ends_as_the_class_of_the_refusal_says(case: Case, database_url: str) -> None:
    for refusal in {refusal.means: refusal for refusal in case.far.refusals}.values():
        if refusal.means is not errors.Ambiguous:
            assert await end(database_url, case, refusal.reply) == ENDS[refusal.means], refusal.row


async def test_what_is_held_or_throttled_is_delivered_by_and_by(case: Case, database_url: str) -> None:
    await end(database_url, case, case.far.refused)
    rows(database_url, "UPDATE outbox.queue SET run_at = now()")
    async with served(case) as route:
        await drain(database_url, route)
    assert rows(database_url, "SELECT count(*) FROM outbox.queue") == [(0,)]


@pytest.mark.parametrize("on_ambiguous", ["retry", "stop"])
async def test_what_has_no_answer_is_in_doubt(case: Case, database_url: str, on_ambiguous: str) -> None:
    found = await end(database_url, case, Silence(), patience=0.5, on_ambiguous=on_ambiguous)
    known_again = getattr(case.module.Provider, "key_lifetime", 0.0) > 0
    assert found == AMBIGUOUS["retry" if known_again else on_ambiguous]
    if found.dead_because is None:
        rows(database_url, "UPDATE outbox.queue SET run_at = now()")
        async with served(case, on_ambiguous=on_ambiguous) as route:
            await drain(database_url, route)
        assert rows(database_url, "SELECT count(*) FROM outbox.queue") == [(0,)]


async def test_a_restart_on_the_far_side_costs_an_attempt_and_nothing_else(case: Case, database_url: str) -> None:
    assert (await end(database_url, case, Reply(503, b"restarting"))).state == "retrying"
    rows(database_url, "UPDATE outbox.queue SET run_at = now()")
    async with served(case) as route:
        await drain(database_url, route)
    assert End(*rows(database_url, _END)[0]) == End("sent", 2, None, None, suppressed=False)
