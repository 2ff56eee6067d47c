from __future__ import annotations

import json
from typing import TYPE_CHECKING

import psycopg
import pytest

from outbox import config
from outbox.worker.chores import sweep_workers
from tests.command_line import run
from tests.doctor.examined import finding, findings, status, type_
from tests.endings import enter, put
from tests.hands import rows

if TYPE_CHECKING:
    from pathlib import Path

    from outbox.config import Config


def settings(tmp_path: Path, url: str) -> tuple[Path, Config]:
    """A configuration that sends emails to the console."""
    file = tmp_path / "outbox.toml"
    file.write_text('[channels.email]\nproviders = ["console"]\n')
    return file, config.load(file, environ={}, overrides={"database.url": url})


def test_a_channel_that_nobody_serves_is_served(tmp_path: Path, cloned_url: str) -> None:
    file, _ = settings(tmp_path, cloned_url)
    assert status(cloned_url, "channels") == "ok"
    put(cloned_url, 2)
    put(cloned_url, 1, channel="sms", recipient="+447700900001", payload={"text": "Hi"})
    email, sms = findings(cloned_url, "channels")
    assert email.finding.endswith(", and no live worker serves it")
    assert (email.remedy, sms.remedy) == ("outbox worker --channel email", "outbox worker --channel sms")
    type_(cloned_url, email.remedy, "--drain", "--config", str(file))
    assert finding(cloned_url, "channels").details["channel"] == "sms"


def test_what_is_for_later_or_in_somebodys_hands_needs_no_worker_now(cloned_url: str) -> None:
    rows(cloned_url, "INSERT INTO outbox.notifications (channel, recipient, run_at) "
                     "VALUES ('email', 'a@b.c', now() + interval '1 h'), ('sms', '+447700900001', now())")  # fmt: skip
    rows(cloned_url, "UPDATE outbox.queue SET worker = 1, leased_until = now() + interval '30 s' WHERE channel = 'sms'")
    assert status(cloned_url, "channels") == "ok"


def pause(url: str, scope: str, name: str, until: str = "NULL") -> None:
    rows(url, "INSERT INTO outbox.pauses (scope, name, reason, until) "
              f"VALUES ('{scope}', '{name}', 'they have an outage', {until})")  # fmt: skip


def test_a_channel_that_is_paused_is_named_with_the_reason(cloned_url: str) -> None:
    enter(cloned_url, "email")
    put(cloned_url, 1)
    assert status(cloned_url, "pauses") == status(cloned_url, "channels") == "ok"
    pause(cloned_url, "channel", "email")
    found = finding(cloned_url, "pauses")
    assert found.finding.startswith("the channel email has been paused for ")
    assert found.finding.endswith("until somebody resumes it: they have an outage")
    assert finding(cloned_url, "channels").finding.endswith("and the channel is paused")
    assert found.remedy == finding(cloned_url, "channels").remedy == "outbox resume email"
    assert status(cloned_url, "overdue") == "ok"


def test_a_channel_whose_providers_are_all_paused_is_named(tmp_path: Path, cloned_url: str) -> None:
    _, known = settings(tmp_path, cloned_url)
    enter(cloned_url, "email")
    put(cloned_url, 1)
    pause(cloned_url, "provider", "console")
    found = finding(cloned_url, "channels", known)
    assert found.finding.endswith("and all its providers are paused")
    assert found.remedy == finding(cloned_url, "pauses").remedy == "outbox resume provider:console"


def test_a_pause_that_is_over_is_none(cloned_url: str) -> None:
    pause(cloned_url, "channel", "email", "clock_timestamp() - interval '1 s'")
    assert status(cloned_url, "pauses") == "ok"


@pytest.mark.skipif("resume" not in run("", "--help").stdout, reason="nothing can be resumed yet")
def test_the_remedy_of_a_pause_resumes(cloned_url: str) -> None:
    pause(cloned_url, "channel", "email")
    type_(cloned_url, finding(cloned_url, "pauses").remedy)
    assert status(cloned_url, "pauses") == "ok"


async def test_a_worker_that_vanished_is_named_until_it_is_struck_off(cloned_url: str) -> None:
    rows(cloned_url, "INSERT INTO outbox.workers (pid, host, version, channels, seen_at) VALUES "
                     "(7, 'web1', '0.1.0', '{email,sms}', clock_timestamp() - interval '11 minutes')")  # fmt: skip
    found = finding(cloned_url, "vanished-workers")
    assert found.finding.endswith("(pid 7 on web1) was last seen 11m ago, and did not say goodbye")
    assert found.remedy == "outbox worker --channel email --channel sms"
    async with await psycopg.AsyncConnection.connect(cloned_url, autocommit=True) as conn:
        await sweep_workers(conn)
    assert status(cloned_url, "vanished-workers") == "ok"


def test_workers_of_two_versions_are_told_apart(cloned_url: str) -> None:
    enter(cloned_url, "email")
    assert status(cloned_url, "worker-versions") == "ok"
    rows(cloned_url, "INSERT INTO outbox.workers (pid, host, version, channels) VALUES (1, 'web2', '0.0.9', '{email}')")
    assert finding(cloned_url, "worker-versions").finding.startswith(
        "workers of different versions: 1 of 0.0.9 on web2; 1 of "
    )
    rows(cloned_url, "DELETE FROM outbox.workers WHERE version = '0.0.9'")
    assert status(cloned_url, "worker-versions") == "ok"


def report(url: str, clock: str, held: list[dict[str, object]]) -> None:
    """Write what a worker reports with its heartbeat, as databases have it from revision 0024 on."""
    rows(url, "ALTER TABLE outbox.workers ADD COLUMN IF NOT EXISTS report jsonb")
    rows(
        url,
        "UPDATE outbox.workers SET seen_at = clock_timestamp(), report = jsonb_build_object('held', %s::jsonb, "
        f"'clock', date_part('epoch', clock_timestamp()) + {clock})",
        json.dumps(held),
    )


@pytest.mark.parametrize(("ahead", "expected"), [(0, "ok"), (12, "warning"), (-90, "failure")])
def test_a_worker_whose_clock_is_wrong_is_named(cloned_url: str, ahead: int, expected: str) -> None:
    enter(cloned_url, "email")
    assert status(cloned_url, "worker-clocks") == "ok", "one that has not reported yet"
    report(cloned_url, str(ahead), [])
    assert status(cloned_url, "worker-clocks") == expected
    if expected != "ok":
        found = finding(cloned_url, "worker-clocks")
        assert f"{abs(ahead)}.0 s {'ahead of' if ahead > 0 else 'behind'} the database's" in found.finding


def test_a_provider_that_workers_hold_is_named(cloned_url: str) -> None:
    enter(cloned_url, "email")
    held = {"channel": "email", "provider": "ses", "class": "misconfigured", "code": "403", "held_for": 900.0}
    report(cloned_url, "0", [held])
    found = finding(cloned_url, "held-providers")
    assert found.status == "failure"
    assert found.finding == "ses, of email, has been held for 15m by 1 worker: misconfigured (403)"
    report(cloned_url, "0", [])
    assert status(cloned_url, "held-providers") == "ok"
