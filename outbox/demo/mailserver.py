"""An SMTP server on loopback that misbehaves as mail servers do, and writes down what it really received.

`python -m outbox.demo.mailserver SOCKET LEDGER SEED` serves the listening socket with that file descriptor, until
SIGTERM. It is a process of its own, so that its record depends on nothing else of the demo.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from pathlib import Path

from outbox.demo.ledger import LedgerWriter
from outbox.demo.session import House, HungUp, Session

# A client that went away or is silent, that sends a line without an end; and the end of this server.
_ENDS = (OSError, EOFError, asyncio.LimitOverrunError, asyncio.CancelledError)


class MailServer:
    """Accepts mail for everybody, one session a connection."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._sessions: set[asyncio.Task[None]] = set()

    async def serve(self, listening: socket.socket, stop: asyncio.Event) -> None:
        """Serve connections until told to stop."""
        server = await asyncio.start_server(self._session, sock=listening)
        await stop.wait()
        server.close()
        for session in self._sessions:
            session.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._sessions.add(task)
            task.add_done_callback(self._sessions.discard)
        try:
            await Session(self._house, reader, writer).run()
        except (HungUp, *_ENDS):
            writer.transport.abort()  # not close(), which would be polite and wait


async def _serve(descriptor: int, ledger: Path, seed: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    writer = LedgerWriter(ledger)
    try:
        await MailServer(House(writer, seed)).serve(socket.socket(fileno=descriptor), stop)
    finally:
        writer.close()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
