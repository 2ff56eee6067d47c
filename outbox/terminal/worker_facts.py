"""What is told of a live worker in JSON, wherever workers are listed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outbox.queue.fleet import Worker
    from outbox.queue.inspect import LiveWorker


def worker_facts(worker: Worker | LiveWorker) -> dict[str, Any]:
    """Return which it is, what it serves, and for how long it has been there."""
    return {
        "id": worker.id,
        "host": worker.host,
        "pid": worker.pid,
        "version": worker.version,
        "channels": worker.channels,
        "idle": worker.idle,
        "started_at": worker.started_at,
        "up_seconds": worker.up,
        "seen_seconds": worker.seen,
    }
