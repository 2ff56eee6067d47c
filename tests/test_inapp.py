"""In-app notifications: in the inbox exactly once, by the settlement that says so, and read by the application."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import outbox
from outbox import Rejected, inbox
from outbox.channels import compose_for, load_provider
from outbox.config import ChannelConfig
from outbox.messages import InApp, Notification
from outbox.outcomes import Sent
from outbox.queue.deposit import deposit
from outbox.queue.settlement import Settlement
from outbox.render import Templates
from outbox.route import Route
from tests.hands import claim, enqueue, expire_leases, rows
from tests.kinds import KINDS, Async, opened
from tests.recorder import drain

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from outbox.queue.claim import Claimed

ADA = "user:1"
MESSAGE = {"title": "Shipped", "body": "It is on its way", "url": "/orders/42", "category": "orders", "data": {"n": 42}}


def put(url: str, count: int = 1, recipient: str = ADA, **given: Any) -> list[UUID]:
    return enqueue(url, count, channel="inapp", recipient=recipient, **{"payload": MESSAGE, **given})


def route(templates: Path) -> Route:
    compose = compose_for("inapp")
    return Route(
        channel="inapp",
        policy=ChannelConfig(providers=("inbox",)),
        compose=lambda notification: compose(notification, Templates(templates)),
        providers={"inbox": load_provider("inapp", "inbox", {})},
        listener=lambda _: None,
    )


async def settle(url: str, claimed: Claimed, worker: int = 1) -> bool:
    now = time.monotonic()
    outcome = Sent(provider="inbox", inbox=InApp(ADA, "Shipped"))
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        one = Settlement(claimed.key, claimed.claim, claimed.attempt, outcome, now, now)
        settled, _ = await deposit(conn, [one], worker=worker)
        return claimed.key in settled


async def test_a_worker_puts_it_into_the_inbox_and_settles_it(database_url: str, tmp_path: Path) -> None:
    (identity,) = put(database_url)
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute("LISTEN outbox_inbox")
        await drain(database_url, route(tmp_path))
        (heard,) = conn.notifies(timeout=5, stop_after=1)
        assert heard.payload == ADA
        (item,) = inbox.page(conn, recipient=ADA).items
    assert (item.id, item.title, item.body, item.url) == (identity, "Shipped", "It is on its way", "/orders/42")
    assert (item.category, item.data, item.seen_at, item.read_at) == ("orders", {"n": 42}, None, None)
    assert rows(database_url, "SELECT state, last_provider FROM outbox.status") == [("sent", "inbox")]


async def test_a_template_gives_title_and_body_and_the_payload_the_rest(database_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "shipped"
    folder.mkdir()
    (folder / "subject.txt").write_text("Order {{ data.n }} is on its way\n")
    (folder / "body.txt").write_text("See you soon")
    put(database_url, template="shipped")
    await drain(database_url, route(tmp_path))
    shown = rows(database_url, "SELECT title, body, url FROM outbox.inbox")
    assert shown == [("Order 42 is on its way", "See you soon", "/orders/42")]


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        ({}, "the title is missing"),
        ({"title": "  "}, "the title is missing"),
        ({"title": 1}, "title must be text, not int"),
        ({"title": "a", "data": []}, None),
        ({"title": "a", "data": [1]}, "data must be an object, not list"),
        ({"title": "a", "url": {}}, "url must be text, not dict"),
        ({"title": "a\0b"}, "has a U.0000 in it"),
    ],
)
def test_what_cannot_be_shown_is_refused(payload: dict[str, Any], problem: str | None, tmp_path: Path) -> None:
    notification = Notification(id=None, channel="inapp", recipient=ADA, payload=payload)  # type: ignore[arg-type]
    if problem is None:
        assert compose_for("inapp")(notification, Templates(tmp_path)).title == "a"
        return
    with pytest.raises(Rejected, match=problem):
        compose_for("inapp")(notification, Templates(tmp_path))


async def test_a_late_deposit_and_the_claim_that_took_over_make_one_item(database_url: str) -> None:
    put(database_url)
    (stale,) = await claim(database_url, channel="inapp", worker=1)
    expire_leases(database_url)
    (fresh,) = await claim(database_url, channel="inapp", worker=2)
    assert not await settle(database_url, stale, worker=1)
    assert rows(database_url, "SELECT claim, worker FROM outbox.queue") == [(2, 2)], "it is in the other's hands"
    assert rows(database_url, "SELECT count(*) FROM outbox.inbox") == [(0,)]
    assert await settle(database_url, fresh, worker=2)
    assert not await settle(database_url, fresh, worker=2), "again, after a lost acknowledgement"
    assert rows(database_url, "SELECT count(*) FROM outbox.inbox") == [(1,)]
    assert rows(database_url, "SELECT claim, outcome FROM outbox.attempts ORDER BY 1") == [(1, "lost"), (2, "sent")]


@pytest.mark.parametrize("how", ["cancelled", "erased"])
async def test_a_late_deposit_of_what_is_not_to_be_seen_any_more_is_none(database_url: str, how: str) -> None:
    (identity,) = put(database_url)
    (stale,) = await claim(database_url, channel="inapp")
    expire_leases(database_url)
    with psycopg.connect(database_url) as conn:
        if how == "cancelled":
            assert outbox.cancel(conn, id=identity).cancelled == 1
        else:
            assert outbox.erase(conn, recipient=ADA).notifications == 1
    assert not await settle(database_url, stale)
    assert rows(database_url, "SELECT count(*) FROM outbox.inbox") == [(0,)]


async def test_where_the_settlement_is_undone_so_is_the_item(database_url: str) -> None:
    put(database_url)
    (claimed,) = await claim(database_url, channel="inapp")
    now = time.monotonic()
    one = Settlement(claimed.key, 1, 0, Sent(provider="inbox", inbox=InApp(ADA, "Shipped")), now, now)
    async with await psycopg.AsyncConnection.connect(database_url) as conn:
        assert await deposit(conn, [one], worker=1) == ({claimed.key}, set())
        await conn.rollback()
    assert rows(database_url, "SELECT (SELECT count(*) FROM outbox.inbox), (SELECT count(*) FROM outbox.queue)") == [
        (0, 1)
    ]


@pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])
async def test_it_is_read_and_marked_on_every_kind_of_connection(kind: Any, database_url: str, tmp_path: Path) -> None:
    ids = put(database_url, 3)
    put(database_url, recipient="user:2")
    await drain(database_url, route(tmp_path))
    async with opened(kind, database_url) as transaction:
        conn, waits = transaction.conn, isinstance(transaction, Async)

        async def ask(name: str, *given: Any, **more: Any) -> Any:
            verb = getattr(inbox, f"a{name}" if waits else name)
            return await verb(conn, *given, **more) if waits else verb(conn, *given, **more)

        assert await ask("count", recipient=ADA) == (3, 3)
        assert await ask("mark", "seen", recipient=ADA) == 3
        assert await ask("mark", "read", recipient=ADA, ids=ids[:1]) == 1
        assert await ask("mark", "read", recipient="user:2", ids=ids) == 0, "of others"
        assert await ask("count", recipient=ADA) == (0, 2)
        first = await ask("page", recipient=ADA, limit=2)
        second = await ask("page", recipient=ADA, limit=2, after=first.next)
        assert {item.id for page in (first, second) for item in page.items} == set(ids)
        assert (len(first.items), len(second.items), second.next) == (2, 1, None)
        assert [item.id for item in (await ask("page", recipient=ADA, unread=True)).items if item.id == ids[0]] == []
        await transaction.rollback()
    assert rows(database_url, "SELECT count(*) FROM outbox.inbox WHERE seen_at IS NULL") == [(4,)]


def test_what_is_put_away_is_read_and_out_of_sight(database_url: str) -> None:
    fill(database_url, 2)
    with psycopg.connect(database_url) as conn:
        first, second = (item.id for item in inbox.page(conn, recipient=ADA).items)
        assert inbox.mark(conn, "archived", recipient=ADA, ids=[first]) == 1
        assert inbox.mark(conn, "archived", recipient=ADA, ids=[first]) == 0
        assert [item.id for item in inbox.page(conn, recipient=ADA).items] == [second]
        (away,) = inbox.page(conn, recipient=ADA, archived=True).items
        assert away.id == first
        assert away.seen_at is not None
        assert away.read_at is not None
        assert inbox.count(conn, recipient=ADA) == (1, 1)
        assert inbox.mark(conn, "unarchived", recipient=ADA) == 1
        assert inbox.mark(conn, "unread", recipient=ADA) == 1
        assert inbox.count(conn, recipient=ADA) == (1, 2)
        assert [item.category for item in inbox.page(conn, recipient=ADA, category="orders").items] == []


def test_pages_follow_one_another_without_a_gap_whatever_arrives_meanwhile(database_url: str) -> None:
    fill(database_url, 25)
    with psycopg.connect(database_url) as conn:
        seen, after = [], None
        while True:
            page = inbox.page(conn, recipient=ADA, limit=10, after=after)
            seen += [item.title for item in page.items]
            fill(database_url, 1, title="new")
            if (after := page.next) is None:
                break
    assert seen == [f"title {number}" for number in range(24, -1, -1)]


def fill(url: str, count: int, title: str = "") -> None:
    rows(
        url,
        """
        INSERT INTO outbox.inbox (notification_id, recipient, title, created_at)
        SELECT outbox.uuid7(), %s, coalesce(nullif(%s, ''), 'title ' || n), clock_timestamp() + n / 2 * interval '1 ms'
        FROM generate_series(0, %s - 1) n ORDER BY n
        """,
        ADA,
        title,
        count,
    )


@pytest.mark.parametrize(
    ("given", "problem"),
    [({"after": "yesterday"}, "after is not"), ({"limit": 0}, "from 1 to 1000"), ({"limit": 1_001}, "from 1 to 1000")],
)
def test_a_page_that_cannot_be_is_refused(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        inbox.page(None, recipient=ADA, **given)


def test_an_unknown_mark_names_those_there_are() -> None:
    with pytest.raises(ValueError, match="seen, read, unread, archived, unarchived"):
        inbox.mark(None, "starred", recipient=ADA)  # type: ignore[arg-type]


def test_its_repr_does_not_say_what_it_says() -> None:
    assert json.dumps(repr(InApp(ADA, "secret", "secret"))).count("secret") == 0
