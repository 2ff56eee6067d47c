"""`outbox worker`: one worker process, or a supervisor of several, or one of those."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from outbox import logs
from outbox.errors import ConfigError, OutboxError
from outbox.events import MetricsServed
from outbox.handlers.serve import with_handlers
from outbox.terminal.log import log_as
from outbox.terminal.priorities import levels
from outbox.terminal.setup import configuration
from outbox.worker import process
from outbox.worker.tether import Tether

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from outbox.config import Config, SentryConfig
    from outbox.events import Event, Listener

_OVER_THE_FILE = ("concurrency", "processes", "grace", "metrics_port", "metrics_host")


def run(given: Mapping[str, Any]) -> int:
    """Work, or have others work, as the command's arguments say, until there is a reason to stop; return the exit code.

    Raises:
        OutboxError: the arguments, the configuration or the database will not do.
    """
    overrides = {f"worker__{key}": given[key] for key in _OVER_THE_FILE} | {"log__format": given["log_format"]}
    config = configuration(given["config"], given["database_url"], **overrides)
    config = with_handlers(config, [*config.worker.handlers, *(given["handlers"] or ())])
    number = _number(given["member"])
    wanted = levels(given["priority"])
    log_as(config.log, process=number, verbose=given["verbose"])
    if number is None and config.worker.processes > 1:
        return _supervise(config, drain=given["drain"])
    with _reporting(config.sentry) as reports:
        counts = _counts(config, given["channel"], is_member=number is not None, attached=given["attached"])
        listener = _each(counts, reports, logs.Log(most=config.log.lines_per_second))
        tether = None if number is None else Tether()
        return process.run(config, given["channel"], listener, levels=wanted, drain=given["drain"], tether=tether)


def _number(member: str | None) -> int | None:
    """Return the 2 of `2/4`, what a supervisor calls one of its processes; None for one that has no supervisor."""
    if member is None:
        return None
    number, _, count = member.partition("/")
    if not (number.isdecimal() and count.isdecimal()):
        raise ConfigError(["--member is not for people: --processes starts worker processes"])
    return int(number)


def _supervise(config: Config, *, drain: bool) -> int:
    with _reporting(config.sentry) as reports:
        if config.worker.metrics_port is None:
            return process.supervise(config.worker, _each(reports, logs.log), drain=drain)
        from outbox import metrics  # noqa: PLC0415 - who has no use for it does not load it

        counts = metrics.Counts({})
        members = metrics.Members(counts.registry)
        _serve(members, config)
        listener = _each(counts, reports, logs.log)
        return process.supervise(config.worker, listener, drain=drain, attach=members.attach)


@contextmanager
def _reporting(settings: SentryConfig) -> Iterator[Listener | None]:
    """Have somebody who reports defects to Sentry, this process's crash among them, if that is asked for."""
    if settings.dsn is None:
        yield None
        return
    from outbox.sentry import Reports  # noqa: PLC0415 - an extra

    reports = Reports(settings)
    try:
        yield reports
    except (OutboxError, psycopg.Error):
        raise
    except Exception as error:
        reports.crashed(error)
        raise
    finally:
        reports.close()


def _counts(config: Config, names: Sequence[str], *, is_member: bool, attached: int | None) -> Listener | None:
    """Return who counts what a worker process does, if metrics are asked for, and serves them."""
    if config.worker.metrics_port is None or (is_member and attached is None):
        return None
    from outbox import metrics  # noqa: PLC0415 - as above

    counts = metrics.Counts({name: config.channels[name].providers for name in names if name in config.channels})
    if attached is not None:
        metrics.answer(counts.registry, attached)
    else:
        _serve(counts.registry, config)
    return counts


def _serve(collector: Any, config: Config) -> None:
    from outbox import metrics  # noqa: PLC0415 - as above

    host = config.worker.metrics_host
    known = metrics.Known(config.database_url)
    port = metrics.serve(collector, known, host=host, port=config.worker.metrics_port or 0)
    logs.log(MetricsServed(host, port))


def _each(*listeners: Listener | None) -> Listener:
    """Return what tells each of them."""
    them = [listener for listener in listeners if listener is not None]
    if len(them) == 1:
        return them[0]

    def tell(event: Event) -> None:
        for listener in them:
            listener(event)

    return tell
