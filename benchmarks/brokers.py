"""The brokers of the rivals that need one, each on the loopback interface, as durable as it can be, with its costs."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from benchmarks import debian
from benchmarks.errors import Failed
from benchmarks.server import Cost, cpu_of, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ERL = """#!/bin/sh
export ROOTDIR='{erlang}' BINDIR='{programs}' EMU=beam PROGNAME=erl
exec '{programs}/erlexec' "$@"
"""
_STARTING = 60.0  # seconds
_STOPPING = 10.0


class Broker:
    """A broker for as long as the `with` block lasts: a process group of its own, in a folder of its own."""

    def __init__(self) -> None:
        self.port = free_port()
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        """Start it, and return when it answers. Raises `Absent` where it cannot be installed."""
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        self.folder = Path(self._folder.name)
        try:
            self.start()
            self._wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it, and remove what it has written."""
        for process in reversed(self._started):
            for number in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_STOPPING)
                    break
        self._folder.cleanup()

    @property
    def url(self) -> str:
        """Its URL."""
        raise NotImplementedError

    def start(self) -> None:
        """Launch what it consists of."""
        raise NotImplementedError

    def empty(self) -> None:
        """Forget everything."""
        raise NotImplementedError

    def launch(self, command: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        """Start a process of it."""
        with (self.folder / "log").open("ab") as log:
            self._started.append(
                subprocess.Popen(
                    command,
                    cwd=self.folder,
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    process_group=0,
                )
            )

    def say(self, words: bytes) -> bytes:
        """Send words to it, and return the beginning of its answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=_STARTING) as connection:
            connection.sendall(words)
            return connection.recv(1_000)

    def cost(self) -> Cost:
        """Return its CPU time; it has neither WAL nor dead tuples."""
        return Cost(sum(cpu_of(process.pid) for process in self._started))

    def analyze(self) -> None:
        """It plans nothing."""

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _STARTING
        while all(process.poll() is None for process in self._started) and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            time.sleep(0.1)
        raise Failed(f"{type(self).__name__} did not start: {(self.folder / 'log').read_text(errors='replace')[-500:]}")


class Redis(Broker):
    """Redis that has written to disk what it has acknowledged, as PostgreSQL has."""

    @property
    def url(self) -> str:
        """Its URL."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Launch it, with a log that is synced before each answer."""
        program = debian.find("redis-server", "redis-server")
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.folder),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self.launch([program.path, *arguments], program.environment)

    def empty(self) -> None:
        """Forget everything."""
        if not self.say(b"FLUSHALL\r\n").startswith(b"+OK"):
            raise Failed("Redis does not forget")


class RabbitMQ(Broker):
    """RabbitMQ; what it acknowledges to a publisher of persistent messages is on disk."""

    @property
    def url(self) -> str:
        """Its URL."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def start(self) -> None:
        """Launch it, and the port mapper that Erlang wants, where nobody else's is met."""
        program = debian.find("rabbitmq-server", "rabbitmq-server")
        mapper_port = free_port()
        (self.folder / "plugins").write_text("[].\n", encoding="utf-8")
        environment = program.environment | {
            "HOME": str(self.folder),
            "ERL_EPMD_PORT": str(mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": "bench@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }
        erlang = program.root / "usr/lib/erlang"
        mapper = next(erlang.glob("erts-*/bin/epmd"))
        environment["PATH"] = f"{self._own_erl(erlang, mapper.parent)}:{environment['PATH']}"
        self.launch([mapper, "-address", "127.0.0.1", "-port", str(mapper_port)], environment)
        (server,) = (program.root / "usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server")
        self.launch([server], environment)

    def _own_erl(self, erlang: Path, programs: Path) -> Path:
        """Write the script that starts Erlang, and return its folder: Debian's own knows one place only."""
        script = self.folder / "bin" / "erl"
        script.parent.mkdir()
        script.write_text(_ERL.format(erlang=erlang, programs=programs), encoding="utf-8")
        script.chmod(0o755)
        return script.parent

    def empty(self) -> None:
        """Leave it to the driver's setup, which deletes its queue."""
