"""`outbox worker`: one worker process, or a supervisor of several, or one of those."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from outbox import logs
from outbox.errors import ConfigError, OutboxError
from outbox.handlers.serve import with_handlers
from outbox.terminal.log import log_as
from outbox.terminal.ports import open_for_supervisor, open_for_worker
from outbox.terminal.priorities import levels
from outbox.terminal.setup import configuration
from outbox.worker import process
from outbox.worker.tether import Tether

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from outbox.config import Config, SentryConfig
    from outbox.events import Event, Listener

_OVER_THE_FILE = ("concurrency", "processes", "grace", "metrics_port", "metrics_host", "health_port", "health_host")


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
        is_member, attached = number is not None, given["attached"]
        counts, vitals = open_for_worker(config, given["channel"], is_member=is_member, attached=attached)
        listener = _each(counts, reports, logs.Log(most=config.log.lines_per_second))
        tether = None if number is None else Tether()
        return process.run(
            config, given["channel"], listener, levels=wanted, drain=given["drain"], tether=tether, vitals=vitals
        )


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
        ports = open_for_supervisor(config)
        listener = _each(*ports.listeners, reports, logs.log)
        return process.supervise(config.worker, listener, drain=drain, attach=ports.attach, pulse=ports.pulse)


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


def _each(*listeners: Listener | None) -> Listener:
    """Return what tells each of them."""
    them = [listener for listener in listeners if listener is not None]
    if len(them) == 1:
        return them[0]

    def tell(event: Event) -> None:
        for listener in them:
            listener(event)

    return tell
