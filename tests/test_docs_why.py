"""docs/why.md is right about what becomes of an order and its email when it goes wrong at the worst moment."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from tests.hands import rows

PAGE = (Path(__file__).parents[1] / "docs" / "why.md").read_text(encoding="utf-8")
ORDER = SimpleNamespace(number=42, email="ada@example.org")
COMMITS_FIRST = ("commit_then_send", "commit_then_publish")


class _KilledError(BaseException):
    """The process ends here."""


class _World:
    """A mail server and a broker, which remember what they were given; or the process is killed on the way there."""

    def __init__(self, *, killed: bool) -> None:
        self.given: list[Any] = []
        self._killed = killed

    def send_message(self, message: object) -> None:
        if self._killed:
            raise _KilledError
        self.given.append(message)

    def publish(self, _task: str, number: int) -> None:
        self.send_message(number)


@pytest.fixture
def ways() -> dict[str, Any]:
    found: dict[str, Any] = {"confirmation": lambda order: f"your order {order.number}"}
    for program in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        exec(program, found)  # noqa: S102 - our own page
    return found


@pytest.fixture
def orders(cloned_url: str) -> str:
    """A database in which a number that was taken is refused at the commit, and not before it."""
    rows(cloned_url, "CREATE TABLE orders (number bigint PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, email text)")
    return cloned_url


@pytest.mark.parametrize(
    ("way", "named"),
    [
        ("send_then_commit", "send, then commit"),
        ("commit_then_send", "commit, then send"),
        ("publish_then_commit", "publish, then commit"),
        ("commit_then_publish", "commit, then publish"),
    ],
)
def test_two_writes_come_apart_at_the_worst_moment(ways: dict[str, Any], orders: str, way: str, named: str) -> None:
    first = way in COMMITS_FIRST
    world = _World(killed=first)
    if not first:
        rows(orders, "INSERT INTO orders VALUES (42, 'somebody@example.org')")
    with psycopg.connect(orders) as conn, pytest.raises(_KilledError if first else psycopg.errors.UniqueViolation):
        ways[way](conn, world, ORDER)
    is_there = rows(orders, "SELECT count(*) FROM orders WHERE email = 'ada@example.org'") == [(1,)]
    said = re.search(rf"^\| {named} \| (\w+) \| (\w+)", PAGE, re.MULTILINE)
    assert said
    assert said.groups() == ("there" if is_there else "lost", "sent" if world.given else "lost")
    assert is_there != bool(world.given)


@pytest.mark.parametrize("refused", [True, False])
def test_one_write_does_not(ways: dict[str, Any], orders: str, *, refused: bool) -> None:
    if refused:
        rows(orders, "INSERT INTO orders VALUES (42, 'somebody@example.org')")
    with psycopg.connect(orders) as conn:
        if refused:
            with pytest.raises(psycopg.errors.UniqueViolation):
                ways["commit_both"](conn, ORDER)
        else:
            ways["commit_both"](conn, ORDER)
    placed = rows(orders, "SELECT count(*) FROM orders WHERE email = 'ada@example.org'")
    assert placed == rows(orders, "SELECT count(*) FROM outbox.notifications") == [(0 if refused else 1,)]
