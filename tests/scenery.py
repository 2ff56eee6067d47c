"""A database in which something of everything has happened, for pages to be looked at."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from outbox.outcomes import Ambiguous, Dead, Deferred, Failure, Retry, Sent
from tests.endings import claim_due, end, enter, put

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
    enter(url, "email", "push")
    enter(url, "email")
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
    return found
