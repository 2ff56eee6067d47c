"""One PostgreSQL for the whole run, one migrated template database for each worker, and the databases made from it.

`OUTBOX_TEST_DATABASE_URL` names a running server to use instead, by a URL whose user may create databases.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg.conninfo import conninfo_to_dict
from pytest_postgresql import factories
from pytest_postgresql.janitor import DatabaseJanitor
from sqlalchemy.engine import make_url

from outbox.devdb import DevServerError, LocalPostgres
from outbox.migrate import upgrade

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from pytest_postgresql.executors import NoopExecutor

_SERVER = "OUTBOX_TEST_DATABASE_URL"

# A machine that is busy with other things fails no test, and whoever runs the tests twice gets the same answer twice.
# New examples are looked for by `pytest --hypothesis-profile=search`.
settings.register_profile("outbox", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", deadline=None)
settings.load_profile("outbox")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Say where the pictures of the dashboard go that the documentation has."""
    parser.addoption("--screenshots", metavar="DIR", help="write the dashboard's pictures there, such as docs/images")


def pytest_configure(config: pytest.Config) -> None:
    """Start the server, in the controller alone, whose workers inherit the variable; tell pytest-postgresql of it."""
    if _SERVER not in os.environ and not config.option.collectonly:
        server = LocalPostgres(durable=False)
        try:
            server.start()
        except DevServerError as error:
            raise pytest.UsageError(f"{error}; or set {_SERVER}") from error
        config.add_cleanup(server.stop)
        os.environ[_SERVER] = server.url
    where = conninfo_to_dict(_url_of("postgres")) if _SERVER in os.environ else {}
    for name in ("host", "port", "user", "password"):
        setattr(config.option, f"postgresql_{name}", where.get(name))
    config.option.postgresql_dbname = "outbox_test"
    config.option.postgresql_drop_test_database = True  # what a killed run left on a server that is not ours


def _url_of(database: str) -> str:
    url = make_url(os.environ[_SERVER]).set(drivername="postgresql", database=database)
    return url.render_as_string(hide_password=False)


def _migrate(*, dbname: str, **_: object) -> None:
    upgrade(_url_of(dbname))


migrated = factories.postgresql_noproc(load=[_migrate])


@contextmanager
def _database(server: NoopExecutor, purpose: str, template: str | None = None) -> Iterator[str]:
    """A database for as long as the block lasts, whoever is still connected at its end."""
    janitor = DatabaseJanitor(
        user=server.user,
        password=server.password,
        host=server.host,
        port=server.port,
        dbname=f"{server.dbname}_{purpose}",
        template_dbname=template,
    )
    janitor.drop()
    with janitor:
        yield _url_of(janitor.dbname)


@pytest.fixture
def cloned_url(migrated: NoopExecutor) -> Iterator[str]:
    """The URL of a migrated database of this test's own, for those that run workers, kill them or change the schema."""
    with _database(migrated, "clone", migrated.template_dbname) as url:
        yield url


@pytest.fixture
def empty_url(migrated: NoopExecutor) -> Iterator[str]:
    """The URL of an empty database of this test's own."""
    with _database(migrated, "empty") as url:
        yield url


@pytest.fixture(scope="session")
def _shared(migrated: NoopExecutor) -> Iterator[tuple[str, psycopg.Connection]]:
    with (
        _database(migrated, "shared", migrated.template_dbname) as url,
        psycopg.connect(url, autocommit=True, options="-c session_replication_role=replica -c lock_timeout=5s") as conn,
    ):
        yield url, conn


@pytest.fixture(scope="session")
def _sweep(_shared: tuple[str, psycopg.Connection]) -> str:
    """The statements that empty every table: of nearly empty ones in 0.5 ms, where TRUNCATE takes 28."""
    rows = _shared[1].execute("""
        SELECT format('DELETE FROM %s', oid::regclass) FROM pg_class
        WHERE relnamespace = 'outbox'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
          AND relname <> 'migrations'
    """)
    return "; ".join(row[0] for row in rows)


@pytest.fixture
def database_url(_shared: tuple[str, psycopg.Connection], _sweep: str) -> str:
    """The URL of this worker's migrated database, empty when a test begins; what the test leaves there is its own."""
    url, conn = _shared
    conn.execute(_sweep.encode())
    return url


@pytest.fixture
def conn(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection to `database_url`, in transactions."""
    with psycopg.connect(database_url) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
async def aconn(database_url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """A connection to `database_url`, asynchronous, in transactions."""
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        yield connection
        await connection.rollback()
