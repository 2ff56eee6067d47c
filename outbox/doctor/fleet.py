"""fleet: whether somebody serves every channel on which something waits, and who the workers are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.doctor.finding import Check, either, failure, ok, warning
from outbox.doctor.words import age, counted
from outbox.errors import clean
from outbox.queue.leaps import IN_THE_QUEUE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.doctor.finding import Finding
    from outbox.doctor.patient import Patient

# From channel to channel by the index, not row by row; then, on each, the first that is due and in nobody's hands.
WAITING = f"""
WITH RECURSIVE {IN_THE_QUEUE}
SELECT c.channel, first.id, date_part('epoch', clock_timestamp() - first.run_at) AS seconds,
       (SELECT count(*) FROM outbox.workers w
        WHERE c.channel = ANY (w.channels) AND w.seen_at > clock_timestamp() - interval '1 minute') AS workers,
       EXISTS (SELECT FROM outbox.pauses p
               WHERE p.scope = 'channel' AND p.name = c.channel
                 AND (p.until IS NULL OR p.until > clock_timestamp())) AS paused
FROM channels c
CROSS JOIN LATERAL (
    SELECT level.id, level.run_at
    FROM generate_series(0, 9) AS n (priority)
    CROSS JOIN LATERAL (
        SELECT q.id, greatest(q.run_at, q.leased_until) AS run_at
        FROM outbox.queue q
        WHERE q.channel = c.channel AND q.priority = n.priority AND q.run_at <= clock_timestamp()
          AND (q.leased_until IS NULL OR q.leased_until <= clock_timestamp())
        ORDER BY q.run_at LIMIT 1
    ) level
    ORDER BY level.run_at LIMIT 1
) first
WHERE c.channel IS NOT NULL
ORDER BY c.channel
"""  # noqa: S608 - of constants


def look_at_channels(patient: Patient) -> Iterator[Finding]:
    """Look for channels on which something is due that nobody serves."""
    for waits in patient.ask(WAITING):
        seconds = age(waits.seconds)
        details = {"channel": waits.channel, "due_seconds": round(waits.seconds), "workers": waits.workers}
        if not waits.workers:
            problem = f"on {waits.channel}, something has been due for {seconds}, and no live worker serves it"
            yield failure(problem, f"outbox worker --channel {waits.channel}", **details)
        elif waits.paused:
            problem = f"on {waits.channel}, something has been due for {seconds}, and the channel is paused"
            yield warning(problem, f"outbox resume {waits.channel}", **details)
        elif paused := _all_paused(patient, waits.channel):
            problem = f"on {waits.channel}, something has been due for {seconds}, and all its providers are paused"
            yield warning(problem, f"outbox resume provider:{paused[0]}", **details)


def _all_paused(patient: Patient, channel: str) -> list[str]:
    """Return the providers of a channel if every one of them is paused."""
    settings = patient.config.channels.get(channel)
    paused = {pause.name for pause in patient.ask(_PAUSES) if pause.scope == "provider"}
    ours = list(settings.providers) if settings else []
    return ours if paused.issuperset(ours) else []


_PAUSES = """
SELECT p.scope, p.name, coalesce(p.reason, 'nobody said why') AS reason,
       date_part('epoch', clock_timestamp() - p.paused_at) AS seconds,
       CAST(p.until AS text) AS until
FROM outbox.pauses p WHERE p.until IS NULL OR p.until > clock_timestamp()
ORDER BY p.scope, p.name
"""


def look_at_pauses(patient: Patient) -> Iterator[Finding]:
    """Name the channels and providers that somebody has paused."""
    for pause in patient.ask(_PAUSES):
        until = f"until {pause.until}" if pause.until else "until somebody resumes it"
        since = age(pause.seconds)
        problem = f"the {pause.scope} {pause.name} has been paused for {since}, {until}: {clean(pause.reason, 200)}"
        name = pause.name if pause.scope == "channel" else f"{pause.scope}:{pause.name}"
        yield warning(problem, f"outbox resume {name}", scope=pause.scope, name=pause.name)


_VANISHED = """
SELECT w.id, w.host, w.pid, array_to_string(w.channels, ' --channel ') AS channels,
       date_part('epoch', clock_timestamp() - w.seen_at) AS seconds
FROM outbox.workers w WHERE w.seen_at < clock_timestamp() - interval '1 minute'
ORDER BY w.id LIMIT 10
"""


def look_at_vanished(patient: Patient) -> Iterator[Finding]:
    """Name the workers that have said nothing for a minute, and did not say that they leave."""
    for worker in patient.ask(_VANISHED):
        host, since = clean(worker.host, 64), age(worker.seconds)
        problem = f"worker {worker.id} (pid {worker.pid} on {host}) was last seen {since} ago, and did not say goodbye"
        remedy = f"outbox worker --channel {worker.channels}"
        yield warning(problem, remedy, worker=worker.id, host=host, pid=worker.pid, seconds=round(worker.seconds))


# What workers report of themselves is a column of its own, which databases have from revision 0024 on.
_HELD = """
SELECT held.one ->> 'channel' AS channel, held.one ->> 'provider' AS provider, min(held.one ->> 'class') AS why,
       min(held.one ->> 'code') AS code, count(*) AS workers,
       max(CAST(held.one ->> 'held_for' AS double precision)) AS seconds
FROM outbox.workers w CROSS JOIN LATERAL jsonb_array_elements(to_jsonb(w) #> '{report,held}') AS held (one)
WHERE w.seen_at > clock_timestamp() - interval '1 minute'
GROUP BY 1, 2 ORDER BY 1, 2
"""
_HELD_LONG = 600.0


def look_at_held(patient: Patient) -> Iterator[Finding]:
    """Name the providers that workers hold, because they refuse us or are down."""
    for held in patient.ask(_HELD):
        provider, since = clean(held.provider, 64), age(held.seconds)
        why = f"{held.why}{f' ({clean(held.code, 40)})' if held.code else ''}"
        problem = (
            f"{provider}, of {held.channel}, has been held for {since} by {counted(held.workers, 'worker')}: {why}"
        )
        details = {"provider": provider, "channel": held.channel, "workers": held.workers}
        yield either(held.seconds > _HELD_LONG, problem, "outbox check --live", **details)


_CLOCKS = """
SELECT w.id, w.host, CAST(to_jsonb(w) #>> '{report,clock}' AS double precision) - date_part('epoch', w.seen_at) AS ahead
FROM outbox.workers w
WHERE w.seen_at > clock_timestamp() - interval '1 minute'
  AND abs(CAST(to_jsonb(w) #>> '{report,clock}' AS double precision) - date_part('epoch', w.seen_at)) > %(apart)s
ORDER BY w.host, w.id LIMIT 20
"""
_APART, _FAR_APART = 3.0, 30.0  # seconds; a heartbeat that took long looks like a clock that is behind


def look_at_clocks(patient: Patient) -> Iterator[Finding]:
    """Name the workers whose clock is not the database's."""
    for worker in patient.ask(_CLOCKS, apart=_APART):
        way = "ahead of" if worker.ahead > 0 else "behind"
        host = clean(worker.host, 64)
        problem = f"the clock of {host} (worker {worker.id}) is {abs(worker.ahead):.1f} s {way} the database's"
        details = {"worker": worker.id, "host": host, "ahead_seconds": round(worker.ahead, 3)}
        yield either(abs(worker.ahead) > _FAR_APART, problem, "timedatectl set-ntp true", **details)


_VERSIONS = """
SELECT w.version, count(*) AS workers, array_to_string((array_agg(DISTINCT w.host ORDER BY w.host))[1:4], ', ') AS hosts
FROM outbox.workers w WHERE w.seen_at > clock_timestamp() - interval '1 minute'
GROUP BY w.version ORDER BY w.version
"""


def look_at_versions(patient: Patient) -> Iterator[Finding]:
    """Look for workers of more than one version."""
    found = patient.ask(_VERSIONS)
    if len(found) > 1:
        each = "; ".join(f"{row.workers} of {clean(row.version, 32)} on {clean(row.hosts, 200)}" for row in found)
        yield warning(f"workers of different versions: {each}", "restart those that are older")
    elif found:
        yield ok(f"{found[0].workers} live, all of version {clean(found[0].version, 32)}", workers=found[0].workers)
    else:
        yield ok("no worker is live", workers=0)


CHECKS = (
    Check(
        "channels",
        "channels on which something is due, and that no live worker serves",
        "nothing goes out there, and everything else looks well",
        "`outbox worker --channel …`",
        "somebody serves every channel on which something is due",
        look_at_channels,
    ),
    Check(
        "pauses",
        "channels and providers that are paused, since when and why",
        "what was paused for an hour is forgotten for a week",
        "`outbox resume …`",
        "nothing is paused",
        look_at_pauses,
    ),
    Check(
        "vanished-workers",
        "workers that were not seen for a minute, and did not leave in order",
        "fewer workers than anybody thinks; what they had in hand is sent late, perhaps twice",
        "`outbox worker …`; its log on its host; after ten minutes a chore strikes it off",
        "every worker that is registered is alive",
        look_at_vanished,
    ),
    Check(
        "held-providers",
        "providers that workers hold, because they refuse us or are down",
        "everything goes through the next in order, or nothing does",
        "`outbox check --live`; the account, its quota, its status page",
        "no provider is held",
        look_at_held,
    ),
    Check(
        "worker-clocks",
        "workers whose clock is not the database's",
        "signatures of providers and webhooks are refused, from one machine of many",
        "`timedatectl set-ntp true` there",
        "no worker's clock is known to be wrong",
        look_at_clocks,
    ),
    Check(
        "worker-versions",
        "workers of different versions",
        "what one writes, the other does not know",
        "restart the older ones",
        "all workers are of one version",
        look_at_versions,
    ),
)
