"""What a client does when it is asked to: each takes its time in a loop, and returns how long each turn took.

Turns are in microseconds, everything else in seconds; `cpu` is what this process has spent.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeAlias

from outbox.queue.enqueue import enqueue
from outbox.queue.enqueue_many import enqueue_many

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import psycopg

    Connection: TypeAlias = psycopg.Connection[Any]
    Answer: TypeAlias = dict[str, Any]

_WARM_UP = 10  # turns that do not count: what is prepared after five, and read into memory by the first
_CHUNK = 2_500  # notifications a transaction
_WRITE = "INSERT INTO outbox_bench.floor (words) VALUES (%s)"
_WORDS = "x" * 240


def notification(channel: str, number: int) -> dict[str, Any]:
    """Return a notification with about 300 bytes of JSON."""
    payload = {"n": number, "name": "Ada Lovelace", "text": _WORDS}
    return {"channel": channel, "recipient": "ada@example.org", "payload": payload}


def look(conn: Connection, *, seconds: float) -> Answer:
    """Ask for `SELECT 1`, each in a round trip of its own."""
    conn.autocommit = True
    try:
        return _turns(lambda _: conn.execute("SELECT 1"), seconds)
    finally:
        conn.autocommit = False


def write(conn: Connection, *, seconds: float) -> Answer:
    """Insert one small row in a transaction of its own: BEGIN, INSERT, COMMIT; `commits` are the COMMITs."""
    commits: list[int] = []

    def turn(_: int) -> None:
        conn.execute(_WRITE, [_WORDS])
        began = time.perf_counter_ns()
        conn.commit()
        commits.append((time.perf_counter_ns() - began) // 1_000)

    return _turns(turn, seconds) | {"commits": commits[_WARM_UP:]}


def enqueue_one(conn: Connection, *, channel: str, seconds: float) -> Answer:
    """Enqueue one notification in a transaction of its own: BEGIN, enqueue, COMMIT."""

    def turn(number: int) -> None:
        enqueue(conn, **notification(channel, number))
        conn.commit()

    return _turns(turn, seconds)


def enqueue_bulk(conn: Connection, *, channel: str, count: int, within: float) -> Answer:
    """Enqueue many, in transactions of 2,500, until `count` are there or the time is over."""
    began, cpu = time.monotonic(), time.process_time()
    done = 0
    while done < count and time.monotonic() - began < within:
        size = min(_CHUNK, count - done)
        enqueue_many(conn, [notification(channel, number) for number in range(done, done + size)])
        conn.commit()
        done += size
    return {"count": done, "seconds": time.monotonic() - began, "cpu": time.process_time() - cpu}


def enqueue_steadily(conn: Connection, *, channel: str, rate: float, seconds: float) -> Answer:
    """Enqueue at an even pace; `committed` is when each COMMIT had returned, by the monotonic clock."""
    for number in range(_WARM_UP):
        enqueue(conn, **notification(f"{channel}_before", number))
        conn.commit()
    committed: list[float] = []
    late = 0
    began, cpu = time.monotonic(), time.process_time()
    for number in range(max(int(rate * seconds), 1)):
        early = began + number / rate - time.monotonic()
        if early > 0:
            time.sleep(early)
        late += early < -1 / rate
        enqueue(conn, **notification(channel, number))
        conn.commit()
        committed.append(time.monotonic())
    return {
        "committed": committed,
        "late": late,
        "seconds": time.monotonic() - began,
        "cpu": time.process_time() - cpu,
    }


def _turns(turn: Callable[[int], object], seconds: float) -> Answer:
    for number in range(_WARM_UP):
        turn(number)
    took: list[int] = []
    began, cpu = time.monotonic(), time.process_time()
    end = began + seconds
    before = time.perf_counter_ns()
    while not took or time.monotonic() < end:
        turn(len(took))
        now = time.perf_counter_ns()
        took.append((now - before) // 1_000)
        before = now
    return {"turns": took, "seconds": time.monotonic() - began, "cpu": time.process_time() - cpu}


ACTIONS: Mapping[str, Callable[..., Answer]] = {
    "look": look,
    "write": write,
    "enqueue-one": enqueue_one,
    "enqueue-bulk": enqueue_bulk,
    "enqueue-steadily": enqueue_steadily,
}
