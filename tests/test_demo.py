"""The demo, run for real as people run it: to its end, and to several early ends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy.engine import make_url

from outbox.children import ChildFailed, Children
from outbox.demo.application import Ending, people
from outbox.demo.database import database_on
from outbox.demo.trouble import DemoError
from tests.hands import rows
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parent.parent
STRAY = {  # what a shell may have exported, and no demo may obey
    "OUTBOX_DATABASE_URL": "postgresql://nobody@nowhere.invalid/production",
    "OUTBOX_PROVIDERS_SMTP_HOST": "mail.nowhere.invalid",
    "OUTBOX_CONFIG": "/nowhere/outbox.toml",
}


class Demo:
    """One demo as people start it, and all processes that come from it."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self._output = folder.parent / "output"
        self._log = folder.parent / "log"
        with self._output.open("wb") as output, self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "outbox", "demo", *arguments],
                cwd=ROOT,
                env=os.environ | STRAY | {"TMPDIR": str(folder)},
                stdout=output,
                stderr=log,
            )

    def log(self) -> str:
        return self._log.read_text()

    def output(self) -> str:
        return self._output.read_text()

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.output())
        return found

    def database(self) -> str:
        """The name of the database that it made for itself."""
        (configuration,) = self.folder.glob("*/outbox.toml")
        url = tomllib.loads(configuration.read_text())["database"]["url"]
        return str(make_url(url).database)

    def family(self) -> set[int]:
        """The process ids of all that descend from it."""
        parents = dict(_parents())
        found = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found - {self.process.pid}


def _parents() -> Iterator[tuple[int, int]]:
    for place in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = place.read_text().rpartition(") ")[2].split()[:2]
            if state != "Z":
                yield int(place.parent.name), int(parent)


def _exists(url: str, database: str) -> bool:
    return bool(rows(url, "SELECT 1 FROM pg_database WHERE datname = %s", database))


def _running(pids: set[int]) -> set[int]:
    return pids & dict(_parents()).keys()


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    folder = tmp_path / "temporary"
    folder.mkdir()
    started: list[Demo] = []

    def start(*arguments: str) -> Demo:
        started.append(Demo(folder, *arguments))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


def test_it_adds_up_and_leaves_nothing(demo: Callable[..., Demo], empty_url: str) -> None:
    run = demo("--signups", "300", "--json", "--database-url", empty_url)
    assert run.process.wait(timeout=80) == 0, run.log()
    report = run.report()
    figures = report["figures"]
    assert report["holds"]
    assert all(line["holds"] for line in report["lines"])
    assert figures["committed"] + figures["rolled_back"] == 300
    assert figures["committed"] == figures["users"] == figures["notifications"]
    assert figures["notifications"] == figures["delivered"] + figures["dead_letters"]
    assert figures["delivered"] == figures["received"]
    assert figures["rolled_back"] > 0
    assert figures["keys_refused"] > 0
    assert figures["lost"] == figures["rolled_back_sent"] == 0
    assert report["attempts"]["lost"] >= 1, "a worker was killed with mail in hand"
    assert re.search(r"worker \d killed \(SIGKILL\) with [1-9]", run.log())
    assert report["dead_letters"]["unreachable (550 5.1.1)"] >= 1
    assert 0 < report["latency_seconds"]["p50"] <= report["latency_seconds"]["p99"]
    assert list(run.folder.iterdir()) == []
    assert rows(empty_url, "SELECT 1 FROM pg_namespace WHERE nspname = 'outbox'") == [], "its own database, not this"


def test_nothing_of_it_survives_its_sigkill(demo: Callable[..., Demo]) -> None:
    run = demo("--signups", "300")
    wait_until(lambda: "people sign up" in run.output(), timeout=60)
    family = run.family()
    assert len(family) > 5, "PostgreSQL and its processes, the workers, the mail server, those who watch"
    run.process.kill()
    run.process.wait()
    wait_until(lambda: not _running(family), timeout=20)
    wait_until(lambda: not list(run.folder.iterdir()))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_and_cleans_up(
    demo: Callable[..., Demo], empty_url: str, number: signal.Signals, status: int
) -> None:
    run = demo("--signups", "300", "--database-url", empty_url)
    wait_until(lambda: "people sign up" in run.output(), timeout=60)
    family, database = run.family(), run.database()
    assert len(family) >= 4, "two workers, the mail server, and who watches over them"
    assert _exists(empty_url, database)
    run.process.send_signal(number)
    assert run.process.wait(timeout=20) == status, run.log()
    assert not _running(family)
    assert not _exists(empty_url, database)
    assert list(run.folder.iterdir()) == []


def test_what_is_kept_is_there_until_ctrl_c(demo: Callable[..., Demo]) -> None:
    run = demo("--signups", "100", "--keep")
    wait_until(lambda: "What to type next" in run.output(), timeout=80)
    found = re.search(r"OUTBOX_DATABASE_URL='(.+)'", run.output())
    assert found
    assert rows(found[1], "SELECT count(*) > 50 FROM outbox.notifications") == [(True,)]
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(timeout=20) == 0, run.log()
    assert list(run.folder.iterdir()) == []


@pytest.mark.parametrize("keep", [True, False])
def test_on_a_server_of_yours_it_has_a_database_of_its_own_and_keeps_it_if_asked(empty_url: str, *, keep: bool) -> None:
    with database_on(empty_url, keep=keep) as url:
        ((name,),) = rows(url, "SELECT current_database()")
        assert name == make_url(url).database != make_url(empty_url).database
    assert _exists(empty_url, name) is keep
    with psycopg.connect(empty_url, autocommit=True) as conn:
        conn.execute(f'DROP DATABASE IF EXISTS "{name}"'.encode())


def test_a_demo_that_fails_keeps_no_database(empty_url: str) -> None:
    with pytest.raises(DemoError), database_on(empty_url, keep=True) as url:
        raise DemoError
    assert not _exists(empty_url, str(make_url(url).database))


def test_a_database_that_the_query_of_the_url_names_is_left_alone(empty_url: str) -> None:
    other = f"{empty_url}{'&' if '?' in empty_url else '?'}dbname={make_url(empty_url).database}"
    with database_on(other, keep=False) as url:
        assert rows(url, "SELECT current_database() LIKE 'outbox_demo_%'") == [(True,)]


def test_a_user_who_may_not_create_databases_is_told_so(demo: Callable[..., Demo], empty_url: str) -> None:
    role = f"outbox_guest_{os.getpid()}"
    rows(empty_url, f"CREATE ROLE {role}")
    try:
        as_role = f"{empty_url}{'&' if '?' in empty_url else '?'}options=-c%20role%3D{role}"
        run = demo("--signups", "100", "--database-url", as_role)
        assert run.process.wait(timeout=30) == 1
        assert "give one with CREATEDB" in run.log()
    finally:
        rows(empty_url, f"DROP ROLE {role}")


def test_a_process_that_ends_before_its_time_is_noticed_with_its_last_words() -> None:
    with Children("demo") as children:
        child = children.start("worker 7", "outbox.nothing", [])
        child.process.wait(timeout=30)
        with pytest.raises(ChildFailed, match=r"(?s)worker 7 ended by itself.*No module named"):
            child.check()


def test_the_same_seed_brings_the_same_people() -> None:
    first, again, other = (list(people(500, seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert len({person.email for person in first}) == 500
    assert {person.ending for person in first} == set(Ending)
