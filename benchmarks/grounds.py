"""What the systems stand on: the PostgreSQL of the run, and each broker from its first cell on."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Self

from benchmarks.brokers import RabbitMQ, Redis
from benchmarks.errors import Absent
from benchmarks.processes import call
from benchmarks.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.brokers import Broker
    from benchmarks.cell import Ground
    from benchmarks.contenders import Contender

_SETUP = 60.0  # seconds
_KINDS: dict[str, type[Redis | RabbitMQ]] = {"redis": Redis, "rabbitmq": RabbitMQ}


class Grounds:
    """All of them, for as long as the `with` block lasts."""

    def __init__(self, *, statements: bool = False) -> None:
        self.tells_statements = statements
        self.server = Server(statements=statements)
        self._brokers: dict[str, Broker | str] = {}

    def __enter__(self) -> Self:
        """Start PostgreSQL."""
        self._stack = ExitStack()
        self._stack.enter_context(self.server)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything."""
        self._stack.close()

    @contextmanager
    def prepared(self, contender: Contender) -> Iterator[Ground]:
        """Yield a system's ground, set up and with nothing on it. Raises `Absent` where it cannot be had."""

        def setup(url: str) -> None:
            call([*contender.command, "setup", "--url", url], limit=_SETUP)

        if contender.broker == "postgres":
            with self.server.database(contender.name, setup) as database:
                yield database
        else:
            broker = self._broker(contender.broker)
            broker.empty()
            setup(broker.url)
            yield broker

    def _broker(self, kind: str) -> Broker:
        known = self._brokers.get(kind)
        if known is None:
            try:
                known = self._stack.enter_context(_KINDS[kind]())
            except Absent as absent:
                known = str(absent)
            self._brokers[kind] = known
        if isinstance(known, str):
            raise Absent(known)
        return known
