from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import psycopg
import pytest

from outbox.doctor import locks
from tests.doctor.examined import becomes, finding, session, status, type_
from tests.hands import enqueue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

WANTS = "UPDATE outbox.queue SET attempt = attempt WHERE channel = 'email'"


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_LONG", 0.05)
    monkeypatch.setattr(locks, "_WAITS_LONG", 0.05)


@pytest.mark.parametrize(
    ("lock", "expected"),
    [("SELECT 1 FROM outbox.queue FOR UPDATE", "warning"), ("LOCK TABLE outbox.queue IN SHARE MODE", "failure")],
)
def test_who_holds_a_lock_and_is_idle_is_named_and_ended(cloned_url: str, lock: str, expected: Any) -> None:
    enqueue(cloned_url)
    assert status(cloned_url, "held-locks") == "ok"
    with session(cloned_url, lock, application_name="forgotten psql") as held:
        becomes(cloned_url, "held-locks", expected)
        found = finding(cloned_url, "held-locks")
        who = f"pid {held.info.backend_pid} (postgres, forgotten psql) has been idle in a transaction for "
        assert found.finding.startswith(who)
        assert "queue" in found.finding
        assert found.aside.startswith(lock.partition(" ")[0])
        type_(cloned_url, found.remedy)
        becomes(cloned_url, "held-locks", "ok")


def test_who_only_reads_holds_nothing_up(cloned_url: str) -> None:
    with session(cloned_url, "SELECT 1 FROM outbox.queue"):
        assert status(cloned_url, "held-locks") == "ok"


@pytest.fixture
def waiting(cloned_url: str) -> Iterator[list[int]]:
    """Somebody waits for a lock on the queue; the list is who holds it, as soon as somebody does."""
    done = threading.Event()

    def wait() -> None:
        with psycopg.connect(cloned_url, autocommit=True) as conn:
            conn.execute(WANTS)
        done.set()

    thread = threading.Thread(target=wait)
    enqueue(cloned_url)
    with session(cloned_url, "SELECT 1 FROM outbox.queue FOR UPDATE") as held:
        thread.start()
        yield [held.info.backend_pid]
    thread.join(timeout=10)
    assert done.is_set()


def test_who_waits_for_a_lock_is_named_with_who_holds_it(cloned_url: str, waiting: list[int]) -> None:
    becomes(cloned_url, "lock-waits", "warning")
    found = finding(cloned_url, "lock-waits")
    assert found.finding.endswith(f"for a lock that pid {waiting[0]} holds")
    assert found.aside == "UPDATE outbox.queue SET attempt = attempt WHERE channel = ?"
    type_(cloned_url, found.remedy)
    becomes(cloned_url, "lock-waits", "ok")


def test_a_locked_table_keeps_no_check_waiting(cloned_url: str) -> None:
    with session(cloned_url, "LOCK TABLE outbox.queue IN ACCESS EXCLUSIVE MODE"):
        found = finding(cloned_url, "overdue")
    assert (found.status, found.finding) == ("unknown", "could not be looked at: a table is locked")
    assert found.remedy == "outbox doctor --only held-locks"
    type_(cloned_url, found.remedy)
