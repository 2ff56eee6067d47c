"""delivery: what should move, and does not: rows that are due, leases, lines, windows of digests, fan-outs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.doctor.finding import Check, either, failure, warning
from outbox.doctor.fleet import WAITING
from outbox.doctor.words import age, counted
from outbox.errors import clean
from outbox.queue.leaps import IN_THE_QUEUE
from outbox.queue.release import RELEASE_ORPHANS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.doctor.finding import Finding
    from outbox.doctor.patient import Patient

_LATE, _VERY_LATE = 60.0, 600.0


def look_at_overdue(patient: Patient) -> Iterator[Finding]:
    """Look for what is long due on a channel that has live workers, and is not paused."""
    for waits in patient.ask(WAITING):
        if waits.workers and not waits.paused and waits.seconds > _LATE:
            since = age(waits.seconds)
            problem = f"on {waits.channel}, {waits.id} has been due for {since}, though a worker is there"
            details = {"channel": waits.channel, "id": waits.id, "due_seconds": round(waits.seconds)}
            yield either(waits.seconds > _VERY_LATE, problem, f"outbox explain {waits.id}", **details)


# Whoever is leased was due, so the oldest of each channel and level are where a lease that never ends is found.
_LEASES = f"""
WITH RECURSIVE {IN_THE_QUEUE}
SELECT c.channel, count(*) AS rows, max(date_part('epoch', oldest.leased_until - clock_timestamp())) AS seconds
FROM channels c
CROSS JOIN generate_series(0, 9) AS n (priority)
CROSS JOIN LATERAL (
    SELECT q.worker, q.leased_until
    FROM outbox.queue q
    WHERE q.channel = c.channel AND q.priority = n.priority AND q.run_at <= clock_timestamp()
    ORDER BY q.run_at LIMIT 500
) oldest
WHERE oldest.worker IS NOT NULL AND oldest.leased_until > clock_timestamp() + make_interval(secs => %(longest)s)
  AND NOT EXISTS (SELECT FROM outbox.workers w WHERE w.id = oldest.worker)
GROUP BY c.channel ORDER BY c.channel
"""  # noqa: S608 - of constants
_LEASES_LAST = 600.0  # the longest that is usual: a lease, renewed by a worker that has died since


def look_at_leases(patient: Patient) -> Iterator[Finding]:
    """Look for leases of workers that are struck off, which end in the far future: a clock was set back."""
    for lease in patient.ask(_LEASES, longest=max(_LEASES_LAST, 2 * patient.config.worker.lease)):
        problem = (
            f"on {lease.channel}, {counted(lease.rows, 'row')} leased to workers that are gone, for up to "
            f"{age(lease.seconds)} more: a clock was set back, or a lease was very long"
        )
        yield failure(problem, " ".join(RELEASE_ORPHANS.split()), channel=lease.channel, rows=lease.rows)


# From line to line, as the chore `unblock` goes, and no further than that.
_LINES = """
WITH RECURSIVE line AS (
    (SELECT q.channel, q.ordering_key, 1 AS number
     FROM outbox.queue q WHERE q.run_at = 'infinity'
     ORDER BY q.channel, q.ordering_key LIMIT 1)
    UNION ALL
    SELECT further.channel, further.ordering_key, line.number + 1
    FROM line
    CROSS JOIN LATERAL (
        SELECT q.channel, q.ordering_key
        FROM outbox.queue q
        WHERE q.run_at = 'infinity' AND (q.channel, q.ordering_key) > (line.channel, line.ordering_key)
        ORDER BY q.channel, q.ordering_key LIMIT 1
    ) further
    WHERE line.number < 1000
)
SELECT line.channel, count(*) AS lines
FROM line
CROSS JOIN LATERAL (
    SELECT q.id, q.run_at
    FROM outbox.queue q
    WHERE q.channel = line.channel AND q.ordering_key = line.ordering_key
    ORDER BY q.position LIMIT 1
) first
WHERE first.run_at = 'infinity' AND outbox.uuid7_time(first.id) < clock_timestamp() - make_interval(secs => %(late)s)
GROUP BY line.channel ORDER BY line.channel
"""
_UNBLOCKED_AFTER = 60.0


def look_at_lines(patient: Patient) -> Iterator[Finding]:
    """Look for lines of an ordering key whose first is blocked: a worker's chore makes it due within seconds."""
    for found in patient.ask(_LINES, late=_UNBLOCKED_AFTER):
        problem = f"{counted(found.lines, 'line')} on {found.channel}: the first is blocked, and nobody is ahead of it"
        yield failure(problem, _MAKE_DUE.format(chore="unblock"), channel=found.channel, lines=found.lines)


_MAKE_DUE = "UPDATE outbox.chores SET due_at = clock_timestamp() WHERE name = '{chore}'"

_WINDOWS = """
SELECT d.channel, count(*) AS windows, max(date_part('epoch', clock_timestamp() - d.closes_at)) AS seconds
FROM (SELECT d.channel, d.closes_at FROM outbox.digests d
      WHERE d.closes_at < clock_timestamp() - make_interval(secs => %(late)s) ORDER BY d.closes_at LIMIT 10000) d
GROUP BY d.channel ORDER BY d.channel
"""
_CLOSED_AFTER = 60.0


def look_at_digests(patient: Patient) -> Iterator[Finding]:
    """Look for windows of digests whose time is over, and that nobody has closed."""
    for late in patient.ask(_WINDOWS, late=_CLOSED_AFTER):
        since = age(late.seconds)
        problem = (
            f"on {late.channel}, {counted(late.windows, 'window')} of digests should have closed, up to {since} ago"
        )
        yield failure(problem, _MAKE_DUE.format(chore="close_digests"), channel=late.channel, windows=late.windows)


_FAN_OUTS = """
SELECT f.name, f.selected, f.expected, date_part('epoch', clock_timestamp() - f.advanced_at) AS seconds
FROM outbox.fan_outs f
WHERE f.finished_at IS NULL AND f.advanced_at < clock_timestamp() - make_interval(secs => %(late)s)
ORDER BY f.advanced_at DESC LIMIT 10
"""
_STALLED_AFTER = 300.0


def look_at_fan_outs(patient: Patient) -> Iterator[Finding]:
    """Name the fan-outs that were begun, and do not go on."""
    for fan_out in patient.ask(_FAN_OUTS, late=_STALLED_AFTER):
        name, stalled = clean(fan_out.name, 64), age(fan_out.seconds)
        problem = f"the fan-out {name} stands at {fan_out.selected:,} of {fan_out.expected:,} rows for {stalled}"
        remedy = f"run the same again, and it goes on: outbox fan-out run {name} … (outbox fan-out list shows all)"
        yield warning(problem, remedy, fan_out=name, selected=fan_out.selected, expected=fan_out.expected)


CHECKS = (
    Check(
        "overdue",
        "something long due on a channel that has live workers and is not paused",
        "a rate that is too low, a provider that is held, a level that no worker takes",
        "`outbox explain …` says why; more workers, a higher rate",
        "what is due is taken",
        look_at_overdue,
    ),
    Check(
        "leases",
        "leases of workers that are gone which end in the far future",
        "nobody takes those rows, because they look as if they were being sent",
        "the `UPDATE` that is printed",
        "no lease outlives its worker for long",
        look_at_leases,
    ),
    Check(
        "lines",
        "lines of an ordering key whose first is blocked, though nobody is ahead",
        "the whole line waits for ever",
        "a worker that runs; the chore `unblock` made due",
        "every line moves",
        look_at_lines,
    ),
    Check(
        "digests",
        "windows of digests that should have closed",
        "what was gathered is never sent",
        "a worker that runs; the chore `close_digests` made due",
        "every window closes in time",
        look_at_digests,
    ),
    Check(
        "fan-outs",
        "fan-outs that were begun, and have not gone on for five minutes",
        "half of the people have the message",
        "the same `outbox fan-out run …` again",
        "every fan-out is through, or goes on",
        look_at_fan_outs,
    ),
)
