"""Every log line of the product is made here, from the engine's events: who, what, why; never a message."""

from __future__ import annotations

import json
import logging
import sys
import time
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from outbox import events, pause_events, schedule_events
from outbox.errors import DeliveryError
from outbox.outcomes import Ambiguous, Cancelled, Dead, Deferred, Expired, Retry, Suppressed

if TYPE_CHECKING:
    from datetime import datetime

    from outbox.events import Event
    from outbox.outcomes import Outcome

logger = logging.getLogger("outbox")

_LEVELS: dict[type[Any], int] = {
    events.Claimed: logging.DEBUG,
    events.Settled: logging.DEBUG,
    events.ProviderHeld: logging.ERROR,
    events.ProviderFailed: logging.ERROR,
    events.ProcessDied: logging.ERROR,
    events.ProcessUnable: logging.ERROR,
    events.ChoreFailed: logging.WARNING,
    schedule_events.ScheduleFailed: logging.ERROR,
    schedule_events.ScheduleSkipped: logging.WARNING,
    pause_events.Paused: logging.WARNING,
    pause_events.Resumed: logging.WARNING,
    events.CodeUnknown: logging.WARNING,
    events.CopiesRefused: logging.WARNING,
    events.DatabaseLost: logging.WARNING,
    events.TopicsChanged: logging.WARNING,
    events.LeaseLost: logging.WARNING,
    events.LoopBlocked: logging.WARNING,
    events.LoopStuck: logging.ERROR,
    events.HorizonHeld: logging.WARNING,
    events.ListenUnheard: logging.WARNING,
    events.FailedOver: logging.WARNING,
    events.TemplatesRefused: logging.ERROR,
}


def log(event: Event) -> None:
    """Write one event to the logger `outbox`; a listener for `Worker`."""
    level = _level(event)
    if logger.isEnabledFor(level):
        logger.log(level, "%s", _sentence(event), extra={"event": event})


def configure(*, verbose: bool = False, as_json: bool = False, process: int | None = None) -> None:
    """Send the log to standard error: as sentences, or as one JSON object a line.

    `process` is the number that a worker process has under its supervisor; each of its lines carries it.
    """
    handler = logging.StreamHandler(sys.stderr)
    which = "" if process is None else f"[{process}] "
    words = logging.Formatter(f"%(asctime)s %(levelname)-7s {which}%(message)s", "%H:%M:%S")
    handler.setFormatter(_JsonLines(process) if as_json else words)
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False


def _level(event: Event) -> int:
    if isinstance(event, events.Attempted):
        match event.outcome:
            case Dead() | Ambiguous():
                return logging.WARNING
            case Retry() | Deferred() | Suppressed() | Expired() | Cancelled():
                return logging.INFO
            case _:
                return logging.DEBUG
    return _LEVELS.get(type(event), logging.INFO)


def _sentence(event: Event) -> str:
    match event:
        case events.Attempted(identity, channel, attempt, outcome, seconds):
            tried = f"attempt {attempt}" if outcome.used else "not attempted"
            return f"{channel} {identity} {tried}, {seconds * 1000:.0f} ms: {_told(outcome)}"
        case events.Claimed(channel, count, lost, seconds):
            after = f", {lost} of them after a worker was lost" if lost else ""
            return f"{channel}: claimed {count} in {seconds * 1000:.0f} ms{after}"
        case events.Settled(count, stale, seconds):
            late = f", {stale} too late to count" if stale else ""
            return f"settled {count} in {seconds * 1000:.0f} ms{late}"
        case events.MetricsServed(host, port):
            return f"metrics at http://{f'[{host}]' if ':' in host else host}:{port}/metrics"
        case events.CodeUnknown(channel, provider, error):
            return f"{channel}: {provider} refused with a code that its table lacks: {error}"
        case events.CopiesRefused(identity, channel, provider, codes):
            which = ", ".join(dict.fromkeys(codes))
            return f"{channel} {identity}: {provider} took it, but refused {len(codes)} of its copies: {which}"
        case events.TopicsChanged(topics):
            return f"topics are declared otherwise than before, until somebody else starts: {', '.join(topics)}"
        case events.ProviderHeld(channel, provider, seconds, error):
            return f"{channel}: {provider} refuses us or is down, held for {seconds:.3g} s, then probed: {error}"
        case _:
            return _about_the_worker(event)


def _about_the_worker(event: Event) -> str:
    match event:
        case events.WorkerStarted(worker, channels):
            return f"worker {worker} serves {', '.join(channels)}"
        case events.WorkerStopping(worker, reason, in_hand, grace):
            rest = f", {grace:g} s to finish them" if in_hand else ""
            return f"worker {worker} stops ({reason}): {in_hand} in hand{rest}"
        case events.WorkerStopped(worker, released, outcomes):
            ends = ", ".join(f"{count} {name}" for name, count in outcomes.items()) or "nothing was due"
            return f"worker {worker} stopped: {ends}; {released} given back"
        case events.ProcessDied(process, pid, ending, pause):
            return f"process {process} (pid {pid}) {ending}: another takes its place in {pause:.1f} s"
        case events.ProcessUnable(process, pid, ending):
            return f"process {process} (pid {pid}) {ending}: it cannot work, and no other takes its place"
        case events.ProcessesStopping(reason, processes):
            return f"stopping {processes} process{'es' if processes > 1 else ''} ({reason})"
        case events.DatabaseLost(purpose, problem, pause):
            return f"database ({purpose}) away, next try in {pause:.1f} s: {problem}"
        case events.DatabaseBack(purpose, seconds):
            return f"database ({purpose}) back after {seconds:.1f} s"
        case events.ListenUnheard():
            return "notifications do not arrive through this connection (a pooler in transaction mode?): polling alone"
        case _:
            return _about_the_rest(event)


def _about_the_rest(event: Event) -> str:
    match event:
        case events.LoopBlocked(seconds):
            return f"the event loop stood still for {seconds:.1f} s: a provider or template blocks it (leases are kept)"
        case events.LoopStuck(seconds):
            return f"the event loop has stood still for {seconds:.0f} s: the process ends; below is where it stands"
        case events.HorizonHeld(pid, user, application, state, seconds):
            who = f"pid {pid} ({', '.join(filter(None, (user, application, state)))})"
            return (
                f"{who} has had a transaction open for {seconds:.0f} s: PostgreSQL can remove nothing that was settled "
                f"since; to end it: SELECT pg_terminate_backend({pid})"
            )
        case events.TemplatesChanged(count):
            return f"templates have changed; there {'is' if count == 1 else 'are'} {count:,} now"
        case events.TemplatesRefused(problems):
            return f"templates have changed, and are used as they were, because of mistakes: {'; '.join(problems)}"
        case events.Retained(dropped, deleted):
            rows = [f"deleted {count:,} {kind}" for kind, count in deleted.items()]
            return f"retention: {'; '.join([*(f'dropped {name}' for name in dropped), *rows])}"
        case schedule_events.ScheduleRan(schedule, occurrence, enqueued, seconds, late):
            took = f"in {seconds:.1f} s, {late:.1f} s after it was due"
            return f"schedule {schedule} of {_clock(occurrence)}: enqueued {enqueued:,} {took}"
        case schedule_events.ScheduleSkipped(schedule, occurrence, next_at):
            return f"schedule {schedule}: missed until {_clock(occurrence)}, and skipped; next at {_clock(next_at)}"
        case schedule_events.ScheduleFailed(schedule, occurrence, problem, pause):
            return f"schedule {schedule} of {_clock(occurrence)} failed, next try in {pause:.0f} s: {problem}"
        case _:
            return _about_pauses(event)


def _about_pauses(event: Event) -> str:
    match event:
        case pause_events.Paused(scope, name, by, reason, left):
            end = "until somebody resumes it" if left is None else f"for {left:.0f} s more"
            return f"{scope} {name} is paused by {by}, {end}{f': {reason}' if reason else ''}"
        case pause_events.Resumed(scope, name):
            return f"{scope} {name} is paused no more"
        case _:
            return " ".join([type(event).__name__, *(f"{key}={value}" for key, value in _facts(event).items())])


def _clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%SZ}"


def _told(outcome: Outcome) -> str:
    words = outcome.name
    if outcome.reason:
        words += f" ({outcome.reason})"
    if outcome.delay is not None:
        words += f", next in {outcome.delay:.1f} s"
    if outcome.provider:
        words += f", by {outcome.provider}"
    if outcome.failure:
        words += f": {outcome.failure.code or ''} {outcome.failure.detail}".replace(":  ", ": ")
    return words


def _facts(value: Any) -> dict[str, Any]:
    if isinstance(value, events.Attempted):
        return value._asdict()
    return {entry.name: getattr(value, entry.name) for entry in fields(value)}


def _plain(value: Any) -> Any:
    if isinstance(value, DeliveryError):
        return {"class": value.name, "code": value.code, "detail": value.detail}
    if is_dataclass(value):
        return {"name": getattr(value, "name", None)} | _facts(value)
    return list(value) if isinstance(value, tuple) else str(value)


class _JsonLines(logging.Formatter):
    def __init__(self, process: int | None) -> None:
        super().__init__()
        self._which = {} if process is None else {"process": process}

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
        } | self._which
        event = getattr(record, "event", None)
        line |= {"message": record.getMessage()} if event is None else {"event": type(event).__name__} | _facts(event)
        return json.dumps(line, default=_plain, ensure_ascii=False)
