"""`outbox bench`, run for real as people run it, on a server of its own; and killed in the middle."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from outbox.bench.ground import ground_beside, ground_here
from outbox.bench.leftovers import clear, mark
from outbox.bench.lines import Helper
from outbox.bench.place import is_near, look_at
from outbox.bench.plan import Plan
from outbox.bench.trouble import BenchError
from outbox.children import Children
from outbox.devdb import LocalPostgres
from outbox.migrate import upgrade
from outbox.scratch import create_database, drop_database, scratch_name, url_of
from tests.command_line import run, run_on_a_terminal
from tests.hands import enqueue, rows
from tests.test_docs import blocks
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parent.parent
TINY = ("--seconds", "1", "--notifications", "100", "--rounds", "1", "--clients", "2")
_OF_BENCH = "SELECT datname FROM pg_database WHERE datname LIKE 'outbox\\_bench\\_%'"
_CONNECTED = "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'outbox\\_bench\\_%'"


@pytest.fixture(scope="module")
def server() -> Iterator[LocalPostgres]:
    """A server that nobody else measures on, and looks for leftovers on."""
    with LocalPostgres(durable=False, settings={"max_connections": "60"}) as started:
        yield started


@pytest.fixture
def theirs(server: LocalPostgres) -> Iterator[str]:
    """The URL of an empty database of theirs."""
    name = scratch_name("theirs")
    create_database(server.url, name)
    yield url_of(server.url, name)
    drop_database(server.url, name)


@pytest.fixture
def guest(server: LocalPostgres, theirs: str) -> Iterator[Callable[[str], str]]:
    """Somebody who may not make databases, but schemas in theirs; makes their URLs of others'."""
    name = scratch_name("guest")
    (database,) = rows(theirs, "SELECT current_database()")[0]
    rows(theirs, f"CREATE ROLE {name} LOGIN; GRANT CREATE ON DATABASE {database} TO {name}")
    yield lambda url: url.replace(f"//{server.user}@", f"//{name}@")
    rows(theirs, f"DROP OWNED BY {name}; DROP ROLE {name}")


class Bench:
    """One run as people start it."""

    def __init__(self, folder: Path, url: str, *arguments: str) -> None:
        self.folder = folder
        self._log = folder.parent / "log"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OUTBOX_")}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "outbox", "bench", "--database-url", url, *arguments],
                cwd=ROOT,
                env=kept | {"TMPDIR": str(folder)},
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def log(self) -> str:
        return self._log.read_text()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    folder = tmp_path / "temporary"
    folder.mkdir()
    started: list[Bench] = []

    def start(url: str, *arguments: str) -> Bench:
        started.append(Bench(folder, url, *arguments))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


def _state(url: str) -> list[Any]:
    """What a run may not change: their rows, their workers, and how often anything was written."""
    rows(url, "SELECT pg_stat_force_next_flush()")
    return [
        rows(url, "SELECT count(*), max(id::text) FROM outbox.notifications"),
        rows(url, "SELECT * FROM outbox.queue ORDER BY id"),
        rows(url, "SELECT * FROM outbox.workers"),
        rows(url, "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables"),
    ]


def _plan(**changes: Any) -> Plan:
    given = {"seconds": 1.0, "notifications": 100, "clients": 2, "rounds": 1, "rate": 100.0} | changes
    return Plan(concurrency=200, provider=0.1, **given)


def _keys(value: Any, path: str = "") -> set[str]:
    if isinstance(value, dict) and path not in {"measured.server.settings", "verdict.facts"}:
        return {key for name, each in value.items() for key in _keys(each, f"{path}.{name}" if path else name)}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return {key for each in value for key in _keys(each, path)}
    return {path}


def test_it_measures_everything_and_leaves_theirs_alone(theirs: str) -> None:
    upgrade(theirs)
    enqueue(theirs, 3)
    before = _state(theirs)
    result = run(theirs, "bench", *TINY, "--json", "--provider", "250ms")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert _state(theirs) == before
    assert rows(theirs, _OF_BENCH) == []
    measured = document["measured"]
    assert measured["provider"] == 0.25
    assert [each["clients"] for each in measured["enqueueing"]] == [1, 2]
    assert [each["processes"] for each in measured["draining"]] == [1, 2]
    rates = [*measured["enqueueing"], measured["bulk"], *measured["draining"]]
    assert all(0 < each["per_second"]["low"] <= each["per_second"]["high"] for each in rates)
    assert 0 < measured["latency"]["p50"] <= measured["latency"]["p99"] <= measured["latency"]["longest"]
    assert sum(measured["latency"]["histogram"]) == measured["latency"]["arrived"] > 0
    assert measured["cost"]["wal_enqueue"] > 300, "the payload alone"
    assert measured["cost"]["table_bytes"] > 300
    assert measured["server"]["is_near"]
    assert not document["sound"], "one round says nothing of the next"
    assert "stays as it is" in result.stderr
    assert {re.sub(r"\.(middle|low|high)$", "", key) for key in _keys(document)} == _documented()


def _documented() -> set[str]:
    """The keys that the page has."""
    page = (ROOT / "docs" / "bench.md").read_text(encoding="utf-8")
    _, _, scripts = page.partition("## For scripts")
    return set(re.findall(r"^\| `([\w.]+)` \|", scripts, re.MULTILINE))


def test_who_may_make_no_database_is_told_so_and_measures_in_an_empty_one(
    theirs: str, guest: Callable[[str], str]
) -> None:
    refused = run(guest(theirs), "bench", *TINY)
    assert refused.exit_code == 1
    assert "CREATEDB; or name an empty database of yours by --database-url, with --here" in refused.stderr
    result = run(guest(theirs), "bench", *TINY, "--here")
    assert result.exit_code == 0, result.stderr
    assert "which has to be empty and will be so again" in result.stderr
    assert rows(theirs, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'outbox%'") == []
    assert "\x1b" not in result.stdout
    assert re.search(r"^enqueue, 2 clients +[\d,.]+/s", result.stdout, re.MULTILINE)
    assert re.search(r"^ +≤ \S+ m?s +#+ +\d+$", result.stdout, re.MULTILINE)
    assert re.search(r"^capacity  A second, this database takes about ", result.stdout, re.MULTILINE)


def test_the_page_shows_what_it_prints(server: LocalPostgres) -> None:
    command, _ = blocks("docs/bench.md", "bash")
    result = run(server.url, *shlex.split(command)[1:], *TINY[:-2])
    assert result.exit_code == 0, result.stderr
    table, paragraphs = blocks("docs/bench.md", "text")
    printed = [line for line in result.stdout.splitlines() if line]
    assert [_label(line) for line in printed[: len(table.splitlines())]] == [*map(_label, table.splitlines())]
    assert {"capacity", "enqueue"} <= {_label(line) for line in paragraphs.splitlines()}
    assert {"capacity", "enqueue"} <= {_label(line) for line in printed}


def _label(line: str) -> str:
    return line.partition("  ")[0]


def test_on_a_terminal_it_shows_a_bar_and_draws(server: LocalPostgres) -> None:
    code, seen = run_on_a_terminal(server.url, "bench", *TINY)
    assert code == 0, seen
    assert "round 1 of 1" in seen
    assert re.search(r"█+ +\d+", seen)


def test_a_database_with_an_outbox_or_with_anything_is_never_measured_in(theirs: str) -> None:
    upgrade(theirs)
    before = _state(theirs)
    result = run(theirs, "bench", *TINY, "--here")
    assert result.exit_code == 1
    assert "has a schema outbox, which bench leaves alone" in result.stderr
    assert _state(theirs) == before
    rows(theirs, "DROP SCHEMA outbox CASCADE; CREATE TABLE users ()")
    result = run(theirs, "bench", *TINY, "--here")
    assert result.exit_code == 1
    assert "is not empty, it has public.users" in result.stderr
    assert rows(theirs, "SELECT count(*) FROM users") == [(0,)]


def test_what_a_killed_run_left_in_a_given_database_is_told_and_left(theirs: str) -> None:
    with ground_here(theirs):
        assert "goes on, or was killed" in run(theirs, "bench", *TINY, "--here").stderr
    assert rows(theirs, "SELECT 1 FROM pg_namespace WHERE nspname LIKE 'outbox%'") == []
    rows(theirs, "CREATE SCHEMA outbox_bench; CREATE SCHEMA outbox")
    result = run(theirs, "bench", *TINY, "--here")
    assert result.exit_code == 1
    (remedy,) = re.findall(r"DROP SCHEMA [\w ,]+ CASCADE", result.stderr)
    rows(theirs, remedy)
    with ground_here(theirs) as url:
        assert rows(url, "SELECT count(*) FROM outbox.queue") == [(0,)]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_it_and_nothing_is_left(
    bench: Callable[..., Bench], server: LocalPostgres, number: signal.Signals, status: int
) -> None:
    going = bench(server.url, "--seconds", "600")
    wait_until(lambda: "round 1 of 3" in going.log(), timeout=60)
    assert len(rows(server.url, _OF_BENCH)) == 1
    going.process.send_signal(number)
    assert going.process.wait(timeout=30) == status, going.log()
    assert rows(server.url, _OF_BENCH) == []
    assert list(going.folder.iterdir()) == []


def test_what_its_sigkill_leaves_is_dropped_by_the_next_run(bench: Callable[..., Bench], server: LocalPostgres) -> None:
    going = bench(server.url, "--seconds", "600")
    wait_until(lambda: "round 1 of 3" in going.log(), timeout=60)
    ((name,),) = rows(server.url, _OF_BENCH)
    (found,) = clear(server.url)
    assert not found.dropped, "somebody is at work in it"
    assert "in use" in found.about
    going.process.kill()
    going.process.wait()
    wait_until(lambda: not list(going.folder.iterdir()), timeout=20)
    wait_until(lambda: rows(server.url, _CONNECTED) == [(0,)], timeout=20)
    result = run(server.url, "bench", *TINY, "--json")
    assert f"dropped the database {name}" in result.stderr
    assert rows(server.url, _OF_BENCH) == []


def test_what_is_not_ours_is_told_and_not_dropped(server: LocalPostgres, guest: Callable[[str], str]) -> None:
    unmarked, others = scratch_name("bench"), scratch_name("bench")
    for name in (unmarked, others):
        create_database(server.url, name)
    with psycopg.connect(url_of(server.url, others), autocommit=True) as conn:
        mark(conn)
    wait_until(lambda: rows(server.url, _CONNECTED) == [(0,)])
    try:
        told = {each.name: each for each in clear(guest(server.url))}
        assert not told[unmarked].dropped
        assert "not our mark" in told[unmarked].about
        assert not told[others].dropped
        assert "somebody else's" in told[others].about
        assert [each.dropped for each in clear(server.url) if each.name == others] == [True]
        with psycopg.connect(server.url, autocommit=True) as conn:
            conn.execute(told[unmarked].remedy.encode())
        assert rows(server.url, _OF_BENCH) == []
    finally:
        for name in (unmarked, others):
            drop_database(server.url, name)


def test_it_commits_as_their_database_does(theirs: str) -> None:
    (name,) = rows(theirs, "SELECT current_database()")[0]
    rows(theirs, f"ALTER DATABASE {name} SET synchronous_commit = off")
    with ground_beside(theirs, look_at(theirs)) as url:
        assert rows(url, "SELECT current_setting('synchronous_commit'), count(*) FROM outbox.queue") == [("off", 0)]


def test_too_few_connections_are_noticed_before_anything_is_done(server: LocalPostgres) -> None:
    result = run(server.url, "bench", "--clients", "64")
    assert result.exit_code == 1
    assert re.search(r"up to 73 connections, and the server has \d+ left of 60", result.stderr)


@pytest.mark.parametrize(
    ("host", "address", "near"),
    [
        ("/run/postgresql", "", True),
        ("", "", True),
        ("localhost", "", True),
        ("localhost", "127.0.0.1", True),
        ("db", "127.0.0.53", True),
        ("::1", "", True),
        ("10.0.0.7", "", False),
        ("db.example.org", "192.0.2.7", False),
        ("db.example.org", "", False),
        ("localhost", "192.0.2.7", False),
    ],
)
def test_what_is_on_this_machine_is_near(host: str, address: str, *, near: bool) -> None:
    assert is_near(host, address) is near


@contextlib.contextmanager
def _another_address(server: LocalPostgres) -> Iterator[str]:
    """The server's URL at an address of this machine that is not a loopback one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it finds the address that we would be seen by
        except OSError:
            pytest.skip("this machine has no address but the loopback's")
        address = probe.getsockname()[0]
    with socket.create_server((address, 0)) as listener:
        threading.Thread(target=_forward, args=(listener, f"{server.host}/.s.PGSQL.{server.port}"), daemon=True).start()
        yield f"postgresql://{server.user}@{address}:{listener.getsockname()[1]}/postgres"
        listener.shutdown(socket.SHUT_RDWR)


def _forward(listener: socket.socket, path: str) -> None:
    with contextlib.suppress(OSError):
        while True:
            here, _ = listener.accept()
            there = socket.socket(socket.AF_UNIX)
            there.connect(path)
            for one, other in ((here, there), (there, here)):
                threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(65_536):
            target.sendall(part)
        target.shutdown(socket.SHUT_WR)
    source.close()


def test_a_server_elsewhere_is_not_kept_busy_without_a_yes(server: LocalPostgres) -> None:
    with _another_address(server) as url:
        result = run(url, "bench", *TINY)
        assert result.exit_code == 2
        assert "is another machine, and there is nobody to ask: add --yes" in result.stderr
        code, seen = run_on_a_terminal(url, "bench", *TINY, answer="n\n")
        assert code == 1
        assert "busy for so long? [y/N]" in seen
        assert rows(server.url, _OF_BENCH) == []
        agreed = run(url, "bench", *TINY, "--json", "--yes")
        assert agreed.exit_code == 0, agreed.stderr
        assert not json.loads(agreed.stdout)["measured"]["server"]["is_near"]


@pytest.mark.parametrize("provider", ["soon", "2h"])
def test_a_provider_has_a_time_that_can_be_read(provider: str) -> None:
    result = run("postgresql://nowhere.invalid/app", "bench", "--provider", provider)
    assert result.exit_code == 2
    assert "--provider" in result.stderr


def test_a_client_that_cannot_connect_says_why(server: LocalPostgres) -> None:
    with Children("bench") as children:
        client = Helper(children, "client 7", "outbox.bench.client")
        client.ask(url=url_of(server.url, "nothing"))
        with pytest.raises(BenchError, match=r'client 7.*database "nothing" does not exist'):
            client.answer(60)


def test_a_process_that_ends_or_says_nothing_is_noticed() -> None:
    with Children("bench") as children:
        gone = Helper(children, "client 8", "outbox.nothing")
        with pytest.raises(BenchError, match=r"(?s)client 8 ended before it answered.*No module named"):
            gone.answer(60)
        silent = Helper(children, "client 9", "outbox.bench.client")
        with pytest.raises(BenchError, match="client 9 gave no answer"):
            silent.answer(0.1)


def test_what_it_announces_grows_with_what_is_asked() -> None:
    small, large = _plan(), _plan(seconds=30.0, notifications=10_000, clients=8, rounds=3)
    assert small.duration < large.duration
    assert small.wal < large.wal
    assert small.connections + 6 == large.connections
