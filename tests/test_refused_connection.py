"""A database that will never let us in ends a worker at its start; one that is merely not there yet is waited for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from outbox.database import refuses
from outbox.devdb import LocalPostgres
from outbox.migrate import upgrade
from tests.fleet import Fleet
from tests.hands import enqueue, rows
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

HBA = "local all locked scram-sha-256\nlocal all barred reject\nlocal all all trust\n"


@pytest.fixture(scope="module")
def server() -> Iterator[LocalPostgres]:
    """A server that asks one user for a password, lets another in nowhere, and a third not into this database."""
    with LocalPostgres(durable=False) as made:
        upgrade(made.url)
        with psycopg.connect(made.url, autocommit=True) as conn:
            conn.execute("CREATE ROLE locked LOGIN PASSWORD 'right'; CREATE ROLE barred LOGIN; CREATE ROLE idle")
            conn.execute("CREATE ROLE outsider LOGIN")
            conn.execute("CREATE DATABASE private")
            conn.execute("REVOKE CONNECT ON DATABASE private FROM PUBLIC")
            ((path,),) = conn.execute("SHOW hba_file").fetchall()
            Path(path).write_text(HBA)
            conn.execute("SELECT pg_reload_conf()")
        yield made


def url(server: LocalPostgres, user: str, database: str = "postgres") -> str:
    return server.url_of(database).replace("postgres@", f"{user}@")


REFUSED = {
    "there is no such database": ("postgres", "nothing", 'database "nothing" does not exist'),
    "there is no such role": ("nobody", "postgres", 'role "nobody" does not exist'),
    "the role may not log in": ("idle", "postgres", 'role "idle" is not permitted to log in'),
    "the password is wrong": ("locked:wrong", "postgres", "password authentication failed"),
    "there is no password": ("locked", "postgres", "no password supplied"),
    "the server's rules reject it": ("barred", "postgres", "pg_hba.conf"),
    "the database is not for it": ("outsider", "private", 'permission denied for database "private"'),
}


@pytest.mark.parametrize(("user", "database", "words"), REFUSED.values(), ids=REFUSED)
def test_what_no_waiting_mends_is_told_from_what_may_pass(
    server: LocalPostgres, user: str, database: str, words: str
) -> None:
    with pytest.raises(psycopg.OperationalError, match=words) as caught:
        psycopg.connect(url(server, user, database))
    assert refuses(caught.value)


@pytest.mark.parametrize(
    "words",
    [
        'connection to server at "db" (10.0.0.1), port 5432 failed: Connection refused',
        "FATAL:  the database system is starting up",
        "FATAL:  sorry, too many clients already",
        "FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute",
        'FATAL:  database "app" is not currently accepting connections',
        "FATAL:  server login has been failing, try again later (server_login_retry)",
    ],
)
def test_trouble_that_may_pass_is_no_refusal(words: str) -> None:
    assert not refuses(psycopg.OperationalError(f"connection failed: {words}"))


@pytest.mark.parametrize("arguments", [(), ("--processes", "2")], ids=["one process", "two processes"])
def test_a_worker_whose_database_does_not_exist_ends_with_the_exit_code_of_a_mistake(
    tmp_path: Path, server: LocalPostgres, arguments: tuple[str, ...]
) -> None:
    with Fleet(tmp_path, url(server, "postgres", "nothing")) as fleet:
        assert fleet.start(*arguments).wait(timeout=30) == 2
        assert fleet.log().count('database "nothing" does not exist') == 1
        assert "OUTBOX_DATABASE_URL" in fleet.log()


def test_a_worker_with_a_wrong_password_ends_and_does_not_show_it(tmp_path: Path, server: LocalPostgres) -> None:
    with Fleet(tmp_path, url(server, "locked:hunter2")) as fleet:
        assert fleet.start().wait(timeout=30) == 2
        assert 'password authentication failed for user "locked"' in fleet.log()
        assert "hunter2" not in fleet.log()


def test_a_server_that_is_not_up_yet_is_waited_for(tmp_path: Path, server: LocalPostgres) -> None:
    identities = enqueue(server.url, 3)
    socket = Path(server.host) / f".s.PGSQL.{server.port}"
    away = socket.rename(f"{socket}.away")
    with Fleet(tmp_path, server.url) as fleet:
        process = fleet.start("--drain")
        wait_until(lambda: "database (claim) away" in fleet.log(), timeout=20)
        away.rename(socket)
        assert process.wait(timeout=30) == 0, fleet.log()
        assert sorted(fleet.lines("sent")) == sorted(map(str, identities))


def test_a_password_that_changes_while_a_worker_runs_is_waited_for(tmp_path: Path, server: LocalPostgres) -> None:
    rows(server.url, "GRANT USAGE ON SCHEMA outbox TO locked; GRANT ALL ON ALL TABLES IN SCHEMA outbox TO locked")
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'locked'"
    with Fleet(tmp_path, url(server, "locked:right")) as fleet:
        process = fleet.start()
        wait_until(lambda: " serves email" in fleet.log(), timeout=20)
        try:
            rows(server.url, "ALTER ROLE locked PASSWORD 'other'")
            rows(server.url, cut)
            wait_until(lambda: "database (claim) away" in fleet.log(), timeout=20)
        finally:
            rows(server.url, "ALTER ROLE locked PASSWORD 'right'")
        (identity,) = enqueue(server.url)
        wait_until(lambda: fleet.lines("sent") == [str(identity)], timeout=20)
        process.terminate()
        assert process.wait(timeout=20) == 0, fleet.log()
