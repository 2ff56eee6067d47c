"""Channels and providers: how much waits, how fast it goes, what is held, and what is paused."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from outbox.messages import PRIORITIES
from outbox.outcomes import Ambiguous, Dead, Retry
from outbox.queue.fleet import Fleet
from outbox.queue.paused import list_pauses
from outbox.web import standing
from outbox.web.services import services

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from outbox.config import Config
    from outbox.queue.depths import Depth
    from outbox.queue.fleet import Held, Traffic
    from outbox.queue.inspect import Channel
    from outbox.queue.paused import Pause

_FAILED = frozenset({Retry.name, Dead.name, Ambiguous.name})
LEVELS = {level: name for name, level in PRIORITIES.items()}
"""The names of priorities by their numbers."""


@dataclass(frozen=True, slots=True)
class Line:
    """A channel, or a provider of some channels, with what workers say of it."""

    scope: str
    name: str
    state: str
    pause: Pause | None
    traffic: Traffic | None
    failed: float | None
    """Which share of what was tried in the last seconds failed; None where nothing was."""
    workers: int
    held: Sequence[Held] = ()
    channels: Sequence[str] = ()
    waiting: Channel | None = None
    levels: Sequence[Depth] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """All channels and providers; `measured` is how old the numbers of what waits are, None where they were counted."""

    channels: Sequence[Line]
    providers: Sequence[Line]
    measured: float | None


@dataclass(frozen=True, slots=True)
class _Rates:
    """What was tried in the last seconds, and what of it failed, by channel or by provider."""

    every: Mapping[Any, Traffic]
    failed: Mapping[Any, Traffic]

    def share(self, name: str) -> float | None:
        """Return which share failed, of what a provider was asked for."""
        every = self.every.get(name)
        if every is None or not every.per_second:
            return None
        return self.failed[name].per_second / every.per_second if name in self.failed else 0.0


def look(conn: Any, config: Config) -> Seen:
    """Return how all channels and providers stand."""
    seen, pauses = standing.look(conn), {(each.scope, each.name): each for each in list_pauses(conn)}
    alive = Fleet(tuple(seen.workers))
    channels = _channels(seen, alive, pauses, config)
    return Seen(channels, _providers(seen, alive, pauses, config), seen.measured)


def _channels(
    seen: standing.Standing, alive: Fleet, pauses: Mapping[tuple[str, str], Pause], config: Config
) -> list[Line]:
    waiting = {channel.channel: channel for channel in seen.channels}
    rates = _Rates(
        alive.traffic(lambda it: it.channel, lambda it: it.provider is not None),
        alive.traffic(lambda it: it.channel, lambda it: it.provider is not None and it.outcome in _FAILED),
    )
    lines = []
    for name in sorted({*waiting, *config.channels, *(name for scope, name in pauses if scope == "channel")}):
        pause, serving = pauses.get(("channel", name)), sum(name in worker.channels for worker in alive.workers)
        traffic, share = rates.every.get(name), rates.share(name)
        told: dict[str, Any] = {"waiting": waiting.get(name), "levels": seen.levels.get(name, ())}
        lines.append(Line("channel", name, _state(pause, serving, ()), pause, traffic, share, serving, **told))
    return lines


def _providers(
    seen: standing.Standing, alive: Fleet, pauses: Mapping[tuple[str, str], Pause], config: Config
) -> list[Line]:
    channels = _delivers(alive, config)
    held: dict[str, list[Held]] = defaultdict(list)
    for each in seen.held:
        held[each.provider].append(each)
        channels[each.provider].add(each.channel)
    rates = _Rates(
        alive.traffic(lambda it: it.provider), alive.traffic(lambda it: it.provider, lambda it: it.outcome in _FAILED)
    )
    lines = []
    for name in sorted({*channels, *(name for scope, name in pauses if scope == "provider")}):
        pause, at = pauses.get(("provider", name)), sorted(channels[name])
        serving = sum(not set(at).isdisjoint(worker.channels) for worker in alive.workers)
        state = _state(pause, serving, held[name])
        told: dict[str, Any] = {"held": held[name], "channels": at}
        lines.append(Line("provider", name, state, pause, rates.every.get(name), rates.share(name), serving, **told))
    return lines


def _delivers(alive: Fleet, config: Config) -> dict[str, set[str]]:
    """Return for which channels a provider delivers, as the configuration and the workers have it."""
    channels: dict[str, set[str]] = defaultdict(set)
    for channel, policy in config.channels.items():
        for provider in policy.providers:
            channels[provider].add(channel)
    for worker in alive.workers:
        for tally in worker.report.tallies if worker.report else ():
            if tally.provider:
                channels[tally.provider].add(tally.channel)
    return channels


def _state(pause: Pause | None, workers: int, held: Sequence[Held]) -> str:
    if pause is not None:
        return "paused"
    if held:
        return "held"
    return "serving" if workers else "no worker"


async def show(request: Request) -> Response:
    """Show them."""
    seen = await services(request).database.read(look, services(request).config)
    return services(request).pages.page(request, "channels.html", seen=seen, levels=LEVELS)


ROUTES = [Route("/channels", show, name="channels", methods=["GET"])]
