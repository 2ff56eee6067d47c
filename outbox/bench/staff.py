"""The processes of a measurement: clients that stay, and workers that come for one shift."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from outbox.bench.lines import Helper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outbox.bench.plan import Plan
    from outbox.children import Children

_STARTS = 60.0  # seconds that a process has to start, on a machine that is busy with other things
_ENDS = 30.0


class Staff:
    """Starts them, asks them, and has their answers."""

    def __init__(self, url: str, plan: Plan, children: Children) -> None:
        self._url = url
        self._plan = plan
        self._children = children
        self._workers = 0
        self._clients = [Helper(children, f"client {n + 1}", "outbox.bench.client") for n in range(plan.clients)]
        for each in self._clients:
            each.ask(url=url)
        for each in self._clients:
            each.answer(_STARTS)

    def ask(self, action: str, *, clients: int = 1, limit: float, **what: Any) -> list[dict[str, Any]]:
        """Have so many clients do something at once, and return what they say."""
        asked = self._clients[:clients]
        for each in asked:
            each.ask(action=action, **what)
        return [each.answer(limit + _ENDS) for each in asked]

    def hire(self, channel: str, count: int, *, drain: bool, limit: float) -> Sequence[Helper]:
        """Return so many workers that are about to begin."""
        hired = []
        for _ in range(count):
            self._workers += 1
            hired.append(Helper(self._children, f"worker {self._workers}", "outbox.bench.worker"))
        for each in hired:
            each.ask(url=self._url, channel=channel, concurrency=self._plan.concurrency, drain=drain, limit=limit)
        for each in hired:
            each.answer(_STARTS)
        return hired

    def begin(self, workers: Sequence[Helper]) -> None:
        """Let them begin; return when each is at work."""
        for each in workers:
            each.ask(go=True)
        for each in workers:
            each.answer(_STARTS)

    def results(self, workers: Sequence[Helper], limit: float) -> list[dict[str, Any]]:
        """Wait for their ends, and return what they say of their work."""
        answers = [each.answer(limit + _ENDS) for each in workers]
        for each in workers:
            each.close()
            each.child.process.wait(_ENDS)
        return answers

    def dismiss(self, workers: Sequence[Helper]) -> None:
        """Ask them to stop."""
        for each in workers:
            each.child.process.send_signal(signal.SIGTERM)

    def leave(self) -> None:
        """Tell the clients that there is nothing more to do."""
        for each in self._clients:
            each.close()
