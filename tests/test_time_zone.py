"""Where a recipient lives, and unless what was read: kept as given by every door, and refused where it is neither."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import psycopg
import pytest

import outbox
from outbox.queue import claim, enqueue_many

if TYPE_CHECKING:
    from collections.abc import Callable

ADA: dict[str, Any] = {"channel": "email", "recipient": "ada@example.org"}
READ = uuid4()


def kept(conn: psycopg.Connection, id: UUID) -> tuple[str | None, UUID | None]:  # noqa: A002 - the name of the column
    row = conn.execute("SELECT time_zone, unless_read FROM outbox.notifications WHERE id = %s", [id]).fetchone()
    assert row is not None
    return row


@pytest.mark.parametrize(
    "enqueue",
    [
        lambda conn, given: outbox.enqueue(conn, **given),
        lambda conn, given: outbox.enqueue(conn, **given, idempotency_key="k"),
        lambda conn, given: outbox.enqueue(conn, **given, run_at=timedelta(hours=1)),
        lambda conn, given: outbox.enqueue(conn, **given, group_key="g", supersedes=True),
        lambda conn, given: outbox.enqueue_many(conn, [given])[0],
        lambda conn, given: outbox.enqueue_many(conn, [given] * (enqueue_many._WORTH_A_COPY + 1))[-1],  # noqa: SLF001
    ],
    ids=["plain", "with a key", "later", "superseding", "one of many", "one of a COPY"],
)
def test_both_are_kept_by_every_way_to_enqueue(conn: psycopg.Connection, enqueue: Callable[..., Any]) -> None:
    made = enqueue(conn, ADA | {"time_zone": "Europe/Berlin", "unless_read": READ})
    assert kept(conn, made.id) == ("Europe/Berlin", READ)


def test_neither_is_there_when_none_was_given(conn: psycopg.Connection) -> None:
    assert kept(conn, outbox.enqueue(conn, **ADA).id) == (None, None)


def test_a_digest_goes_out_by_the_clocks_of_its_recipient(conn: psycopg.Connection) -> None:
    made = outbox.enqueue(
        conn,
        **ADA,
        digest_key="likes",
        digest_window=timedelta(hours=1),
        digest_max_items=1,
        time_zone="America/Lima",
    )
    assert kept(conn, made.id) == ("America/Lima", None)


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("time_zone", "Europe/Berln", "did you mean Europe/Berlin?"),
        ("time_zone", "", "is no time zone"),
        ("time_zone", "../../etc/passwd", "is no time zone"),
        ("time_zone", "x" * 100_000, "is no time zone"),
        ("time_zone", timedelta(hours=2), "must be a name such as Europe/Berlin, not timedelta"),
        ("unless_read", "42", "is not the id of an in-app notification"),
        ("unless_read", 42, "is not the id of an in-app notification"),
    ],
)
def test_what_is_neither_is_refused(conn: psycopg.Connection, field: str, value: Any, problem: str) -> None:
    with pytest.raises(outbox.InvalidNotification, match=problem.replace("?", r"\?")) as error:
        outbox.enqueue(conn, **ADA | {field: value})
    assert error.value.field == field
    assert len(str(error.value)) < 200
    assert conn.execute("SELECT 1").fetchone() == (1,)


def test_a_plain_insert_of_a_long_name_is_refused(conn: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="time_zone of a notification must have 1 to 64 characters"):
        conn.execute(
            "INSERT INTO outbox.notifications (channel, recipient, time_zone) VALUES ('email', 'a@example.org', %s)",
            ["x" * 65],
        )


async def test_whoever_claims_is_told_the_zone(database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
        await outbox.aenqueue(conn, **ADA, time_zone="Asia/Kathmandu", allow_autocommit=True)
        (claimed,) = await claim.claim(conn, channel="email", levels=range(10), limit=1, lease=60.0, worker=1)
    assert claimed.notification("email").time_zone == "Asia/Kathmandu"
