"""wire: what lies between us and the database: clocks that differ, a pooler, notifications that never arrive."""

from __future__ import annotations

import secrets
import threading
import time
from typing import TYPE_CHECKING, Any, Literal

import psycopg
from psycopg import sql

from outbox.doctor.finding import Check, either, ok, warning
from outbox.silence import cut

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.doctor.finding import Finding
    from outbox.doctor.patient import Patient

_CLOCK = "SELECT date_part('epoch', clock_timestamp()) AS seconds"
_AGAIN = 3
_APART, _FAR_APART = 2.0, 30.0


def look_at_clock(patient: Patient) -> Iterator[Finding]:
    """Compare the clock of this machine with the database's, as exactly as the network lets us."""
    skew, doubt = min((_skew(patient) for _ in range(_AGAIN)), key=lambda each: each[1])
    details: dict[str, Any] = {"skew_seconds": round(skew, 3), "doubt_seconds": round(doubt, 3)}
    if abs(skew) > _APART + doubt:
        way = "behind" if skew > 0 else "ahead of"
        problem = f"this machine's clock is {abs(skew):.1f} s {way} the database's"
        yield either(abs(skew) > _FAR_APART, problem, "timedatectl set-ntp true", **details)
    else:
        yield ok(f"this machine and the database agree to {max(abs(skew), doubt) * 1000:.0f} ms", **details)


def _skew(patient: Patient) -> tuple[float, float]:
    """Return how many seconds the database is ahead of us, and by how many that may be wrong."""
    before, began = time.time(), time.monotonic()
    there = patient.ask_one(_CLOCK).seconds
    half = (time.monotonic() - began) / 2
    return there - before - half, half


_LISTEN_FOR = 1.0
_LISTEN = "LISTEN outbox_doctor"
_NOTIFY = "SELECT pg_notify('outbox_doctor', %s)"
_DIRECTLY = "give workers a URL that leads to the server itself: OUTBOX_DATABASE_URL=postgresql://user@server:5432/name"


def look_at_listen(patient: Patient) -> Iterator[Finding]:
    """Send a notification around: a pooler may accept LISTEN, and deliver nothing.

    By a second connection, and this one sends nothing meanwhile, as a worker's own test does: where both come to the
    same server, a statement of ours would be answered with the notification.
    """
    token = secrets.token_hex(8)
    with patient.another() as listener, patient.another() as other:
        listener.execute(_LISTEN)
        began = time.monotonic()
        other.execute(_NOTIFY, [token])
        heard = any(notice.payload == token for notice in listener.notifies(timeout=_LISTEN_FOR, stop_after=1))
        took = time.monotonic() - began
        if not heard:
            listener.execute("UNLISTEN outbox_doctor")  # as a rule on the same server, which somebody else uses next
    if heard:
        yield ok(f"a notification came back after {took * 1000:.0f} ms", milliseconds=round(took * 1000, 1))
    else:
        poll = patient.config.worker.idle_poll
        problem = f"LISTEN is accepted and nothing is heard, through a pooler as a rule: workers poll every {poll:g} s"
        yield warning(problem, _DIRECTLY)


_PID = "SELECT pg_backend_pid()"
_NO_OTHER_SERVER = 1.0


def look_at_pooler(patient: Patient) -> Iterator[Finding]:
    """Find out whether a pooler stands between, and whether it takes the server away between two transactions."""
    with patient.another() as conn:
        if _pid(conn) == conn.info.backend_pid:
            yield ok("there is no pooler in between")
            return
        keeps = _keeps_what_is_prepared(patient, conn)
    match keeps:
        case "own":
            yield ok("a pooler stands between, and leaves each connection its own server", mode="session")
        case "known":
            yield ok("a pooler shares servers between transactions, and knows prepared statements", mode="transaction")
        case "lost":
            problem = "a pooler shares servers between transactions, and loses prepared statements; workers make none"
            remedy = (
                "applications must prepare none either (psycopg: prepare_threshold=None, asyncpg: "
                "statement_cache_size=0); or set max_prepared_statements = 200 in pgbouncer.ini"
            )
            yield warning(problem, remedy, mode="transaction")


def _keeps_what_is_prepared(patient: Patient, conn: psycopg.Connection[Any]) -> Literal["own", "known", "lost"]:
    """Prepare a statement, have somebody else take the server, and run it on the next.

    By a name that nobody else has: the statement may stay behind on a server that others use.
    """
    name = f"outbox_doctor_{secrets.token_hex(8)}"
    ours = _pid(conn)
    conn.pgconn.prepare(name.encode(), _PID.encode())
    with patient.another() as other, other.transaction():
        if _pid(other) != ours:
            return "own"
        cannot_wait = threading.Timer(_NO_OTHER_SERVER, cut, [conn])  # where there is but one server for all
        cannot_wait.start()
        known = conn.pgconn.exec_prepared(name.encode(), []).status == psycopg.pq.ExecStatus.TUPLES_OK
        cannot_wait.cancel()
        if not known:
            other.execute(sql.SQL("DEALLOCATE {}").format(sql.Identifier(name)))
    return "known" if known else "lost"


def _pid(conn: psycopg.Connection[Any]) -> int:
    (pid,) = conn.execute(_PID, prepare=False).fetchall()[0]
    return int(pid)


CHECKS = (
    Check(
        "clock",
        "clocks of this machine and of the database that differ",
        "signatures of providers and webhooks are refused, links expire early, figures lie",
        "`timedatectl set-ntp true`",
        "the clocks agree",
        look_at_clock,
        needs="server",
    ),
    Check(
        "listen",
        "notifications of the database that are swallowed on the way, by a real round trip",
        "what is enqueued waits for the next poll, a second as a rule",
        "a URL for workers that leads to the server itself",
        "notifications arrive",
        look_at_listen,
        needs="connections",
    ),
    Check(
        "pooler",
        "a pooler in transaction mode, and whether it knows prepared statements",
        "drivers that prepare statements fail now and then, in `enqueue()` too",
        "`prepare_threshold=None` (psycopg), `statement_cache_size=0` (asyncpg), or `max_prepared_statements`",
        "there is no pooler in between",
        look_at_pooler,
        needs="connections",
    ),
)
