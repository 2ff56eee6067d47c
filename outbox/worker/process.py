"""process: one worker process, from its configuration to its exit code."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

from outbox import channels
from outbox.config.problems import nearest
from outbox.deliver import Route
from outbox.errors import ConfigError
from outbox.render import Templates
from outbox.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from outbox.config import Config
    from outbox.events import Listener
    from outbox.messages import Notification


def routes(config: Config, names: Sequence[str], listener: Listener) -> list[Route]:
    """Return how each of the channels delivers, with its providers made.

    Raises:
        ConfigError: with every mistake in the channels and the settings of their providers.
    """
    problems = [
        f"no [channels.{name}] in {config.source or 'the configuration (there is no outbox.toml here)'}: "
        f"{nearest(name, list(config.channels)) if config.channels else 'write it, with providers = […]'}"
        for name in names
        if name not in config.channels
    ]
    templates = Templates(config.templates.path)
    made: list[Route] = []
    for name in (name for name in names if name in config.channels):
        policy = config.channels[name]
        try:
            compose = _bound(channels.compose_for(name), templates)
            providers = {
                provider: channels.load_provider(name, provider, config.providers[provider])
                for provider in policy.providers
            }
        except ConfigError as error:
            problems += error.problems
        else:
            made.append(Route(channel=name, policy=policy, compose=compose, providers=providers, listener=listener))
    if problems:
        raise ConfigError(problems)
    return made


def _bound(compose: Callable[[Notification, Templates], Any], templates: Templates) -> Callable[[Notification], Any]:
    return lambda notification: compose(notification, templates)


def run(config: Config, names: Sequence[str], listener: Listener, *, levels: Sequence[int], drain: bool) -> int:
    """Work until SIGTERM, SIGINT or, with `drain`, until nothing is due; return the exit code.

    The first signal stops in order, within the grace; a second one at once. 0 is a clean stop; 1 one after which some
    outcomes could not be written (the database was away), or a drain that its providers refused; 128 + signal a stop at
    once.
    """
    return asyncio.run(_run(config, names, listener, levels, drain=drain))


async def _run(config: Config, names: Sequence[str], listener: Listener, levels: Sequence[int], *, drain: bool) -> int:
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[str] = loop.create_future()

    def on_signal(number: signal.Signals) -> None:
        if stop.done():
            os._exit(128 + number)
        stop.set_result(number.name)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    worker = Worker(
        url=config.database_url,
        routes=routes(config, names, listener),
        settings=config.worker,
        listener=listener,
        levels=levels,
        drain=drain,
    )
    return 1 if await worker.run(stop) else 0
