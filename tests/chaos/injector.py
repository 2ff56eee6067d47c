"""Every place at which outbox talks to a database or a provider, found in its code, and a fault at any of them.

Temporal's idea: there is no list of places to keep, so no new one is forgotten.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import time
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

Fault = Literal["raises before", "raises after", "hangs", "twice", "is refused"]

_OUTBOX = Path(__file__).parents[2] / "outbox"
# What a notification's life goes through. The others read for people, make away with what is long over, import lists,
# run schedules, which are tried again by themselves (test_schedules.py kills one in the middle), declare topics, or are
# only in the lives of those that escalate or are throttled (test_escalation.py, test_throttle.py).
_ROOMS = ("database.py", "ask.py", "queue", "worker")
_APART = {
    *("dead_letters.py", "erase.py", "inspect.py", "retention.py", "story.py"),
    *("load.py", "load_preferences.py", "said.py"),
    *("fire.py", "scheduling.py", "gathered.py", "steps_of.py", "topics.py", "escalations.py"),
    *("escalate.py", "mark_read.py", "admit.py", "gather.py"),
    # What people look at and do: no worker does (but for pauses, whose reading test_pause.py lets fail).
    *(
        "audit.py",
        "canary.py",
        "contents.py",
        "deaths.py",
        "depths.py",
        "edit.py",
        "fleet.py",
        "follow.py",
        "reopen.py",
        "successor.py",
    ),
    "unheard.py",  # only while the loop stands still: test_lifeline.py
    *("letter_groups.py", "look_up.py", "pause.py", "paused.py", "resume.py", "samples.py", "stats.py", "measure.py"),
}
_FOR_A_REFUSAL = "DECLARED"  # what is read only to say what would have been right
# These run what others hand them: the place is where they do.
_CARRIERS = {str(_OUTBOX / name) for name in ("connections.py", "executors.py", "timeouts.py")}
_HANG = "SELECT pg_sleep(3600)"
_WATCHED = {"outbox claim", "outbox settle"}


class Site(NamedTuple):
    """One call: the file under outbox/, its lines there, and its words."""

    file: str
    first: int
    last: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.first}"


def all_sites() -> set[Site]:
    """Return every call that talks to a database or a provider."""
    rooms = [_OUTBOX / room for room in _ROOMS]
    files = [file for room in rooms for file in (room.rglob("*.py") if room.is_dir() else [room])]
    return {
        site
        for file in files
        if file.name not in _APART
        for site in _sites_of(str(file))
        if _FOR_A_REFUSAL not in site.text
    }


@cache
def _sites_of(file: str) -> frozenset[Site]:
    path = Path(file)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    name = str(path.relative_to(_OUTBOX))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _talks(node)]
    return frozenset(Site(name, node.lineno, node.end_lineno or node.lineno, ast.unparse(node)) for node in calls)


def _talks(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Attribute):
        return False
    owner = ast.unparse(call.func.value)
    match call.func.attr:
        case "execute" | "executemany" | "transaction":
            return True
        case "copy":
            return bool(call.args)
        case "connect":
            return owner.startswith("psycopg")
        case "notifies":
            return not owner.endswith("pgconn")  # that reads what has arrived
        case "run" | "arun":
            return owner == "connections"
        case "send":
            return owner == "provider"
    return False


class Injector:
    """Use it as `with injector.installed():`. `plan` has the faults to come: each strikes once."""

    def __init__(self) -> None:
        self.plan: dict[Site, Fault] = {}
        self.reached: set[Site] = set()

    def arrive(self) -> Fault | None:
        """Return what is to go wrong at the call of outbox's that leads here, if anything is."""
        frame = inspect.currentframe()
        while frame is not None:
            file = frame.f_code.co_filename
            if file.startswith(str(_OUTBOX)) and file not in _CARRIERS:
                return self._strike(file, frame.f_lineno)
            frame = frame.f_back
        return None

    def _strike(self, file: str, line: int) -> Fault | None:
        around = [site for site in _sites_of(file) if site.first <= line <= site.last]
        if not around:
            return None
        site = min(around, key=lambda site: site.last - site.first)
        self.reached.add(site)
        return self.plan.pop(site, None)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Put it between outbox and psycopg, as long as the block lasts."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(psycopg.Cursor, "execute", self._execute(psycopg.Cursor.execute))
            patch.setattr(psycopg.AsyncCursor, "execute", self._aexecute(psycopg.AsyncCursor.execute))
            patch.setattr(psycopg.Cursor, "copy", self._copy(psycopg.Cursor.copy))
            patch.setattr(psycopg.AsyncCursor, "copy", self._acopy(psycopg.AsyncCursor.copy))
            patch.setattr(psycopg, "connect", self._connect(psycopg.connect))
            patch.setattr(psycopg.AsyncConnection, "connect", self._aconnect(psycopg.AsyncConnection.connect))
            patch.setattr(psycopg.Connection, "transaction", self._transaction(psycopg.Connection.transaction))
            patch.setattr(
                psycopg.AsyncConnection, "transaction", self._atransaction(psycopg.AsyncConnection.transaction)
            )
            patch.setattr(psycopg.Connection, "notifies", self._notifies(psycopg.Connection.notifies))
            yield

    def _execute(self, true: Any) -> Any:
        def execute(cursor: Any, query: Any, *args: Any, **how: Any) -> Any:
            fault = self.arrive()
            _before(fault)
            if fault == "hangs":
                true(cursor, _HANG)
            if fault == "twice":
                true(cursor, query, *args, **how)
            result = true(cursor, query, *args, **how)
            _after(fault)
            return result

        return execute

    def _aexecute(self, true: Any) -> Any:
        async def execute(cursor: Any, query: Any, *args: Any, **how: Any) -> Any:
            fault = self.arrive()
            _before(fault)
            if fault == "hangs":
                await _hang(true, cursor)
            if fault == "twice":
                await true(cursor, query, *args, **how)
            result = await true(cursor, query, *args, **how)
            _after(fault)
            return result

        return execute

    def _copy(self, true: Any) -> Any:
        @contextmanager
        def copy(cursor: Any, query: Any, *args: Any, **how: Any) -> Iterator[Any]:
            fault = self.arrive()
            _before(fault)
            if fault == "hangs":
                cursor.execute(_HANG)
            with true(cursor, query, *args, **how) as copying:
                written = _remembered(copying)
                yield copying
            if fault == "twice":
                with true(cursor, query, *args, **how) as copying:
                    for some in written:
                        copying.write(some)
            _after(fault)

        return copy

    def _acopy(self, true: Any) -> Any:
        @asynccontextmanager
        async def copy(cursor: Any, query: Any, *args: Any, **how: Any) -> AsyncIterator[Any]:
            fault = self.arrive()
            _before(fault)
            if fault == "hangs":
                await cursor.execute(_HANG)
            async with true(cursor, query, *args, **how) as copying:
                written = _remembered(copying)
                yield copying
            if fault == "twice":
                async with true(cursor, query, *args, **how) as copying:
                    for some in written:
                        await copying.write(some)
            _after(fault)

        return copy

    def _connect(self, true: Any) -> Any:
        def connect(*args: Any, **how: Any) -> Any:
            fault = self.arrive()
            _before(fault)
            if fault == "hangs":  # as long as libpq lets it
                time.sleep(how["connect_timeout"])
                raise psycopg.errors.ConnectionTimeout("injected: connection timeout expired")
            conn = true(*args, **how)
            if fault in {"twice", "raises after"}:
                conn.close()
                _after(fault)
                conn = true(*args, **how)
            return conn

        return connect

    def _aconnect(self, true: Any) -> Any:
        async def connect(*args: Any, **how: Any) -> Any:
            fault = self.arrive()
            _before(fault)
            if fault == "hangs":
                await asyncio.Event().wait()
            conn = await true(*args, **how)
            if fault in {"twice", "raises after"}:
                await conn.close()
                _after(fault)
                conn = await true(*args, **how)
            return conn

        return connect

    def _transaction(self, true: Any) -> Any:
        @contextmanager
        def transaction(conn: Any, *args: Any, **how: Any) -> Iterator[Any]:
            fault = self.arrive()
            _before(fault)
            if fault == "hangs":
                conn.execute(_HANG)
            with true(conn, *args, **how) as begun:
                yield begun
            _after(fault)

        return transaction

    def _atransaction(self, true: Any) -> Any:
        @asynccontextmanager
        async def transaction(conn: Any, *args: Any, **how: Any) -> AsyncIterator[Any]:
            fault = self.arrive()
            _before(fault)
            if fault == "hangs":
                await conn.execute(_HANG)
            async with true(conn, *args, **how) as begun:
                yield begun
            _after(fault)

        return transaction

    def _notifies(self, true: Any) -> Any:
        def notifies(conn: Any, *, timeout: float | None = None, **how: Any) -> Iterator[Any]:
            fault = self.arrive()
            _before(fault)
            if fault == "hangs":  # a pooler that swallows them: nothing comes until the time is over
                time.sleep(timeout or 0.0)
                return
            yield from true(conn, timeout=timeout, **how)
            _after(fault)

        return notifies


def _remembered(copying: Any) -> list[Any]:
    """Return a list to which all that is written to a COPY is added."""
    written: list[Any] = []
    write = copying.write

    def remember(some: Any) -> Any:
        written.append(some)
        return write(some)

    copying.write = remember
    return written


def _before(fault: Fault | None) -> None:
    if fault == "raises before":
        raise psycopg.OperationalError("injected: the connection broke before it")
    if fault == "is refused":
        raise psycopg.errors.InsufficientPrivilege("injected: not allowed")


def _after(fault: Fault | None) -> None:
    if fault == "raises after":
        raise psycopg.OperationalError("injected: the connection broke after it")


async def _hang(true: Any, cursor: Any) -> None:
    """Hear nothing until the connection is cut; where nobody watches for that, until the server ends the statement."""
    conn = cursor.connection
    if conn.info.parameter_status("application_name") not in _WATCHED:
        await true(cursor, _HANG)
        return
    loop = asyncio.get_running_loop()
    heard = asyncio.Event()
    loop.add_reader(conn.fileno(), heard.set)
    try:
        await heard.wait()
    finally:
        loop.remove_reader(conn.fileno())
