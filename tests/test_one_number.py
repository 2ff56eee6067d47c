"""A telephone number is one recipient, however it was written: by its one form all is found that is kept of it."""

from __future__ import annotations

import psycopg
import pytest
from pydantic import SecretStr

import outbox
from outbox import inbound, suppressions
from outbox.addresses import bare_number
from outbox.channels.sms import vonage
from tests.hands import claim, enqueue, rows

WRITTEN, BARE = "+1 (415) 555-0100", "+14155550100"


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        (WRITTEN, BARE),
        ("+44 (0)7700 900001", "+447700900001"),
        (BARE, BARE),
        ("07700 900001", "07700 900001"),
        ("ada (home)", "ada (home)"),
        ("", ""),
    ],
)
def test_only_a_number_is_freed_of_its_punctuation(text: str, bare: str) -> None:
    assert bare_number(text) == bare


def test_however_it_is_written_it_is_enqueued_suppressed_and_erased_as_one(conn: psycopg.Connection) -> None:
    payload = {"text": "Hello"}
    outbox.enqueue(conn, channel="sms", recipient=WRITTEN, payload=payload)
    outbox.enqueue_many(conn, [{"channel": "sms", "recipient": BARE, "payload": payload}])
    assert conn.execute("SELECT DISTINCT recipient FROM outbox.notifications").fetchall() == [(BARE,)]
    assert suppressions.add(conn, channel="sms", recipient=WRITTEN, reason="stop").ended == 2
    assert [found.reason for found in suppressions.find(conn, channel="sms", recipient=BARE)] == ["stop"]
    assert outbox.erase(conn, recipient=WRITTEN).notifications == 2


def test_a_name_with_digits_on_another_channel_stays_as_it_is(conn: psycopg.Connection) -> None:
    outbox.enqueue(conn, channel="whatsapp", recipient=WRITTEN)
    assert conn.execute("SELECT recipient FROM outbox.notifications").fetchall() == [(WRITTEN,)]


async def test_a_stop_to_a_number_at_vonage_is_heeded_by_the_claims(database_url: str) -> None:
    settings = vonage.Settings(api_key="key", api_secret=SecretStr("secret"), sender="+447700900999")
    provider = vonage.Provider(settings)
    enqueue(database_url, channel="sms", recipient=BARE, payload={"text": "Hello"})
    with psycopg.connect(database_url) as conn:
        assert inbound.reply(conn, recipient=BARE, text="Stop.", sender="+447700900999").changed
    (claimed,) = await claim(database_url, channel="sms", senders=[provider.sender])
    assert claimed.suppression is not None
    await provider.aclose()
    assert rows(database_url, "SELECT count(*) FROM outbox.queue") == [(1,)]
