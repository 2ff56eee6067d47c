"""Who takes part: the systems, how each is called, and how much of a measure a slow one is given."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from benchmarks import node

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Contender:
    """One system.

    `counts` are jobs by measure where the usual number would take much longer than ten seconds; `refill` is the command
    that keeps its queue full, where that is not its driver.
    """

    name: str
    title: str
    command: tuple[str, ...]
    broker: Literal["postgres", "redis", "rabbitmq"] = "postgres"
    refill: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    takes_keys: bool = False

    @property
    def is_node(self) -> bool:
        """Whether its driver is run by Node."""
        return self.command[0] == "node"


def _python(module: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"benchmarks.systems.{module}")


def _node(file: str) -> tuple[str, ...]:
    return ("node", str(node.FOLDER / file))


OUTBOX = "outbox"
LIMITS = "limits"
CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender(OUTBOX, "outbox", _python("outbox"), takes_keys=True),
        Contender("pgqueuer", "PgQueuer", _python("pgqueuer"), takes_keys=True),
        Contender("graphile", "Graphile Worker", _node("graphile.mjs"), refill=_python("graphile"), takes_keys=True),
        Contender("pgboss", "pg-boss", _node("pgboss.mjs"), takes_keys=True),
        Contender(
            "procrastinate",
            "Procrastinate",
            _python("procrastinate"),
            counts={"bulk": 50_000, "drain": 3_000, "sleep": 4_000},
            takes_keys=True,
        ),
        Contender(
            "bullmq",
            "BullMQ + Redis",
            _node("bullmq.mjs"),
            "redis",
            counts={"bulk": 50_000, "drain": 50_000, "sleep": 25_000},
            takes_keys=True,
        ),
        Contender(
            "celery",
            "Celery + RabbitMQ",
            _python("celery"),
            "rabbitmq",
            counts={"bulk": 10_000, "drain": 10_000, "sleep": 5_000},
        ),
        Contender(LIMITS, "PostgreSQL itself", _python("limits")),
    )
}
