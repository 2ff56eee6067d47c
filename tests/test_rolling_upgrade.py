"""An upgrade while everything goes on: the migration first, then workers of two versions beside each other."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psycopg
import pytest

import outbox
from outbox import revisions
from outbox.migrate import head, upgrade
from outbox.queue.revision import find_revision
from tests.command_line import run_process
from tests.fleet import Fleet
from tests.hands import enqueue, rows
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
ENQUEUE = """
import sys, outbox, psycopg
with psycopg.connect(sys.argv[1]) as conn:
    message = {"channel": "email", "payload": {"subject": "Hello", "text": "Hi"}}
    recipients = [f"{sys.argv[2]}{number}@example.org" for number in range(int(sys.argv[3]))]
    outbox.enqueue_many(conn, [message | {"recipient": recipient} for recipient in recipients])
    for key in ("once", "more"):
        outbox.enqueue(conn, **message, recipient="ada@example.org", idempotency_key=key)
"""


def git(*arguments: str) -> bytes:
    """What git says; the test is skipped where there is no history to ask."""
    program = shutil.which("git")
    done = (
        None if program is None else subprocess.run([program, *arguments], cwd=ROOT, capture_output=True, check=False)
    )
    if done is None or done.returncode:
        pytest.skip("the code before the newest migration is in git's history, which is not here")
    return done.stdout


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code as it was before the newest migration."""
    (newest,) = (ROOT / "migrations/versions").glob(f"{head()}_*.py")
    relative = str(newest.relative_to(ROOT))
    commit = git("log", "--diff-filter=A", "--format=%H", "-1", "--", relative).decode().strip()
    if not commit:
        pytest.skip("the newest migration is not committed yet")
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=io.BytesIO(git("archive", f"{commit}^"))) as archive:
        archive.extractall(folder, filter="data")
    assert not (folder / relative).exists()
    return folder


class Versions:
    """Worker processes of both versions, of one configuration, with one ledger."""

    def __init__(self, folder: Path, old: Path, url: str) -> None:
        self._folder, self._old, self._url = folder, old, url
        (folder / "shared").mkdir()
        shutil.copy(ROOT / "tests/ledger.py", folder / "shared/both.py")  # as it is now, for both
        (folder / "shared/__init__.py").touch()
        (folder / "outbox.toml").write_text(f"""
            [channels.email]
            providers = ["shared.both"]
            [providers."shared.both"]
            path = "{folder / "ledger"}"
            took = 0.02
            [worker]
            lease = "2s"
            idle_poll = "100ms"
            concurrency = 4
            prefetch = 4
        """)
        self.processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()

    def _run(self, *arguments: str, old: bool) -> subprocess.Popen[bytes]:
        environ = os.environ | {"OUTBOX_DATABASE_URL": self._url, "PYTHONPATH": str(self._folder)}
        with (self._folder / "log").open("ab") as log:
            place = self._old if old else ROOT
            return subprocess.Popen([sys.executable, *arguments], cwd=place, env=environ, stderr=log)

    def start(self, *, old: bool) -> tuple[subprocess.Popen[bytes], int]:
        """Start a worker; return it, and the id that it has registered under."""
        before = self._ids()
        arguments = ("-m", "outbox", "worker", "--channel", "email", "--config", str(self._folder / "outbox.toml"))
        process = self._run(*arguments, old=old)
        self.processes.append(process)
        (worker,) = wait_until(lambda: self._ids() - before, timeout=60)
        return process, worker

    def enqueue(self, name: str, count: int, *, old: bool) -> None:
        """Enqueue so many by that version's code, and two whose keys both versions use."""
        process = self._run("-c", ENQUEUE, self._url, name, str(count), old=old)
        assert process.wait(timeout=60) == 0, self.log()

    def _ids(self) -> set[int]:
        return {identity for (identity,) in rows(self._url, "SELECT id FROM outbox.workers")}

    def log(self) -> str:
        return (self._folder / "log").read_text()


def sent_by(url: str, worker: int) -> int:
    return int(rows(url, "SELECT count(*) FROM outbox.attempts WHERE worker = %s AND outcome = 'sent'", worker)[0][0])


@pytest.mark.timeout(300)
def test_workers_and_applications_of_the_version_before_go_on_beside_the_new_ones(
    empty_url: str, before: Path, tmp_path: Path
) -> None:
    upgrade(empty_url, revisions.known()[-2])
    with Versions(tmp_path, before, empty_url) as both:
        first_old, first = both.start(old=True)
        both.enqueue("before", 200, old=True)
        wait_until(lambda: sent_by(empty_url, first) > 20, timeout=30)
        upgrade(empty_url)
        first_new, second = both.start(old=False)
        both.enqueue("old", 300, old=True)
        both.enqueue("new", 300, old=False)
        wait_until(lambda: sent_by(empty_url, second) > 20, timeout=30)
        assert first_old.poll() is None, both.log()
        first_old.kill()
        _, third = both.start(old=True)
        both.enqueue("late", 100, old=True)
        wait_until(lambda: sent_by(empty_url, third) > 20, timeout=30)
        first_new.send_signal(signal.SIGTERM)
        assert first_new.wait(timeout=60) == 0, both.log()
        wait_until(lambda: rows(empty_url, "SELECT count(*) FROM outbox.queue") == [(0,)], timeout=60)
    ended = "SELECT count(*) FROM outbox.attempts a WHERE a.notification_id = n.id AND a.outcome = 'sent'"
    assert rows(empty_url, f"SELECT ({ended}), count(*) FROM outbox.notifications n GROUP BY 1") == [(1, 902)]
    assert rows(empty_url, "SELECT count(*) FROM outbox.dead_letters") == [(0,)]
    assert "ChoreFailed" not in both.log()


@pytest.fixture
def fleet(tmp_path: Path, cloned_url: str) -> Iterator[Fleet]:
    with Fleet(tmp_path, cloned_url) as made:
        yield made


def pretend(url: str, revision: str) -> None:
    """Have the database say that it has this revision."""
    with psycopg.connect(url) as conn:
        conn.execute("UPDATE outbox.migrations SET version_num = %s", [revision])


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_worker_that_is_newer_than_the_schema_says_what_to_do_and_ends(
    fleet: Fleet, cloned_url: str, processes: str
) -> None:
    older = revisions.known()[-2]
    pretend(cloned_url, older)
    process = fleet.start("--processes", processes)
    assert process.wait(timeout=60) == 1
    assert f"run `outbox migrate` (it has revision {older}, and this version of outbox needs {head()})" in fleet.log()
    assert "Traceback" not in fleet.log()
    assert rows(cloned_url, "SELECT count(*) FROM outbox.workers") == [(0,)]


def test_a_worker_that_is_older_than_the_schema_says_so_and_works(fleet: Fleet, cloned_url: str) -> None:
    pretend(cloned_url, "9999")
    enqueue(cloned_url, 3)
    assert fleet.start("--drain").wait(timeout=60) == 0
    assert f"schema (revision 9999) is newer than this version's ({head()})" in fleet.log()
    assert len(fleet.lines("sent")) == 3
    check = run_process(cloned_url, "migrate", "--check")
    assert check.returncode == 1
    assert "newer" in check.stderr


def test_an_application_that_is_newer_than_the_schema_is_told_so_and_nothing_is_lost(empty_url: str) -> None:
    upgrade(empty_url, revisions.known()[-2])
    message = {"channel": "email", "recipient": "ada@example.org", "payload": {"subject": "Hello", "text": "Hi"}}
    with psycopg.connect(empty_url) as conn:
        try:
            with conn.transaction():
                conn.execute("CREATE TABLE signups (name text)")
                outbox.enqueue_many(conn, [message])
        except outbox.NotMigrated as error:
            assert "run `outbox migrate`" in str(error)  # noqa: PT017 - whether it is raised depends on the migration
        there = conn.execute("SELECT to_regclass('signups') IS NOT NULL, count(*) FROM outbox.queue").fetchone()
    assert there in {(True, 1), (False, 0)}


async def test_a_role_that_may_not_read_the_revision_is_told_none(database_url: str) -> None:
    """As a worker's is until somebody runs `outbox roles --apply` of this version; it works without."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
        assert await find_revision(conn) == head()
        await conn.execute("SET ROLE pg_monitor")
        assert await find_revision(conn) is None


def test_the_names_of_the_files_tell_the_revisions_as_alembic_does() -> None:
    assert revisions.known()[-1] == head()
    assert len(revisions.known()) == int(head() or 0)
