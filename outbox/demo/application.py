"""The sample application: people sign up, and each is promised a welcome mail in the transaction that signs them up."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from outbox.queue.enqueue import enqueue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import psycopg

    from outbox.messages import Enqueued

T = TypeVar("T")

USERS = """
CREATE TABLE users (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email      text        NOT NULL UNIQUE,
    name       text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
)
"""

# A second try finds the user of the first, if there was one.
_INSERT = """
INSERT INTO users (email, name) VALUES (%s, %s)
ON CONFLICT (email) DO UPDATE SET email = excluded.email
RETURNING id
"""

_FIRST = ("Ada", "Alan", "Barbara", "Donald", "Edsger", "Frances", "Grace", "Hedy", "Jean", "Kathleen", "Margaret")
_LAST = ("Allen", "Dijkstra", "Hamilton", "Hopper", "Knuth", "Lamarr", "Lamport", "Liskov", "Lovelace", "Turing")
_DOMAINS = ("example.com", "example.net", "example.org")  # RFC 2606: these reach nobody
_PRIORITIES = {"urgent": 5, "normal": 80, "bulk": 15}  # in a hundred, here and below


class Ending(Enum):
    """How a signup's transaction ends."""

    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    CUT = "the connection breaks when the COMMIT is out, and nobody knows: the signup is repeated"


_ENDINGS = {Ending.COMMITTED: 90, Ending.ROLLED_BACK: 5, Ending.CUT: 5}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who signs up, and what will become of it."""

    email: str
    name: str
    priority: str
    ending: Ending


def people(count: int, seed: int) -> Iterator[Person]:
    """Yield this many people, the same for the same seed."""
    chance = random.Random(seed)
    for number in range(1, count + 1):
        first, last = chance.choice(_FIRST), chance.choice(_LAST)
        yield Person(
            email=f"{first}.{last}.{number}@{chance.choice(_DOMAINS)}".lower(),
            name=f"{first} {last}",
            priority=_drawn(chance, _PRIORITIES),
            ending=_drawn(chance, _ENDINGS),
        )


def _drawn(chance: random.Random, shares: Mapping[T, int]) -> T:
    return chance.choices(list(shares), list(shares.values()))[0]


def sign_up(conn: psycopg.Connection[Any], person: Person) -> Enqueued:
    """Sign a person up in the transaction that `conn` is in; both writes are committed with it, or neither."""
    (user,) = conn.execute(_INSERT, (person.email, person.name)).fetchone() or (None,)
    return enqueue(
        conn,
        channel="email",
        recipient=person.email,
        template="welcome",
        payload={"name": person.name, "user": user},
        priority=person.priority,
        idempotency_key=f"welcome:{user}",
    )
