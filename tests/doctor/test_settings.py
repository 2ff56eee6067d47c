from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import psycopg
import pytest

from outbox.devdb import LocalPostgres
from tests.doctor.examined import becomes, database, finding, findings, status, type_
from tests.hands import rows

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def durable() -> Iterator[str]:
    """A server whose settings nobody shares."""
    with LocalPostgres(settings={"max_connections": "20"}) as server:
        yield server.url


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_a_server_that_does_not_wait_for_its_disk_is_ill(durable: str, setting: str) -> None:
    assert status(durable, "durability") == "ok"
    type_(durable, f"ALTER SYSTEM SET {setting} = off; SELECT pg_reload_conf()")
    becomes(durable, "durability", "failure")
    found = finding(durable, "durability")
    assert found.finding.startswith(f"{setting} is off: a crash of the machine may")
    type_(durable, found.remedy)
    becomes(durable, "durability", "ok")


def test_what_was_given_at_the_start_of_the_server_is_not_to_be_altered(cloned_url: str) -> None:
    ((fsync, source),) = rows(cloned_url, "SELECT setting, source FROM pg_settings WHERE name = 'fsync'")
    if (fsync, source) != ("off", "command line"):
        pytest.skip("the server of the tests was started otherwise")
    assert findings(cloned_url, "durability")[0].remedy == "start the server without -c fsync=off"


@pytest.mark.parametrize(
    ("made", "setting"),
    [
        ("ALTER DATABASE {database} SET synchronous_commit = off", "synchronous_commit"),
        ("ALTER ROLE {role} SET synchronous_commit = off", "synchronous_commit"),
        ("ALTER ROLE {role} IN DATABASE {database} SET synchronous_commit = off", "synchronous_commit"),
    ],
)
def test_commits_that_do_not_wait_are_warned_of_and_mended_where_that_was_said(
    durable: str, made: str, setting: str
) -> None:
    type_(durable, made.format(database="postgres", role="postgres"))
    found = finding(durable, "durability")
    assert found.finding.startswith(f"{setting} is off")
    type_(durable, found.remedy)
    assert status(durable, "durability") == "ok"


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("statement_timeout", "5s", "statement_timeout is 5 s, which cuts workers off, for postgres"),
        ("lock_timeout", "100ms", "lock_timeout is 0.1 s, which cuts workers off, for postgres"),
        ("idle_in_transaction_session_timeout", "1s", "idle_in_transaction_session_timeout is 1 s, which cuts"),
        ("idle_session_timeout", "10s", "idle_session_timeout is 10 s, which cuts workers off, for postgres"),
        ("default_transaction_isolation", "serializable", "default_transaction_isolation is serializable"),
    ],
)
def test_a_setting_that_workers_run_into_is_named(cloned_url: str, setting: str, value: str, words: str) -> None:
    assert status(cloned_url, "timeouts") == "ok"
    type_(cloned_url, f"ALTER DATABASE {database(cloned_url)} SET {setting} = '{value}'")
    found = finding(cloned_url, "timeouts")
    assert (found.status, found.finding[: len(words)]) == ("warning", words)
    type_(cloned_url, found.remedy)
    assert status(cloned_url, "timeouts") == "ok"


def test_generous_timeouts_are_no_trouble(cloned_url: str) -> None:
    for setting in ("statement_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"):
        type_(cloned_url, f"ALTER DATABASE {database(cloned_url)} SET {setting} = '5min'")
    assert status(cloned_url, "timeouts") == "ok"


def test_the_role_of_a_worker_that_is_connected_is_looked_at_as_well(cloned_url: str) -> None:
    role = f"t{secrets.token_hex(4)}"
    type_(cloned_url, f"CREATE ROLE {role} LOGIN; ALTER ROLE {role} SET statement_timeout = '3s'")
    try:
        with psycopg.connect(cloned_url, user=role, application_name="outbox claim"):
            found = finding(cloned_url, "timeouts")
            assert found.finding == (
                f"statement_timeout is 3 s, which cuts workers off, for {role}, as whom workers are connected"
            )
            type_(cloned_url, found.remedy)
            assert status(cloned_url, "timeouts") == "ok"
    finally:
        type_(cloned_url, f"DROP ROLE {role}")


@pytest.mark.parametrize(("table", "expected"), [("queue", "failure"), ("suppressions", "warning")])
def test_autovacuum_that_is_turned_off_for_a_table_is_turned_on_again(
    cloned_url: str, table: str, expected: str
) -> None:
    assert status(cloned_url, "autovacuum") == "ok"
    type_(cloned_url, f"ALTER TABLE outbox.{table} SET (autovacuum_enabled = false)")
    found = finding(cloned_url, "autovacuum")
    assert (found.status, found.finding) == (expected, f"autovacuum is turned off for outbox.{table}")
    type_(cloned_url, found.remedy)
    assert status(cloned_url, "autovacuum") == "ok"


@pytest.mark.parametrize("setting", ["autovacuum", "track_counts"])
def test_a_server_without_autovacuum_is_ill(durable: str, setting: str) -> None:
    from tests.command_line import run  # noqa: PLC0415

    assert run(durable, "migrate").exit_code == 0
    type_(durable, f"ALTER SYSTEM SET {setting} = off; SELECT pg_reload_conf()")
    becomes(durable, "autovacuum", "failure")
    type_(durable, finding(durable, "autovacuum").remedy)
    becomes(durable, "autovacuum", "ok")
