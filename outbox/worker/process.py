"""process: one worker process, from its configuration to its exit code."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

from outbox import channels
from outbox.config.problems import nearest
from outbox.errors import ConfigError
from outbox.events import WorkerStarted
from outbox.render import Templates
from outbox.route import Route
from outbox.templates.configured import source
from outbox.worker.reloading import load_templates, reload_templates
from outbox.worker.slots import CUT_OFF
from outbox.worker.supervisor import Supervisor, again
from outbox.worker.tether import DONE, SERVING
from outbox.worker.worker import Worker

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias

    from outbox.config import Config, WorkerConfig
    from outbox.events import Event, Listener
    from outbox.messages import Notification
    from outbox.worker.tether import Tether
    from outbox.worker.vitals import Pulse, Vitals

    Load: TypeAlias = Callable[[str, str, Mapping[str, Any]], channels.Provider]


def routes(
    config: Config,
    names: Sequence[str],
    listener: Listener,
    templates: Templates | None = None,
    load: Load | None = None,
) -> list[Route]:
    """Return how each of the channels delivers, with its providers made. Templates are those of the configuration.

    `load` makes providers, instead of `channels.load_provider`.

    Raises:
        ConfigError: with every mistake in the channels and the settings of their providers.
    """
    problems = [_unserved(name, config) for name in names if name not in config.channels]
    templates = templates or Templates(source(config))
    made: list[Route] = []
    for name in (name for name in names if name in config.channels):
        policy = config.channels[name]
        try:
            compose = _bound(channels.compose_for(name, config), templates)
            completion = channels.completion_for(name, config)
            providers = {
                provider: (load or channels.load_provider)(name, provider, config.providers[provider])
                for provider in policy.providers
            }
        except ConfigError as error:
            problems += error.problems
        else:
            rates = {each: rate for each in providers if (rate := config.providers[each].rate) is not None}
            made.append(
                Route(
                    channel=name,
                    policy=policy,
                    compose=compose,
                    completion=completion,
                    providers=providers,
                    listener=listener,
                    rates=rates,
                    transactional=config.transactional,
                    topics=config.topics,
                    tells_recipients=config.log.recipients == "masked",
                )
            )
    if problems:
        raise ConfigError(problems)
    return made


def _unserved(name: str, config: Config) -> str:
    where = config.source or "the configuration (there is no outbox.toml here)"
    begin = "write it, with providers = […]" if config.source else "`outbox init` makes one"
    hint = nearest(name, list(config.channels)) if config.channels else begin
    return f"no [channels.{name}] in {where}: {hint}"


def _bound(compose: Callable[[Notification, Templates], Any], templates: Templates) -> Callable[[Notification], Any]:
    return lambda notification: compose(notification, templates)


def run(
    config: Config,
    names: Sequence[str],
    listener: Listener,
    *,
    levels: Sequence[int],
    drain: bool,
    tether: Tether | None = None,
    vitals: Vitals | None = None,
) -> int:
    """Work until SIGTERM, SIGINT or, with `drain`, until nothing is due; return the exit code.

    The first signal stops in order, within the grace; a second one at once. So does the first word of the supervisor,
    at the other end of the tether. 0 is a clean stop; 1 one after which some outcomes could not be written (the
    database was away), or a drain that its providers refused; 128 + signal a stop at once.
    """
    # What is loaded by now stays. At full speed, looking for garbage as often as by default took a sixth of the time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        code = runner.run(_run(config, names, listener, levels, tether=tether, vitals=vitals, drain=drain))
        # A provider that refuses to be cancelled, or waits in a thread, would be waited for without end.
        end = threading.Timer(CUT_OFF, os._exit, [code])
        end.daemon = True
        end.start()
    end.cancel()
    return code


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's where it is installed (`outbox[uvloop]`): a tenth to a fifth less work for each notification."""
    try:
        import uvloop  # noqa: PLC0415 - an extra
    except ImportError:
        return None
    new_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return new_loop


async def _run(
    config: Config,
    names: Sequence[str],
    listener: Listener,
    levels: Sequence[int],
    *,
    tether: Tether | None,
    vitals: Vitals | None,
    drain: bool,
) -> int:
    stop: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    _heed(stop, tether, config.worker.grace)
    if vitals is not None:
        vitals.pulse.begin(asyncio.get_running_loop())
    templates = Templates(source(config))
    worker = Worker(
        url=config.database_url,
        routes=routes(config, names, listener, templates),
        settings=config.worker,
        listener=_telling(listener, tether, vitals),
        levels=levels,
        drain=drain,
        retention=config.retention,
        topics=config.topics,
        escalations={name: topic.escalation for name, topic in config.topics.items()},
    )
    await load_templates(templates, stop, listener)
    reloading = asyncio.create_task(reload_templates(templates, config.templates.reload, listener))
    try:
        code = 1 if await worker.run(stop) else 0
    finally:
        reloading.cancel()
    if tether is not None:
        tether.say(DONE)
    return code


def _heed(stop: asyncio.Future[str], tether: Tether | None, grace: float) -> None:
    """Have signals, and the supervisor, set `stop`. Its word is no second signal after one that came to all of us."""
    loop = asyncio.get_running_loop()
    signalled = False

    def ask(reason: str) -> None:
        if not stop.done():
            stop.set_result(reason)

    def on_signal(number: signal.Signals) -> None:
        nonlocal signalled
        if signalled:
            os._exit(128 + number)
        signalled = True
        ask(number.name)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    if tether is not None:
        tether.watch(loop, ask, grace=grace)


def _telling(listener: Listener, tether: Tether | None, vitals: Vitals | None) -> Listener:
    """Return what tells them all of what the worker does; not of each delivery, which the routes' listener is told."""

    def tell(event: Event) -> None:
        if vitals is not None:
            vitals(event)
        if tether is not None and isinstance(event, WorkerStarted):
            tether.say(SERVING)
        listener(event)

    return tell


def supervise(
    settings: WorkerConfig,
    listener: Listener,
    *,
    drain: bool,
    attach: Callable[[int], socket.socket] | None = None,
    pulse: Pulse | None = None,
) -> int:
    """Start worker processes with the command that started this one, and stay until they have ended.

    Each of them inherits what `attach` makes for it, and `pulse` beats while the supervisor is awake. Returns the worst
    of their exit codes.
    """

    async def run() -> int:
        if pulse is not None:
            pulse.begin(asyncio.get_running_loop())
        supervisor = Supervisor(
            again(),
            count=settings.processes,
            grace=settings.grace,
            drain=drain,
            listener=listener,
            attach=attach,
        )
        return await supervisor.run()

    return asyncio.run(run())
