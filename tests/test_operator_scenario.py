"""A night of an operator: a provider fails, the alert fires, every window says so, it recovers, and nothing is lost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.command_line import run_process
from tests.dashboard import configured, dashboard
from tests.fleet import Fleet
from tests.hands import enqueue, rows
from tests.test_prometheus import Prometheus, pytestmark, start
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [*pytestmark, pytest.mark.timeout(400)]

CONFIG = """
[channels.email]
providers = ["tests.switch"]
backoff = ["1s"]
[providers."tests.switch"]
path = "{switch}"
ledger = "{ledger}"
[worker]
lease = "2s"
idle_poll = "100ms"
"""


def told(url: str, *arguments: str) -> str:
    """What a command prints, that must not fail."""
    done = run_process(url, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_provider_fails_and_is_seen_and_recovers_and_nothing_is_lost(tmp_path: Path, cloned_url: str) -> None:
    switch, ledger = tmp_path / "switch", tmp_path / "ledger.switch"
    switch.write_text("up")
    ledger.touch()
    config = CONFIG.format(switch=switch, ledger=ledger)
    with (
        Fleet(tmp_path, cloned_url) as fleet,
        dashboard(configured(cloned_url)) as page,
    ):
        target = start(fleet, tmp_path, config)
        with Prometheus(tmp_path / "prometheus", target) as prometheus:
            ids = enqueue(cloned_url, 20)
            wait_until(lambda: states(cloned_url) == {"sent": 20}, timeout=60)
            wait_until(lambda: prometheus.alerts() == {}, timeout=60)  # at first, nothing has been scraped

            # It refuses what it is given, for some minutes, and is down then. The alert fires, and the breaker holds.
            switch.write_text("refusing")
            ids += enqueue(cloned_url, 30)
            wait_until(lambda: len(letters(cloned_url)) == 30, timeout=60)
            switch.write_text("down")
            ids += enqueue(cloned_url, 270)
            assert "tests.switch" in prometheus.fired("OutboxProviderHeld")["annotations"]["summary"]
            waiting = rows(cloned_url, "SELECT id FROM outbox.queue")
            assert len(waiting) == 270
            # The dashboard and top show it, and explain says why.
            wait_until(lambda: "tests.switch" in httpx.get(page, timeout=30).text, timeout=30)
            assert "tests.switch" in told(cloned_url, "top", "--once")
            why = told(cloned_url, "explain", str(waiting[0][0]))
            assert "tests.switch" in why, why
            assert "421" in why, why

            switch.write_text("up")

            # What was held drains; the dead letters of before are a group, replayed once five of them were sent.
            wait_until(lambda: states(cloned_url) == {"sent": 290, "dead": 30}, timeout=90)
            (group,) = json.loads(told(cloned_url, "dead-letters", "groups", "--json"))["groups"]
            assert (group["count"], group["error_code"]) == (30, "554")
            told(cloned_url, "dead-letters", "replay", "--group", group["id"], "--canary", "5", "--yes")
            wait_until(lambda: states(cloned_url) == {"sent": 320}, timeout=60)
            wait_until(lambda: "OutboxProviderHeld" not in prometheus.alerts(), timeout=60)

    assert sorted(ledger.read_text().split()) == sorted(map(str, ids))
    assert letters(cloned_url) == []
    assert "replay" in told(cloned_url, "audit")


def states(url: str) -> dict[str, int]:
    """How many notifications are in which state."""
    return dict(rows(url, "SELECT state, count(*) FROM outbox.status GROUP BY state"))


def letters(url: str) -> list[tuple[object, ...]]:
    """The open dead letters."""
    return rows(url, "SELECT notification_id FROM outbox.dead_letters WHERE resolution IS NULL")
