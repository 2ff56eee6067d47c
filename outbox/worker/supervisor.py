"""supervisor: several worker processes as one: started together, replaced when they die, stopped by one signal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, NoReturn

from outbox.events import ProcessDied, ProcessesStopping, ProcessUnable
from outbox.routine_events import ProcessDrained
from outbox.worker.tether import DONE, OVERTIME, SERVING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from outbox.events import Listener

_MISCONFIGURED = 2
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_HEALTHY = 60.0


def again() -> list[str]:
    """Return the command that started this process, with the interpreter's own options."""
    return [sys.executable, *sys.orig_argv[1:]]


def pauses() -> Iterator[float]:
    """Yield the seconds to wait before each new start of a process that dies and dies again."""
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * 2, _LONGEST_PAUSE)


class Child:
    """One worker process, and our end of its tether."""

    def __init__(self, number: int, process: asyncio.subprocess.Process, tether: socket.socket) -> None:
        self.number = number
        self.process = process
        self.words = b""
        self._tether = tether

    @classmethod
    async def start(cls, number: int, command: Sequence[str], attached: socket.socket | None = None) -> Child:
        """Start it, in a process group of its own: a Ctrl-C is meant for us, and would be a second signal to it."""
        ours, theirs = socket.socketpair()
        ours.settimeout(0)
        inherited = () if attached is None else (attached.fileno(),)
        options = [f"--attached={descriptor}" for descriptor in inherited]
        with theirs, attached or contextlib.nullcontext():
            try:
                process = await asyncio.create_subprocess_exec(
                    *command, *options, stdin=theirs.fileno(), pass_fds=inherited, process_group=0
                )
            except OSError:
                ours.close()
                raise
        return cls(number, process, ours)

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        code = self.process.returncode or 0
        return f"ended with exit code {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"

    @property
    def exit_code(self) -> int:
        """Its exit code as a shell has it: 128 and the signal for one that was killed."""
        code = self.process.returncode or 0
        return code if code >= 0 else 128 - code

    async def listen(self, serving: asyncio.Event) -> None:
        """Hear its words, until it ends."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionError):
            while word := await loop.sock_recv(self._tether, 1):
                self.words += word
                if word == SERVING:
                    serving.set()

    async def stop(self, reason: str, limit: float) -> None:
        """Tell it to stop, and wait until it has; after `limit` seconds it is killed.

        Not by a signal: a service manager may have sent one to every process already, and a second means "at once".
        """
        with contextlib.suppress(OSError):
            self._tether.send(reason.encode())
            self._tether.shutdown(socket.SHUT_WR)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self.process.wait()
        self.kill()
        await self.process.wait()

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    def close(self) -> None:
        """Let go of it."""
        self._tether.close()


class Supervisor:
    """Keeps `count` processes at work. `command` starts one; it is given `--member 2/4` besides."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        count: int,
        grace: float,
        drain: bool,
        listener: Listener,
        attach: Callable[[int], socket.socket] | None = None,
    ) -> None:
        """`attach` makes a socket for the process in a place to inherit; `--attached` tells it which that is."""
        self._command = command
        self._attach = attach
        self._count = count
        self._grace = grace
        self._drain = drain
        self._listener = listener
        self._children: dict[int, Child] = {}
        self._reason = ""
        self._stopping = asyncio.Event()
        self._serving = asyncio.Event()

    async def run(self) -> int:
        """Work until a signal, or until every process has drained; return the worst of their exit codes.

        The first process goes ahead, and the others follow when it serves: what is wrong with the configuration, or
        with the database, is said once, and ends everything with that process's exit code.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        first = asyncio.create_task(self._keep(1))
        ahead = asyncio.create_task(self._serving.wait())
        await asyncio.wait({first, ahead}, return_when=asyncio.FIRST_COMPLETED)
        ahead.cancel()
        others = range(2, self._count + 1) if self._serving.is_set() else ()
        return max(await asyncio.gather(first, *(self._keep(number) for number in others)))

    def _on_signal(self, number: signal.Signals) -> None:
        if self._stopping.is_set():
            self._end_at_once(number)
        self._stop(number.name)

    def _stop(self, reason: str) -> None:
        if not self._stopping.is_set():
            self._reason = reason
            self._stopping.set()
            if self._children:
                self._listener(ProcessesStopping(reason, len(self._children)))

    def _end_at_once(self, number: signal.Signals) -> NoReturn:
        for child in self._children.values():
            child.kill()
        os._exit(128 + number)

    async def _keep(self, number: int) -> int:
        """Keep one process at work in this place; return the exit code of the last."""
        code = 0
        next_pause = pauses()
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                child = await self._start(number)
            except OSError as error:  # the machine has no more processes, or no memory, for the moment
                ending = f"could not be started ({error.strerror})"
                await self._pause(ProcessDied(number, 0, ending, next(next_pause)))
                continue
            self._children[number] = child
            try:
                await self._attend(child)
            finally:
                del self._children[number]
                child.close()
            code = child.exit_code
            if self._stopping.is_set():
                break
            if self._drain and DONE in child.words:
                self._listener(ProcessDrained(number, child.process.pid))
                break
            if self._cannot_work(child):
                self._listener(ProcessUnable(number, child.process.pid, child.ending))
                self._stop(f"process {number} cannot work")
                break
            if time.monotonic() - started >= _HEALTHY:
                next_pause = pauses()
            code = 0
            await self._pause(ProcessDied(number, child.process.pid, child.ending, next(next_pause)))
        return code

    async def _start(self, number: int) -> Child:
        attached = None if self._attach is None else self._attach(number)
        return await Child.start(number, [*self._command, "--member", f"{number}/{self._count}"], attached)

    async def _attend(self, child: Child) -> None:
        """Wait until it has ended; when it is time, tell it to."""
        listening = asyncio.create_task(child.listen(self._serving))
        ended = asyncio.create_task(child.process.wait())
        told = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({ended, told}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            await child.stop(self._reason, self._grace + OVERTIME)
        await ended
        told.cancel()
        # What it said last is in the socket still; what it left running may keep the other end open.
        await asyncio.wait({listening}, timeout=1)
        listening.cancel()
        await asyncio.wait({listening})

    def _cannot_work(self, child: Child) -> bool:
        """Tell whether the next one would end in the same way: by a mistake in the configuration, or at the start."""
        code = child.process.returncode or 0
        return code == _MISCONFIGURED or (code > 0 and not self._serving.is_set())

    async def _pause(self, death: ProcessDied) -> None:
        self._listener(death)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(death.pause):
                await self._stopping.wait()
