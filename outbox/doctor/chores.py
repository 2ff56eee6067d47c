"""chores: what workers do now and then for all of them, and schedules; who fails at it, and what is not done at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.doctor.finding import Check, either, failure
from outbox.doctor.words import age
from outbox.errors import clean
from outbox.worker.chores import chores_with

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.doctor.finding import Finding
    from outbox.doctor.patient import Patient

_CHORES = """
SELECT c.name, c.failures, coalesce(c.problem, '') AS problem,
       date_part('epoch', clock_timestamp() - c.due_at) AS late,
       date_part('epoch', clock_timestamp() - c.done_at) AS since,
       (SELECT count(*) FROM outbox.workers w WHERE w.seen_at > clock_timestamp() - interval '1 minute') AS workers
FROM outbox.chores c ORDER BY c.name
"""
_OFTEN = 3
_AT_LEAST = 300.0  # seconds that any chore may be late: one at a time is done
_DUE = "UPDATE outbox.chores SET due_at = clock_timestamp() WHERE name = '{}'"


def look_at_chores(patient: Patient) -> Iterator[Finding]:
    """Name the chores that fail, and those that nobody does."""
    known = {chore.name: chore.every for chore in chores_with(patient.config.retention, lambda _: None)}
    for chore in patient.ask(_CHORES):
        if chore.name not in known:
            continue  # of another version
        details = {"chore": chore.name, "failures": chore.failures}
        if chore.failures:
            times = "failed" if chore.failures == 1 else f"failed {chore.failures:,} times in a row"
            problem = f"the chore {chore.name} {times}: {clean(chore.problem, 200)}"
            yield either(chore.failures >= _OFTEN, problem, _remedy(chore.problem, chore.name), **details)
        elif chore.late > max(_AT_LEAST, known[chore.name]):
            why = "no worker is live" if not chore.workers else "though workers are live"
            done = "never" if chore.since is None else f"{age(chore.since)} ago"
            problem = f"the chore {chore.name} is {age(chore.late)} late, {why}; last done {done}"
            remedy = "restart a worker" if chore.workers else f"outbox worker --channel {_channel(patient)}"
            yield failure(problem, remedy, **details, late_seconds=round(chore.late))


def _remedy(problem: str, name: str) -> str:
    """Return what helps: rights where those are what is missing, else another try."""
    return "outbox roles --apply" if "permission denied" in problem or "must be owner" in problem else _DUE.format(name)


def _channel(patient: Patient) -> str:
    return next(iter(patient.config.channels), "email")


_SCHEDULES = """
SELECT s.name, s.failures, coalesce(s.problem, '') AS problem,
       date_part('epoch', clock_timestamp() - greatest(s.next_at, s.retry_at)) AS late
FROM outbox.schedules s
WHERE s.paused_at IS NULL
  AND (s.failures > 0 OR greatest(s.next_at, s.retry_at) < clock_timestamp() - make_interval(secs => %(late)s))
ORDER BY s.name LIMIT 20
"""
_SCHEDULE_LATE = 120.0


def look_at_schedules(patient: Patient) -> Iterator[Finding]:
    """Name the schedules that fail, and those that are due and not run."""
    for schedule in patient.ask(_SCHEDULES, late=_SCHEDULE_LATE):
        details = {"schedule": schedule.name, "failures": schedule.failures}
        show = f"outbox schedule show {schedule.name}"
        if schedule.failures:
            times = "failed" if schedule.failures == 1 else f"failed {schedule.failures:,} times in a row"
            problem = f"the schedule {schedule.name} {times}: {clean(schedule.problem, 200)}"
            yield either(schedule.failures >= _OFTEN, problem, show, **details)
        else:
            since = age(schedule.late)
            problem = f"the schedule {schedule.name} has been due for {since}, and no worker runs it"
            yield failure(problem, f"outbox worker --channel {_channel(patient)}", **details)


CHECKS = (
    Check(
        "chores",
        "chores that fail, or that nobody does",
        "no partitions ahead, no retention, windows that stay open: each shows weeks later",
        "what its problem says; `outbox roles --apply`; a worker that runs",
        "every chore is done in time",
        look_at_chores,
    ),
    Check(
        "schedules",
        "schedules that fail, or that are due and not run",
        "what is sent every Monday is not sent, and nobody misses it",
        "`outbox schedule show …`; a worker that runs",
        "every schedule runs",
        look_at_schedules,
    ),
)
