from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.devdb import LocalPostgres
from outbox.doctor import vacuum
from tests.command_line import run
from tests.doctor.examined import becomes, finding, findings, status, type_
from tests.hands import rows
from tests.waiting import wait_until

if TYPE_CHECKING:
    import pytest

MANY = """
INSERT INTO outbox.notifications (channel, recipient) SELECT 'email', n || '@example.org' FROM generate_series(1, {n}) n
"""


def fill(url: str, number: int) -> None:
    """Enqueue so many, where autovacuum does nothing about them before we have looked."""
    rows(url, "ALTER TABLE outbox.queue SET (autovacuum_enabled = off)")
    rows(url, MANY.format(n=number))


def test_many_dead_rows_are_seen_until_they_are_vacuumed(cloned_url: str) -> None:
    assert status(cloned_url, "dead-rows") == "ok"
    fill(cloned_url, 25_000)
    rows(cloned_url, "DELETE FROM outbox.queue")
    becomes(cloned_url, "dead-rows", "warning")
    found = finding(cloned_url, "dead-rows")
    assert found.finding.startswith("outbox.queue has 25,000 dead rows to 0 live ones, and has never been vacuumed")
    assert found.details == {"table": "outbox.queue", "dead": 25_000, "live": 0}
    type_(cloned_url, found.remedy)
    becomes(cloned_url, "dead-rows", "ok")


def test_autovacuum_workers_that_are_all_busy_are_told_of() -> None:
    slow = {"autovacuum_max_workers": "1", "autovacuum_naptime": "1s", "autovacuum_vacuum_cost_delay": "100ms"}
    settings = slow | {"autovacuum_vacuum_cost_limit": "1", "autovacuum_vacuum_threshold": "10"}
    with LocalPostgres(durable=False, settings=settings) as server:
        assert run(server.url, "migrate").exit_code == 0
        rows(server.url, "CREATE TABLE large AS SELECT n FROM generate_series(1, 50000) n; DELETE FROM large")
        wait_until(lambda: status(server.url, "dead-rows") == "warning", timeout=30)
        found = finding(server.url, "dead-rows")
        assert found.finding.startswith("all 1 autovacuum workers are busy")
        type_(server.url, found.remedy)


def test_a_table_and_indexes_that_are_much_larger_than_their_rows_need_are_seen(
    cloned_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vacuum, "_SMALL", 256 * 1024)
    fill(cloned_url, 20_000)
    rows(cloned_url, "DELETE FROM outbox.queue")
    becomes(cloned_url, "bloat", "warning")
    table, indexes = findings(cloned_url, "bloat")
    assert table.finding.startswith("outbox.queue: ")
    assert indexes.finding.startswith("the indexes of outbox.queue: ")
    type_(cloned_url, "VACUUM outbox.queue")
    type_(cloned_url, indexes.remedy)
    type_(cloned_url, table.remedy)
    becomes(cloned_url, "bloat", "ok")


def test_a_large_table_that_was_never_analyzed_is_named(cloned_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vacuum, "_FEW", 500)
    assert status(cloned_url, "statistics") == "ok"
    fill(cloned_url, 1_000)
    becomes(cloned_url, "statistics", "warning")
    found = {one.details["table"]: one for one in findings(cloned_url, "statistics")}
    assert "outbox.queue" in found
    for one in found.values():
        type_(cloned_url, one.remedy)
    becomes(cloned_url, "statistics", "ok")
