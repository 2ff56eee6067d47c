"""A worker process as `outbox worker` makes it, with a provider that costs nothing; it tells what it settled when."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outbox import config
from outbox.bench import provider
from outbox.bench.lines import Asker
from outbox.errors import OutboxError
from outbox.events import Settled, WorkerStarted
from outbox.worker import process

if TYPE_CHECKING:
    from outbox.events import Event


def main() -> None:
    """Get ready, work when told to, and say how it went."""
    asker = Asker(sys.argv[1:])
    if (begin := asker.hear()) is None:
        return
    channel: str = begin["channel"]
    settings = config.load(
        Path(os.devnull),
        environ={},
        overrides={
            "database.url": begin["url"],
            "worker.concurrency": begin["concurrency"],
            f"channels.{channel}.providers": [provider.__name__],
        },
    )
    provider.begun.wanted = not begin["drain"]
    asker.say(ready=True)
    if asker.hear() is None:
        return
    end = threading.Timer(begin["limit"], os.kill, [os.getpid(), signal.SIGTERM])
    end.daemon = True
    end.start()
    settled: list[tuple[float, int, float]] = []

    def listen(event: Event) -> None:
        if isinstance(event, Settled):
            settled.append((time.monotonic(), event.count, time.process_time()))
        elif isinstance(event, WorkerStarted):
            asker.say(started=True)

    try:
        process.run(settings, [channel], listen, levels=range(10), drain=begin["drain"])
    except OutboxError as error:
        asker.say(error=str(error))
    else:
        asker.say(**_result(settled))


def _result(settled: list[tuple[float, int, float]]) -> dict[str, Any]:
    begun = provider.begun
    return {"settled": settled, "begun": list(zip(begun.numbers, begun.moments, strict=True))}


if __name__ == "__main__":
    main()
