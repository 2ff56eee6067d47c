from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from outbox.devdb import LocalPostgres, find_binaries
from outbox.doctor.server import known_bugs
from tests.doctor.examined import becomes, database, finding, findings, status, type_
from tests.hands import rows

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_it_says_where_it_is(database_url: str) -> None:
    (found,) = findings(database_url, "connection")
    assert found.status == "ok"
    assert found.finding.startswith(f"database {database(database_url)} as postgres, PostgreSQL 1")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (None, "no database is named"),
        ("postgresql://nobody@127.0.0.1:1/none", "connection failed"),
        ("postgresql://u:geheim@/x?prt=1", "cannot be understood"),
    ],
)
def test_a_database_that_cannot_be_reached_says_why_without_a_password(url: Any, words: str) -> None:
    found = finding(url, "connection")
    assert found.status == "failure"
    assert found.finding.startswith("the database cannot be reached: ")
    assert words in found.finding
    assert "geheim" not in found.finding
    assert findings(url, "overdue")[0].finding == "not looked at: there is no connection"


def test_a_database_that_may_only_be_read_is_made_writable_again(cloned_url: str) -> None:
    rows(cloned_url, f"ALTER DATABASE {database(cloned_url)} SET default_transaction_read_only = on")
    found = finding(cloned_url, "connection")
    assert found.finding == "postgres may only read here: default_transaction_read_only is on"
    type_(cloned_url, found.remedy)
    assert status(cloned_url, "connection") == "ok"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for a server that is stopped and started again; its account can reach it, if the tests run as root."""
    place = Path(tempfile.mkdtemp(prefix="outbox-"))
    place.chmod(0o755)
    yield place / "data"
    shutil.rmtree(place)


def test_a_standby_is_told_from_a_primary(folder: Path) -> None:
    with LocalPostgres(folder, durable=False):
        pass
    (folder / "standby.signal").touch(0o644)
    with LocalPostgres(folder, durable=False) as server:
        found = finding(server.url, "connection")
        assert found.finding.startswith("this is a standby (postgres as postgres)")
        rows(server.url, "SELECT pg_promote()")
        becomes(server.url, "connection", "ok")


@pytest.mark.parametrize(
    ("version", "bugs"),
    [(140_003, 2), (140_004, 1), (140_021, 0), (150_015, 1), (170_008, 0), (180_001, 1), (180_002, 0), (190_000, 0)],
)
def test_what_is_wrong_with_a_version_is_known_by_its_number(version: int, bugs: int) -> None:
    assert len(known_bugs(version)) == bugs


def test_the_version_of_this_server_is_judged_by_its_number(database_url: str) -> None:
    ((version,),) = rows(database_url, "SELECT CAST(current_setting('server_version_num') AS integer)")
    assert status(database_url, "version") == ("warning" if known_bugs(version) else "ok")


def test_connections_that_run_out_are_told_of_before_nobody_gets_one(cloned_url: str) -> None:
    assert status(cloned_url, "connections") == "ok"
    rows(cloned_url, f"ALTER DATABASE {database(cloned_url)} CONNECTION LIMIT 2")
    with psycopg.connect(cloned_url):
        found = finding(cloned_url, "connections")
        assert found.status == "failure"
        assert found.finding == "2 of 2 connections are taken, by the limit of the database: soon nobody gets one"
        type_(cloned_url, found.remedy)
        assert status(cloned_url, "connections") == "ok"


def test_a_server_whose_connections_run_out_is_given_more() -> None:
    with LocalPostgres(durable=False, settings={"max_connections": "9", "max_wal_senders": "0"}) as server:
        with psycopg.connect(server.url), psycopg.connect(server.url), psycopg.connect(server.url):
            assert status(server.url, "connections") == "ok"
            with psycopg.connect(server.url), psycopg.connect(server.url):
                found = finding(server.url, "connections")
        assert found.status == "failure"
        assert found.finding.startswith("6 of 6 connections are taken, by max_connections")
        type_(server.url, found.remedy)


def test_a_role_whose_connections_run_out_is_named(cloned_url: str) -> None:
    role = f"t{secrets.token_hex(4)}"
    type_(cloned_url, f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 2")
    url = f"{cloned_url}{'&' if '?' in cloned_url else '?'}user={role}"
    try:
        with psycopg.connect(url):
            found = finding(url, "connections")
            assert f"by the limit of {role}" in found.finding
            type_(cloned_url, found.remedy)
            assert status(url, "connections") == "ok"
    finally:
        type_(cloned_url, f"DROP ROLE {role}")


def test_a_sequence_near_its_end_is_started_anew(cloned_url: str) -> None:
    assert status(cloned_url, "sequences") == "ok"
    rows(cloned_url, "SELECT setval('outbox.workers_id_seq', 9223372036854775807 - 10)")
    found = finding(cloned_url, "sequences")
    assert (found.status, found.finding) == ("failure", "outbox.workers_id_seq is at 100% of what it can count to")
    type_(cloned_url, found.remedy)
    assert status(cloned_url, "sequences") == "ok"


def test_transaction_ids_that_come_to_their_end_are_made_young_again(folder: Path) -> None:
    with LocalPostgres(folder, durable=False) as server:
        assert status(server.url, "wraparound") == "ok"
    later, page = 0x2FF00000, "02FF"  # 804 million; pg_xact has a million to a file
    owner = folder.stat()
    as_owner: dict[str, Any] = (
        {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    )
    command: list[Any] = [find_binaries() / "pg_resetwal", "-f", "-x", str(later), "-D", folder]
    try:
        subprocess.run(command, check=True, capture_output=True, cwd="/", **as_owner)
    except PermissionError:
        pytest.skip("the server's account cannot run its programs where they are")
    (folder / "pg_xact" / page).write_bytes(bytes(256 * 1024))
    os.chown(folder / "pg_xact" / page, owner.st_uid, owner.st_gid)
    # Else the server is at it already, autovacuum or not.
    later_still = {"autovacuum": "off", "autovacuum_freeze_max_age": "2000000000"}
    with LocalPostgres(folder, durable=False, settings=later_still) as server:
        found = finding(server.url, "wraparound")
        assert found.status == "warning"
        assert found.details["transactions"] > 800_000_000
        type_(server.url, found.remedy)
        assert status(server.url, "wraparound") == "ok"
