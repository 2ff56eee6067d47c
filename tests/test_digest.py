"""One notification instead of many: what is enqueued under a digest key is gathered, and goes out as one."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import psycopg.types.json
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outbox
from outbox import InvalidNotification
from outbox.queue.window import Window
from tests.command_line import run
from tests.hands import claim, rows
from tests.recorder import Recorder, route
from tests.test_docs import blocks
from tests.test_worker import running
from tests.waiting import await_until, wait_until

if TYPE_CHECKING:
    from outbox.messages import Enqueued

LIKES: dict[str, Any] = {
    "channel": "email",
    "recipient": "ada@example.org",
    "template": "likes",
    "digest_key": "likes:42",
    "digest_window": timedelta(minutes=10),
}


def like(url: str, by: int, **other: Any) -> Enqueued:
    with psycopg.connect(url) as conn:
        return outbox.enqueue(conn, **LIKES | {"payload": {"by": by}} | other)


def let_close(url: str) -> int:
    """Let the time of every open window come, and close them as the chore does; returns how many."""
    rows(url, "UPDATE outbox.digests SET closes_at = clock_timestamp()")
    ((closed,),) = rows(url, "SELECT outbox.close_due_digests(100)")
    return int(closed)


def payloads(url: str) -> list[dict[str, Any]]:
    return [payload for (payload,) in rows(url, "SELECT payload FROM outbox.notifications ORDER BY id")]


def test_many_become_one_when_the_window_closes(database_url: str) -> None:
    opened, *joined = [like(database_url, number) for number in range(3)]
    assert opened.created
    assert [(each.id, each.created) for each in joined] == [(opened.id, False)] * 2
    assert payloads(database_url) == []
    assert let_close(database_url) == 1
    items = [{"by": 0}, {"by": 1}, {"by": 2}]
    assert payloads(database_url) == [{"items": items, "count": 3, "first": {"by": 0}, "last": {"by": 2}}]
    assert rows(database_url, "SELECT id, recipient, template FROM outbox.notifications") == [
        (opened.id, "ada@example.org", "likes")
    ]
    assert rows(database_url, "SELECT count(*) FROM outbox.digest_items") == [(0,)]
    assert like(database_url, 4).id != opened.id


def test_other_keys_recipients_and_channels_have_windows_of_their_own(database_url: str) -> None:
    like(database_url, 1)
    for other in ({"digest_key": "likes:43"}, {"recipient": "grace@example.org"}, {"channel": "inapp"}):
        assert like(database_url, 2, **other).created
    assert let_close(database_url) == 4
    assert [payload["count"] for payload in payloads(database_url)] == [1] * 4


def test_a_rollback_leaves_a_window_without_what_it_brought(database_url: str) -> None:
    like(database_url, 1)
    with psycopg.connect(database_url) as conn:
        outbox.enqueue(conn, **LIKES, payload={"by": 2})
        conn.rollback()
    like(database_url, 3)
    let_close(database_url)
    assert payloads(database_url)[0]["items"] == [{"by": 1}, {"by": 3}]


def test_it_closes_at_once_when_it_has_as_many_as_it_may(database_url: str) -> None:
    for number in range(7):
        like(database_url, number, digest_max_items=3)
    assert [[item["by"] for item in payload["items"]] for payload in payloads(database_url)] == [[0, 1, 2], [3, 4, 5]]
    assert rows(database_url, "SELECT items FROM outbox.digests") == [(1,)]


def test_it_closes_before_its_payload_could_become_too_large(database_url: str) -> None:
    for number in range(3):
        like(database_url, number, payload={"words": "x" * 120_000})
    assert [payload["count"] for payload in payloads(database_url)] == [2]


@pytest.mark.parametrize(
    "take_back",
    [
        "SELECT outbox.erase('ada@example.org')",
        "SELECT outbox.cancel(group_key => 'g')",
        "SELECT outbox.supersede(id) FROM outbox.enqueue('email', 'ada@example.org', 'likes', '{}', group_key => 'g')",
    ],
)
def test_nothing_is_left_of_what_joins_a_window_while_it_is_taken_back(cloned_url: str, take_back: str) -> None:
    like(cloned_url, 1, group_key="g")
    with psycopg.connect(cloned_url) as conn:
        outbox.enqueue(conn, **LIKES, payload={"by": 2}, group_key="g")
        other = threading.Thread(target=rows, args=[cloned_url, take_back])
        other.start()
        blocked = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        wait_until(lambda: rows(cloned_url, blocked))
        conn.commit()
        other.join()
    for table in ("digests", "digest_items"):
        assert rows(cloned_url, f"SELECT count(*) FROM outbox.{table}") == [(0,)], table


def test_numbers_are_as_long_as_the_database_has_them(database_url: str) -> None:
    """As jsonb they take four times as much as their text: in a notification, of which there is room for 2 MiB."""
    for number in range(3):
        like(database_url, number, payload={"numbers": [0] * 10_000})
    like(database_url, 3, payload={"numbers": [0] * 49_000}, digest_key="another")
    let_close(database_url)
    assert [payload["count"] for payload in payloads(database_url)] == [2, 1, 1]
    with pytest.raises(psycopg.errors.CheckViolation, match=r"payload of what joins a digest .* at most 600 KB"):
        like(database_url, 4, payload={"numbers": [0] * 65_000})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("channel", "E mail"),
        ("recipient", ""),
        ("recipient", "x" * 2_500),
        ("priority", 42),
        ("template", ""),
        ("topic", "x" * 256),
        ("payload", psycopg.types.json.Jsonb([1])),
        ("headers", psycopg.types.json.Jsonb([1])),
        ("time_zone", ""),
    ],
)
def test_what_can_be_no_notification_is_refused_when_it_joins(database_url: str, field: str, value: Any) -> None:
    """Said by SQL, where no Python looks at it. When its window closes, it is too late to tell anybody."""
    given = {"channel": "email", "recipient": "ada@example.org", "key": "k", "closes_in": timedelta(hours=1)}
    call = ", ".join(f"{name} => %s" for name in given | {field: value})
    with pytest.raises(psycopg.errors.CheckViolation, match=f"^{field} of what joins a digest") as refused:
        rows(database_url, f"SELECT outbox.enqueue_digest({call})", *(given | {field: value}).values())
    assert "ada@example.org" not in str(refused.value)


def test_a_window_that_can_be_no_notification_keeps_no_other_from_closing(cloned_url: str) -> None:
    like(cloned_url, 1)
    refused = like(cloned_url, 2, digest_key="refused")
    like(cloned_url, 3, digest_key="likes:43")
    rows(
        cloned_url,
        f"ALTER TABLE outbox.notifications ADD CONSTRAINT notifications_mine CHECK (id <> '{refused.id}')",
    )
    assert let_close(cloned_url) == 2
    assert [payload["first"] for payload in payloads(cloned_url)] == [{"by": 1}, {"by": 3}]
    assert rows(cloned_url, "SELECT id, items, closes_at > now() FROM outbox.digests") == [(refused.id, 1, True)]
    rows(cloned_url, "ALTER TABLE outbox.notifications DROP CONSTRAINT notifications_mine")
    assert let_close(cloned_url) == 1


def test_the_window_counts_from_the_first_and_with_a_longest_wait_from_the_latest(database_url: str) -> None:
    closes = "SELECT extract(epoch FROM closes_at - opened_at)::float8 FROM outbox.digests"
    back = "UPDATE outbox.digests SET opened_at = opened_at - %s, closes_at = closes_at - %s"
    like(database_url, 1)
    rows(database_url, back, timedelta(minutes=9), timedelta(minutes=9))
    like(database_url, 2)
    assert rows(database_url, closes)[0][0] == pytest.approx(600, abs=1)
    longest = timedelta(minutes=25)
    like(database_url, 3, digest_max_wait=longest)
    assert rows(database_url, closes)[0][0] == pytest.approx(19 * 60, abs=5)
    rows(database_url, back, timedelta(minutes=12), timedelta(0))
    like(database_url, 4, digest_max_wait=longest)
    assert rows(database_url, closes)[0][0] <= longest.total_seconds() + 12 * 60


def test_fifty_at_once_join_one_window_and_none_is_lost(cloned_url: str) -> None:
    threads = [threading.Thread(target=like, args=[cloned_url, number]) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert let_close(cloned_url) == 1
    (payload,) = payloads(cloned_url)
    assert payload["count"] == 50
    assert sorted(item["by"] for item in payload["items"]) == list(range(50))


def test_fifty_that_come_while_windows_close_are_each_in_one_of_them(cloned_url: str) -> None:
    stop = threading.Event()

    def close() -> None:
        while not stop.is_set():
            let_close(cloned_url)

    closer = threading.Thread(target=close)
    closer.start()
    threads = [threading.Thread(target=like, args=[cloned_url, number]) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    closer.join()
    let_close(cloned_url)
    items = [item["by"] for payload in payloads(cloned_url) for item in payload["items"]]
    assert sorted(items) == list(range(50))


def test_a_window_that_somebody_is_joining_does_not_hold_up_the_others(database_url: str) -> None:
    like(database_url, 1)
    like(database_url, 1, digest_key="likes:43")
    rows(database_url, "UPDATE outbox.digests SET closes_at = clock_timestamp()")
    with psycopg.connect(database_url) as conn:
        outbox.enqueue(conn, **LIKES, payload={"by": 2})
        assert rows(database_url, "SELECT outbox.close_due_digests(100)") == [(1,)]
    assert rows(database_url, "SELECT outbox.close_due_digests(100)") == [(1,)]
    assert sorted(payload["count"] for payload in payloads(database_url)) == [1, 2]


async def test_a_worker_closes_and_delivers_it(cloned_url: str) -> None:
    like(cloned_url, 1)
    like(cloned_url, 2)
    rows(cloned_url, "UPDATE outbox.digests SET closes_at = clock_timestamp()")
    recorder = Recorder()
    async with running(cloned_url, route(recorder)):
        await await_until(lambda: recorder.sent, timeout=20)
    assert recorder.sent[0].payload["count"] == 2


def test_what_is_not_sound_is_refused_when_the_window_would_close_no_later(database_url: str) -> None:
    """The database's own checks come with the notification; ours came with the enqueue."""
    with pytest.raises(InvalidNotification, match=r"^recipient: "), psycopg.connect(database_url) as conn:
        outbox.enqueue(conn, **LIKES | {"recipient": "nobody"})


async def test_the_asynchronous_twin_does_the_same(database_url: str) -> None:
    opened = like(database_url, 1)
    async with await psycopg.AsyncConnection.connect(database_url) as conn:
        joined = await outbox.aenqueue(conn, **LIKES, payload={"by": 2})
    assert joined == (opened.id, False)


@pytest.mark.parametrize("by", ["id", "group_key", "group_key, another channel"])
def test_an_open_window_can_be_cancelled_with_all_that_is_in_it(database_url: str, by: str) -> None:
    made, *_ = [like(database_url, number, group_key="photo:42") for number in range(3)]
    other = like(database_url, 4, digest_key="likes:43", group_key="photo:43")
    with psycopg.connect(database_url) as conn:
        if by == "id":
            found = outbox.cancel(conn, id=made.id)
        else:
            found = outbox.cancel(conn, group_key="photo:42", channel="sms" if "another" in by else None)
    cancelled = 0 if "another" in by else 1
    assert found == outbox.Cancelled(cancelled, 0, 0, 0, 0)
    assert let_close(database_url) == 2 - cancelled
    assert rows(database_url, "SELECT count(*) FROM outbox.digest_items") == [(0,)]
    assert rows(database_url, "SELECT id, state FROM outbox.status ORDER BY 1") == [
        (made.id, "cancelled" if cancelled else "due"),
        (other.id, "due"),
    ]
    assert [payload["count"] for payload in payloads(database_url)] == [3, 1]


def test_of_a_window_that_was_cancelled_explain_tells_so(database_url: str) -> None:
    made = like(database_url, 1)
    with psycopg.connect(database_url) as conn:
        outbox.cancel(conn, id=made.id)
    assert like(database_url, 2).id != made.id, "the next window is another"
    document = json.loads(run(database_url, "explain", made.id, "--json").stdout)
    assert document["state"] == "cancelled"
    assert document["why"].startswith("somebody took it back before it was sent")


def test_a_cancellation_that_is_rolled_back_leaves_the_window(database_url: str) -> None:
    made = like(database_url, 1)
    with psycopg.connect(database_url) as conn:
        assert outbox.cancel(conn, id=made.id).cancelled == 1
        conn.rollback()
    assert let_close(database_url) == 1


def test_an_open_window_is_explained_by_the_id_that_it_will_have(database_url: str) -> None:
    made, _ = [like(database_url, number) for number in range(2)]
    document = json.loads(run(database_url, "explain", made.id, "--json").stdout)
    assert (document["state"], document["items"], document["digest_key"]) == ("gathering", 2, "likes:42")
    screen = run(database_url, "explain", made.id)
    assert screen.exit_code == 0
    assert "2 items of the digest likes:42 wait here to go out as one notification" in " ".join(screen.stdout.split())
    let_close(database_url)
    assert json.loads(run(database_url, "explain", made.id, "--json").stdout)["state"] == "due"


def test_an_erasure_takes_open_windows_along(database_url: str) -> None:
    like(database_url, 1)
    like(database_url, 1, recipient="grace@example.org")
    with psycopg.connect(database_url) as conn:
        outbox.erase(conn, recipient="Ada@example.org")
    assert rows(database_url, "SELECT recipient FROM outbox.digests") == [("grace@example.org",)]
    assert rows(database_url, "SELECT count(*) FROM outbox.digest_items") == [(1,)]


WANTED = {"digest_key": None, "digest_window": None, "digest_max_items": 100, "digest_max_wait": None}
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"digest_window": MINUTE}, "digest_key"),
        ({"digest_key": ""}, "digest_key"),
        ({"digest_key": "k"}, "digest_window"),
        ({"digest_key": "k", "digest_window": 60}, "digest_window"),
        ({"digest_key": "k", "digest_window": timedelta(0)}, "digest_window"),
        ({"digest_key": "k", "digest_window": MINUTE, "digest_max_wait": MINUTE / 2}, "digest_max_wait"),
        ({"digest_key": "k", "digest_window": MINUTE, "digest_max_items": 0}, "digest_max_items"),
        ({"digest_key": "k", "digest_window": MINUTE, "idempotency_key": "i"}, "idempotency_key"),
        ({"digest_key": "k", "digest_window": MINUTE, "run_at": MINUTE}, "run_at"),
        ({"digest_key": "k", "digest_window": MINUTE, "supersedes": True}, "supersedes"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused_by_the_field_that_is_wrong(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidNotification) as refused:
        Window.of(WANTED | wrong)
    assert refused.value.field == field


@given(st.timedeltas(timedelta(microseconds=1), timedelta(days=30)), st.integers(1, 10_000))
def test_any_window_that_makes_sense_is_taken_as_it_is(window: timedelta, most: int) -> None:
    taken = Window.of(WANTED | {"digest_key": "k", "digest_window": window, "digest_max_items": most})
    assert taken is not None
    assert float(taken.digest_window.removesuffix(" seconds")) == pytest.approx(window.total_seconds(), abs=1e-6)


async def test_the_page_about_digests_is_right(cloned_url: str) -> None:
    (program,) = blocks("docs/digests.md", "python")
    with psycopg.connect(cloned_url) as conn:
        exec(program, {"conn": conn, "outbox": outbox})  # noqa: S102 - our own page
    (listed,) = blocks("docs/digests.md", "sql")
    assert [row[:4] for row in rows(cloned_url, listed)] == [("email", "barbara@example.org", "likes:42", 3)]
    let_close(cloned_url)
    (claimed,) = await claim(cloned_url)
    assert claimed.template == "likes"
