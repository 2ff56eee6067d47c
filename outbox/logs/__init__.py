"""logs: every line of the log, from the engine's events: which notification, what, why; never a message, nor whom.

A `Log` is a listener for a `Worker`. It writes to the logger `outbox` of the standard library, so an application that
has its logging configured needs nothing else; `configure` is for processes of our own. Each record has the `event`.
"""

from __future__ import annotations

import logging
from logging import DEBUG
from typing import TYPE_CHECKING

from outbox.events import (
    Attempted,
    CodeUnknown,
    CopiesRefused,
    FailedOver,
    ProviderFailed,
    WorkerStarted,
    WorkerStopped,
)
from outbox.logs.flood import Flood, NotLogged
from outbox.logs.levels import level_of
from outbox.logs.lines import JsonLines, configure
from outbox.logs.sentences import sentence
from outbox.template_events import ComposeFailed

if TYPE_CHECKING:
    from outbox.events import Event

__all__ = ["JsonLines", "Log", "configure", "log", "logger"]

logger = logging.getLogger("outbox")
_OF_ONE = (Attempted, FailedOver, CopiesRefused, ComposeFailed, ProviderFailed, CodeUnknown)


class Log:
    """Writes each event of one worker, whose number is in each of its records once it has one.

    Of single notifications it tells `most` times a second, unless everything is logged, at the level of DEBUG; 0 is no
    limit.
    """

    def __init__(self, *, most: int = 0) -> None:
        self._worker: int | None = None
        self._flood = Flood(most)

    def __call__(self, event: Event) -> None:
        """Write one event, if somebody wants to read of such."""
        if isinstance(event, _OF_ONE):
            if logger.isEnabledFor(level_of(event)) and (
                logger.isEnabledFor(DEBUG) or self._flood.lets_by(_kind(event))
            ):
                log(event, self._worker)
            return
        if isinstance(event, WorkerStarted):
            self._worker = event.worker
        if (more := self._flood.sum_up(at_once=isinstance(event, WorkerStopped))) is not None:
            log(more, self._worker)
        log(event, self._worker)


def _kind(event: Event) -> str:
    return event.outcome.name if isinstance(event, Attempted) else type(event).__name__


def log(event: Event | NotLogged, worker: int | None = None) -> None:
    """Write one event to the logger `outbox`, as one of `worker`."""
    level = level_of(event)
    if not logger.isEnabledFor(level):
        return
    # What the logger's own methods do besides is to look for the line of code that called them, which is this one.
    record = logger.makeRecord(logger.name, level, __file__, 0, sentence(event), (), None, "log")
    record.event = event
    record.worker = worker
    logger.handle(record)
