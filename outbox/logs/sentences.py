"""sentences: what an event says, in words for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox import events, pause_events, routine_events, schedule_events, template_events
from outbox.logs.facts import facts
from outbox.logs.flood import NotLogged
from outbox.masks import without_recipients

if TYPE_CHECKING:
    from datetime import datetime

    from outbox.errors import DeliveryError
    from outbox.events import Event
    from outbox.outcomes import Outcome


def sentence(event: Event | NotLogged) -> str:
    """Return one line about an event; whatever somebody said is without the recipients in it."""
    match event:
        case events.Attempted(identity, channel, attempt, outcome, seconds):
            tried = f"attempt {attempt}" if outcome.used else "not attempted"
            whom = f" to {event.recipient}" if event.recipient is not None else ""
            return f"{channel} {identity}{whom} {tried}, {seconds * 1000:.0f} ms: {_told(outcome)}"
        case events.FailedOver(identity, channel, provider, error):
            return f"{channel} {identity}: {provider} did not take it, the next in order is tried: {_said(error)}"
        case events.Claimed(channel, count, lost, seconds):
            after = f", {lost} of them after a worker was lost" if lost else ""
            return f"{channel}: claimed {count} in {seconds * 1000:.0f} ms{after}"
        case events.Settled(count, stale, seconds):
            late = f", {stale} too late to count" if stale else ""
            return f"settled {count} in {seconds * 1000:.0f} ms{late}"
        case template_events.ComposeFailed(identity, channel, template, _, where):
            of_it = "it" if template is None else f"its template {template}"
            return f"{channel} {identity}: {of_it} could not be made into a message, for a defect: {where}"
        case events.CopiesRefused(identity, channel, provider, codes):
            which = ", ".join(dict.fromkeys(codes))
            return f"{channel} {identity}: {provider} took it, but refused {len(codes)} of its copies: {which}"
        case _:
            return _about_providers(event)


def _about_providers(event: Event | NotLogged) -> str:
    match event:
        case events.MetricsServed(host, port):
            return f"metrics at {_url(host, port)}/metrics"
        case routine_events.HealthServed(host, port):
            return f"health at {_url(host, port)}/live and /ready"
        case events.ProviderFailed(channel, provider, _, where):
            return f"{channel}: {provider} has a defect, and nobody knows whether it sent: {where}"
        case events.CodeUnknown(channel, provider, error):
            return f"{channel}: {provider} refused with a code that its table lacks: {_said(error)}"
        case events.TopicsChanged(topics):
            return f"topics are declared otherwise than before, until somebody else starts: {', '.join(topics)}"
        case events.ProviderHeld(channel, provider, seconds, error):
            return f"{channel}: {provider} refuses us or is down, held for {seconds:.3g} s, then probed: {_said(error)}"
        case _:
            return _about_the_worker(event)


def _about_the_worker(event: Event | NotLogged) -> str:
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
            return f"database ({purpose}) away, next try in {pause:.1f} s: {without_recipients(problem)}"
        case events.DatabaseBack(purpose, seconds):
            return f"database ({purpose}) back after {seconds:.1f} s"
        case events.ListenUnheard():
            return "notifications do not arrive through this connection (a pooler in transaction mode?): polling alone"
        case _:
            return _about_the_rest(event)


def _about_the_rest(event: Event | NotLogged) -> str:
    match event:
        case NotLogged(kinds):
            what = ", ".join(f"{count:,} {name}" for name, count in kinds.items())
            return f"{sum(kinds.values()):,} more lines about single notifications within a second: {what}"
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
        case routine_events.ProcessDrained(process, pid):
            return f"process {process} (pid {pid}) has drained"
        case routine_events.SchemaNewer(applied, known):
            return (
                f"the database's schema (revision {applied}) is newer than this version's ({known}), as in an upgrade"
            )
        case template_events.TemplatesChanged(count):
            return f"templates have changed; there {'is' if count == 1 else 'are'} {count:,} now"
        case template_events.TemplatesRefused(problems):
            return f"templates have changed, and are used as they were, because of mistakes: {'; '.join(problems)}"
        case events.Retained(dropped, deleted):
            rows = [f"deleted {count:,} {kind}" for kind, count in deleted.items()]
            return f"retention: {'; '.join([*(f'dropped {name}' for name in dropped), *rows])}"
        case _:
            return _about_schedules(event)


def _about_schedules(event: Event | NotLogged) -> str:
    match event:
        case schedule_events.ScheduleRan(schedule, occurrence, enqueued, seconds, late):
            took = f"in {seconds:.1f} s, {late:.1f} s after it was due"
            return f"schedule {schedule} of {_clock(occurrence)}: enqueued {enqueued:,} {took}"
        case schedule_events.ScheduleSkipped(schedule, occurrence, next_at):
            return f"schedule {schedule}: missed until {_clock(occurrence)}, and skipped; next at {_clock(next_at)}"
        case schedule_events.ScheduleFailed(schedule, occurrence, problem, pause):
            words = without_recipients(problem)
            return f"schedule {schedule} of {_clock(occurrence)} failed, next try in {pause:.0f} s: {words}"
        case _:
            return _about_pauses(event)


def _about_pauses(event: Event | NotLogged) -> str:
    match event:
        case pause_events.Paused(scope, name, by, reason, left):
            end = "until somebody resumes it" if left is None else f"for {left:.0f} s more"
            return f"{scope} {name} is paused by {by}, {end}{f': {reason}' if reason else ''}"
        case pause_events.Resumed(scope, name):
            return f"{scope} {name} is paused no more"
        case _:
            return " ".join([type(event).__name__, *(f"{key}={value}" for key, value in facts(event).items())])


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


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
        code = f"{outcome.failure.code} " if outcome.failure.code else ""
        words += f": {code}{without_recipients(outcome.failure.detail)}"
    return words


def _said(error: DeliveryError) -> str:
    return without_recipients(str(error))
