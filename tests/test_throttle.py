"""At most so many to one recipient about one topic, in any period of a length; the rest by policy, and never silently."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from outbox.config import TopicConfig
from tests.hands import enqueue, rows
from tests.recorder import Recorder, drain, route

if TYPE_CHECKING:
    from outbox.deliver import Route

ADA = "ada@example.org"


def limited(*providers: Recorder, throttle: str = "3/d", policy: str = "drop", **other: Any) -> Route:
    """A route whose topic `news` has a throttle."""
    rule = TopicConfig.model_validate({"throttle": throttle, "throttle_policy": policy} | other.pop("rule", {}))
    return route(*providers, throttles={"news": rule}, **other)


def news(url: str, count: int = 1, **given: Any) -> list[Any]:
    return [enqueue(url, **{"recipient": ADA, "topic": "news"} | given)[0] for _ in range(count)]


def states(url: str) -> dict[str, int]:
    return dict(rows(url, "SELECT state, count(*) FROM outbox.status GROUP BY 1"))


@pytest.mark.parametrize(("policy", "rest"), [("drop", "suppressed"), ("defer", "deferred"), ("digest", "suppressed")])
async def test_three_workers_together_deliver_so_many_and_no_more(database_url: str, policy: str, rest: str) -> None:
    news(database_url, 10)
    enqueue(database_url, 5, topic="news")
    news(database_url, 4, topic="orders")
    recorder = Recorder()
    await asyncio.gather(*(drain(database_url, limited(recorder, policy=policy)) for _ in range(3)))
    assert sum(each.recipient == ADA and each.topic == "news" for each in recorder.sent) == 3
    assert len(recorder.sent) == 3 + 5 + 4
    assert states(database_url) == {"sent": 12, rest: 7}
