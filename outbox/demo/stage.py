"""What the scenario acts with: starting processes, killing one, and waiting with an eye on everything."""

from __future__ import annotations

import signal
import socket
import time
from typing import TYPE_CHECKING, Any

from outbox.demo.ledger import LedgerReader
from outbox.demo.progress import look
from outbox.demo.site import LEASE
from outbox.demo.trouble import DemoError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg

    from outbox.children import Child, Children
    from outbox.demo.clients import Clients
    from outbox.demo.display import Display
    from outbox.demo.progress import Progress

_LOOK_EVERY = 0.1
_STOP_LIMIT = 20.0
_LAST_STATEMENT = 0.05  # for what a frozen worker has sent off to be done, so that the count is what it leaves behind


class Stage:
    """The processes of the demo and their surroundings. `conn` is in autocommit mode."""

    def __init__(self, conn: psycopg.Connection[Any], clients: Clients, children: Children, display: Display) -> None:
        self._conn = conn
        self._clients = clients
        self._children = children
        self._display = display
        self._workers: list[Child] = []
        self._killed: set[int] = set()
        path = children.folder / "ledger.jsonl"
        path.touch()
        self.ledger = LedgerReader(path)

    def open_mail_server(self, seed: int) -> int:
        """Start the mail server, and return its port. It takes connections at once: they wait until it is up."""
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
            arguments = [str(listening.fileno()), str(self._children.folder / "ledger.jsonl"), str(seed)]
            self._mail_server = self._children.start(
                "mail server", "outbox.demo.mailserver", arguments, descriptors=[listening.fileno()]
            )
            port: int = listening.getsockname()[1]
        self._display.tell(f"a mail server on port {port} delays, refuses and hangs up on some")
        return port

    def start_worker(self, configuration: Path) -> None:
        """Start one more worker, as people do."""
        name = f"worker {len(self._workers) + len(self._killed) + 1}"
        arguments = ["worker", "--channel", "email", "--config", str(configuration)]
        worker = self._children.start(name, "outbox", arguments)
        self._workers.append(worker)
        self._display.tell(f"{name} started (pid {worker.pid})")

    def wait(self, what: str, condition: Callable[[Progress], bool], limit: float) -> None:
        """Look ten times a second, and show what is seen, until the condition holds.

        Raises:
            DemoError: it took longer than `limit` seconds, or a process or a client failed meanwhile.
        """
        deadline = time.monotonic() + limit
        while not condition(now := self._look()):
            self._display.show(now, self._killed)
            self._clients.check()
            for child in (self._mail_server, *self._workers):
                child.check()
            if time.monotonic() > deadline:
                words = [f"{worker.name}: {worker.last_words()}" for worker in self._workers]
                raise DemoError("\n".join([f"waited {limit:g} s for {what}, in vain: {now}", *words]))
            time.sleep(_LOOK_EVERY)

    def kill_one(self, now: Progress) -> bool:
        """Kill the busiest worker with SIGKILL, if it has something in hand; tell whether it was killed."""
        busiest = max(now.workers, key=lambda worker: worker.in_hand)
        if not busiest.in_hand:
            return False
        victim = next(worker for worker in self._workers if worker.pid == busiest.pid)
        victim.process.send_signal(signal.SIGSTOP)  # so that it cannot finish while we count
        time.sleep(_LAST_STATEMENT)
        held = {worker.pid: worker.in_hand for worker in self._look().workers}[victim.pid]
        if not held:
            victim.process.send_signal(signal.SIGCONT)
            return False
        victim.process.kill()
        victim.process.wait()
        self._workers.remove(victim)
        self._killed.add(victim.pid)
        self._display.tell(
            f"{victim.name} killed (SIGKILL) with {held} in hand, due again when its lease of {LEASE:g} s ends",
            "bold red",
        )
        return True

    def close(self) -> None:
        """Stop the workers and then the mail server, in order.

        Raises:
            DemoError: one of them does not stop, or not well.
        """
        for child in (*self._workers, self._mail_server):
            child.stop(_STOP_LIMIT)
        self._display.tell("the workers and the mail server have stopped, in order")

    def _look(self) -> Progress:
        received = {entry.id for entry in self.ledger.catch_up() if entry.event == "accepted"}
        known = self._clients.application
        committed = len(known.committed)
        return look(self._conn, tried=committed + len(known.rolled_back), committed=committed, accepted=len(received))
