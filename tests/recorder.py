"""A provider that only remembers, and a worker that drains with it: what would have been delivered."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from outbox.config import ChannelConfig, WorkerConfig
from outbox.messages import Notification, Receipt
from outbox.route import Route
from outbox.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from outbox.config import TopicConfig
    from outbox.durations import Rate
    from outbox.events import Event


class Recorder:
    """Remembers what it was given; `behave` may be slow, or raise."""

    key_lifetime = 0.0
    failing: Exception | None = None

    def __init__(self, behave: Callable[[Notification], Awaitable[None]] | None = None) -> None:
        self.sent: list[Notification] = []
        self.keys: list[str] = []
        self._behave = behave

    async def send(self, message: Notification, key: str) -> Receipt:
        self.keys.append(key)
        if self.failing is not None:
            raise self.failing
        if self._behave is not None:
            await self._behave(message)
        self.sent.append(message)
        return Receipt(f"recorded {len(self.sent)}")

    async def aclose(self) -> None:
        """Nothing to close."""


def route(
    *providers: Recorder,
    channel: str = "email",
    events: list[Event] | None = None,
    rates: Mapping[str, Rate] | None = None,
    transactional: tuple[str, ...] = (),
    topics: Mapping[str, TopicConfig] | None = None,
    **policy: Any,
) -> Route:
    """A route to recorders, which are given the notification itself as the message."""
    names = tuple(f"recorder{number}" for number in range(len(providers)))
    return Route(
        channel=channel,
        policy=ChannelConfig(providers=names, **policy),
        compose=lambda notification: notification,
        providers=dict(zip(names, providers, strict=True)),
        rates=rates or {},
        transactional=transactional,
        topics=topics or {},
        listener=events.append if events is not None else lambda _: None,
    )


def worker(
    url: str,
    *routes: Route,
    drain: bool = False,
    topics: Mapping[str, TopicConfig] | None = None,
    escalations: Mapping[str, Sequence[str]] | None = None,
    **settings: Any,
) -> Worker:
    """A worker of these routes."""
    listener = routes[0].listener
    return Worker(
        url=url,
        routes=routes,
        settings=WorkerConfig(**settings),
        listener=listener,
        drain=drain,
        topics=topics,
        escalations=escalations,
    )


async def drain(url: str, *routes: Route, **settings: Any) -> int:
    """Run a worker until nothing is due."""
    stop: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    return await worker(url, *routes, drain=True, **settings).run(stop)


async def delivered(url: str, channel: str = "email") -> list[Notification]:
    """Drain one channel, and return what was sent."""
    recorder = Recorder()
    assert await drain(url, route(recorder, channel=channel)) == 0
    return recorder.sent
