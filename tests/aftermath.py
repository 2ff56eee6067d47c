"""What people find in the morning: groups of dead letters, pauses, suppressions, schedules, and what others did."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg

from outbox import schedules, suppressions
from outbox.outcomes import Ambiguous, Dead, Failure
from outbox.queue.audit import record
from outbox.queue.discard import discard
from outbox.queue.letter_groups import groups
from outbox.queue.pause import pause
from outbox.queue.replay import replay
from tests.endings import put_dead
from tests.hands import rows

if TYPE_CHECKING:
    from uuid import UUID

BUSY = Dead(
    provider="smtp", failure=Failure("temporary", "451 4.7.1", "greylisted, try again in 5 minutes"), reason="exhausted"
)
NOBODY = Dead(provider="smtp", failure=Failure("unreachable", "550 5.1.1", "no such user here"), reason="unreachable")
IN_DOUBT = Ambiguous(
    provider="postmark", failure=Failure("ambiguous", None, "the connection was lost after DATA"), reason="in_doubt"
)
BARRED = Dead(provider="twilio", failure=Failure("rejected", "21610", "the recipient has opted out"), reason="rejected")


def aftermath(url: str) -> dict[str, UUID | str]:
    """Let it happen; return a dead letter and its group, one that was discarded, and one with a typo in its address."""
    welcome: dict[str, Any] = {"template": "welcome", "payload": {"name": "Ada"}, "topic": "onboarding"}
    letters = put_dead(url, 34, BUSY, **welcome)
    put_dead(url, 3, IN_DOUBT, template="receipt", payload={"total": "12.00"})
    sms = put_dead(url, 5, BARRED, channel="sms", recipient="+4915112345678", payload={"text": "Your code is 424242"})
    (wrong,) = put_dead(url, 1, NOBODY, template="welcome", payload={"name": "Grace"}, recipient="grace@exmaple.org")
    rows(url, "UPDATE outbox.dead_letters SET died_at = died_at - random() * interval '9 hours' WHERE replays = 0")
    with psycopg.connect(url) as conn:
        discard(conn, [sms[0]], reason="they asked us to stop", actor="grace")
        replay(conn, [sms[1]], actor="grace", reason="they opted in again")
        pause(conn, scope="channel", name="sms", actor="grace", until=timedelta(hours=2), reason="Twilio is down")
        pause(conn, scope="provider", name="postmark", actor="ada", reason="we have not paid the bill")
        for number, reason in enumerate(("hard_bounce", "complaint", "unsubscribed", "manual")):
            suppressions.add(conn, channel="email", recipient=f"person{number}@example.org", reason=reason)
        suppressions.add(conn, channel="sms", recipient="+4915112345678", reason="stop", source="twilio")
        record(conn, actor="grace", action="suppress", subject="suppression:sms", reason="ticket 4711")
        query = "SELECT recipient FROM (VALUES ('ada@example.org'), ('grace@example.org')) v (recipient)"
        said: dict[str, Any] = {"channel": "email", "template": "welcome", "payload": {"name": "Ada"}}
        schedules.add(conn, "weekly-digest", "0 9 * * MON", query, time_zone="Europe/Berlin", **said)
        schedules.add(conn, "reminders", "*/15 * * * *", query, **said)
        schedules.add(conn, "cleanup", "@daily", query, **said)
        schedules.pause(conn, "cleanup")
        group = next(each for each in groups(conn).groups if each.count >= len(letters))
    _ran(url)
    return {"letter": letters[0], "group": group.id, "discarded": sms[0], "wrong": wrong}


def _ran(url: str) -> None:
    rows(
        url,
        """
        INSERT INTO outbox.schedule_runs (schedule, occurrence, ran_at, seconds, enqueued, failures, ran_by, error)
        SELECT 'weekly-digest', date_trunc('hour', now()) - n * interval '7 days', now() - n * interval '7 days',
               0.4 + n / 10.0, 1200 + n * 31, 0, 'worker 1 on mail-1', NULL
        FROM generate_series(1, 6) n
        """,
    )
    rows(
        url,
        """
        INSERT INTO outbox.schedule_runs (schedule, occurrence, ran_at, seconds, enqueued, failures, ran_by, error)
        VALUES ('reminders', date_trunc('hour', now()), now(), NULL, NULL, 3, 'worker 2 on mail-2',
                'relation "reminder" does not exist')
        """,
    )
    rows(
        url,
        """
        UPDATE outbox.schedules SET failures = 3, problem = 'relation "reminder" does not exist',
            retry_at = now() + interval '4 minutes' WHERE name = 'reminders'
        """,
    )


def put_many_dead(url: str, count: int) -> None:
    """Make so many dead letters of one group, whose notifications retention has dropped."""
    put_dead(url, 1, BUSY)
    rows(
        url,
        """
        INSERT INTO outbox.dead_letters
            (notification_id, channel, recipient, payload, priority, reason, provider, error_class, error_code, error,
             attempts, enqueued_at)
        SELECT outbox.uuid7(), d.channel, n || d.recipient, d.payload, d.priority, d.reason, d.provider, d.error_class,
               d.error_code, d.error, d.attempts, d.enqueued_at
        FROM outbox.dead_letters d CROSS JOIN generate_series(2, %s) n
        """,
        count,
    )


def alive(url: str) -> None:
    """Let the workers of the scene be heard of now, with clocks that go right."""
    rows(
        url,
        """
        UPDATE outbox.workers SET seen_at = clock_timestamp(),
            report = jsonb_set(report, '{clock}', to_jsonb(date_part('epoch', clock_timestamp())))
        """,
    )
