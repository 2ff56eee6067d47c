"""A database in which something of everything has happened, for pages to be looked at."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg

from outbox.outcomes import Ambiguous, Dead, Deferred, Failure, Retry, Sent
from outbox.queue.measure import measure
from outbox.reports import Hold, InHand, Report, Tally
from tests.endings import claim_due, end, enter, put
from tests.hands import rows

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

LATER = Failure("temporary", "451 4.7.1", "greylisted, try again in 5 minutes")
NOBODY = Failure("unreachable", "550 5.1.1", "no such user here")
SPAM = Failure("rejected", "554 5.7.1", "the content looks like spam")
TOO_FAST = Failure("throttled", "421 4.7.0", "too many messages from your address")
HTML = """<!doctype html><html><body style="margin:0;background:#f4f4f7;font-family:Helvetica,Arial,sans-serif">
<table width="100%" cellpadding="0" cellspacing="0"><tr><td align="center" style="padding:32px 12px">
<table width="480" style="background:#fff;border-radius:10px;padding:32px;text-align:left">
<tr><td><h1 style="margin:0 0 12px;font-size:22px;color:#22223b">Welcome, {{ name }}</h1>
<p style="margin:0 0 20px;color:#4a4e69;line-height:1.6">Good to have you here. Your workspace is ready, and the first
three people are on us.</p>
<a href="https://example.org/start" style="background:#3451c6;color:#fff;padding:11px 20px;border-radius:6px;
text-decoration:none">Open your workspace</a>
<img src="https://example.org/opened.gif" alt="" width="1" height="1"></td></tr></table>
</td></tr></table></body></html>"""

_TOML = """[channels.email]
providers = ["smtp", "postmark"]
max_attempts = 5

[channels.sms]
providers = ["twilio"]

[channels.push]
providers = ["fcm"]

[topics.receipts]
transactional = true
"""


def configuration(folder: Path) -> Path:
    """Write a configuration with a template; return its path."""
    template = folder / "templates" / "welcome"
    template.mkdir(parents=True)
    (template / "subject.txt").write_text("Welcome, {{ name }}")
    (template / "body.html").write_text(HTML)
    (template / "body.txt").write_text("Hello {{ name }},\n\ngood to have you here.\n\nYour workspace is ready.\n")
    path = folder / "outbox.toml"
    path.write_text(_TOML)
    return path


def scene(url: str) -> dict[str, UUID]:
    """Let something of everything happen; return notifications by what became of them."""
    welcome: dict[str, Any] = {"template": "welcome", "payload": {"name": "Ada"}, "topic": "onboarding"}
    found: dict[str, UUID] = {}
    workers = enter(url, "email", "push"), enter(url, "email")
    [found["dead"]] = put(url, recipient="grace@example.org", **welcome, idempotency_key="welcome:grace")
    for delay in (0.0, 0.0):
        end(url, Retry(provider="smtp", failure=LATER, delay=delay))
    claim_due(url, lease=0, worker=2)
    end(url, Dead(provider="smtp", failure=SPAM, reason="rejected"))
    [found["sent"]] = put(url, recipient="ada@example.org", **welcome, idempotency_key="welcome:ada", priority="high")
    end(url, Retry(provider="smtp", failure=LATER, delay=0.0))
    end(url, Sent(provider="postmark", provider_message_id="<b7c1f0a2@mail.example.org>"))
    put(url, 3, Dead(provider="smtp", failure=NOBODY, reason="unreachable"), template="receipt", topic="receipts")
    put(url, 6, Sent(provider="smtp"), template="receipt", topic="receipts")
    [found["retrying"]] = put(
        url, 1, Retry(provider="smtp", failure=LATER, delay=240), recipient="ada@example.org", **welcome
    )
    put(url, 4, Retry(provider="smtp", failure=LATER, delay=90))
    put(url, 2, Deferred(provider="smtp", failure=TOO_FAST, delay=300))
    put(url, 1, Ambiguous(provider="smtp", failure=LATER, delay=600))
    put(url, 23, channel="email", priority="urgent")
    claim_due(url, limit=14)
    put(url, 310, channel="email", priority="bulk", topic="news")
    [found["scheduled"]] = put(url, recipient="ada@example.org", run_at=timedelta(hours=7), **welcome)
    put(url, 40, run_at=timedelta(hours=1))
    put(url, 3, channel="sms", recipient="+4915112345678", payload={"text": "Your code is 424242"}, priority="urgent")
    put(url, 4, channel="email", ordering_key="order:42")
    put(
        url,
        12,
        channel="push",
        recipient="device-token",
        payload={"title": "Hi", "body": "There"},
        run_at=timedelta(minutes=5),
    )
    _measure(url)
    for number, worker in enumerate(workers):
        report = json.dumps(_report(number).to_json())
        rows(
            url, "UPDATE outbox.workers SET report = %s, host = %s WHERE id = %s", report, f"mail-{number + 1}", worker
        )
    return found


def _measure(url: str) -> None:
    """Measure what waits, and make up the hours before: busier by day, with a bad quarter of an hour."""

    async def work() -> None:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
            await measure(conn)

    asyncio.run(work())
    rows(
        url,
        """
        INSERT INTO outbox.samples (at, channel, sent, failed, waiting, due, leased)
        SELECT date_trunc('minute', now()) - minute * interval '1 minute', 'email',
               5200 + 1900 * sin(minute / 9.0) + 900 * sin(minute / 2.3) - CASE WHEN bad THEN 2600 ELSE 0 END,
               90 + 60 * sin(minute / 3.1) + CASE WHEN bad THEN 1400 + 300 * sin(minute) ELSE 0 END,
               900, 340 + 240 * sin(minute / 7.0) + CASE WHEN bad THEN 900 ELSE 0 END, 120 + 40 * sin(minute / 4.0)
        FROM (SELECT minute, minute BETWEEN 18 AND 29 AS bad FROM generate_series(1, 59) AS minute) m
        ON CONFLICT DO NOTHING
        """,
    )


def _report(number: int) -> Report:
    took = (0, 0, 0, 0, 4, 22, 90, 180, 96, 30, 8, 3, 1)
    tallies = (
        Tally("email", "smtp", "sent", None, 51_200, 391 + 60 * number, took),
        Tally("email", "smtp", "retry", "temporary", 830, 6, took),
    )
    hold = Hold("email", "postmark", "temporary", "503", 42.0, 3.0)
    hands = {"email": InHand(9, 5 * number)}
    holds = (hold,) if number == 0 else ()
    return Report(0.0, 10.0, True, 200, tuple(range(10)), False, hands, tallies, holds)  # noqa: FBT003
