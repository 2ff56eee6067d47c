"""What people answer: keywords to a number, and mail that unsubscribes."""

from __future__ import annotations

import email.message
import re
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox import inbound, suppressions
from outbox.errors import ExpiredToken, InvalidSuppression, InvalidToken
from outbox.inbound import Answered
from tests.hands import enqueue, rows
from tests.recorder import delivered
from tests.test_docs import ROOT, blocks
from tests.unsubscribing import ADA, KEYS, SECRET, expired_token, token

if TYPE_CHECKING:
    from pathlib import Path

NUMBER, OURS = "+447700900001", "+447700900999"
STANDING = "SELECT channel, recipient, topic, sender, reason, source FROM outbox.suppressions"


def reply(url: str, text: str, **given: Any) -> Answered:
    with psycopg.connect(url) as conn:
        return inbound.reply(conn, recipient=NUMBER, text=text, **given)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("STOP", "stop"),
        (" Stop.\n", "stop"),
        ("stop all!", "stop"),
        ("opt-out", "stop"),
        ("Unsubscribe", "stop"),
        ("START", "start"),
        ("yes", "start"),
        ("Help?", "help"),
        ("INFO", "help"),
        ("please stop", None),
        ("nonstop", None),
        ("", None),
        ("👍", None),
    ],
)
def test_a_keyword_is_all_that_an_answer_says(text: str, means: str | None) -> None:
    assert inbound.keyword(text) == means


@given(st.text())
def test_whatever_somebody_writes_is_a_keyword_or_none(text: str) -> None:
    assert inbound.keyword(text) in {"stop", "start", "help", None}


async def test_a_stop_ends_what_waits_and_a_start_lets_the_next_through(database_url: str) -> None:
    enqueue(database_url, 2, channel="sms", recipient=NUMBER)
    assert reply(database_url, "STOP") == Answered("stop", changed=True, ended=2)
    assert rows(database_url, STANDING) == [("sms", NUMBER, "", "", "stop", "reply")]
    assert reply(database_url, "Stop please").keyword is None
    assert reply(database_url, "stop") == Answered("stop")
    enqueue(database_url, 1, channel="sms", recipient=NUMBER)
    assert await delivered(database_url, "sms") == []
    assert reply(database_url, "START") == Answered("start", changed=True)
    assert reply(database_url, "START") == Answered("start")
    enqueue(database_url, 1, channel="sms", recipient=NUMBER)
    assert len(await delivered(database_url, "sms")) == 1


def test_a_stop_to_one_of_our_numbers_is_about_that_one(database_url: str) -> None:
    reply(database_url, "STOP", sender=OURS)
    assert rows(database_url, STANDING) == [("sms", NUMBER, "", OURS, "stop", "reply")]
    assert reply(database_url, "START") == Answered("start", kept=("stop",))
    assert reply(database_url, "START", sender=OURS) == Answered("start", changed=True)


@pytest.mark.parametrize("reason", ["hard_bounce", "complaint", "manual"])
def test_a_start_takes_back_nothing_that_somebody_else_has_said(database_url: str, reason: str) -> None:
    with psycopg.connect(database_url) as conn:
        suppressions.add(conn, channel="sms", recipient=NUMBER, reason=reason)
    assert reply(database_url, "START") == Answered("start", kept=(reason,))
    assert rows(database_url, STANDING)[0][4] == reason


def test_a_start_takes_back_an_unsubscription(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        suppressions.add(conn, channel="sms", recipient=NUMBER, reason="unsubscribed")
    assert reply(database_url, "unstop").changed


def test_help_and_what_is_no_keyword_change_nothing(database_url: str) -> None:
    assert reply(database_url, "HELP") == Answered("help")
    assert reply(database_url, "who is this?") == Answered(None)
    assert rows(database_url, STANDING) == []


async def test_asynchronous_connections_do_the_same(database_url: str, aconn: psycopg.AsyncConnection[Any]) -> None:
    enqueue(database_url, 1, channel="sms", recipient=NUMBER)
    stopped = await inbound.areply(aconn, recipient=NUMBER, text="STOP")
    assert stopped == Answered("stop", changed=True, ended=1)
    assert await inbound.areply(aconn, recipient=NUMBER, text="START") == Answered("start", changed=True)
    assert (await inbound.areply(aconn, recipient=NUMBER, text="hm")).keyword is None
    assert (await inbound.amail(aconn, f"unsubscribe {token()}", KEYS)).created
    await aconn.commit()
    assert [row[4] for row in rows(database_url, STANDING)] == ["unsubscribed"]


def test_who_is_no_recipient_is_refused_whatever_they_say(conn: psycopg.Connection) -> None:
    with pytest.raises(InvalidSuppression, match="recipient"):
        inbound.reply(conn, recipient="", text="hello")


@pytest.mark.parametrize("subject", ["unsubscribe {}", "Re: Unsubscribe  {}", "unsubscribe\n {} "])
def test_a_mail_unsubscribes_whom_its_token_is_about(database_url: str, subject: str) -> None:
    enqueue(database_url, 1, recipient=ADA, topic="news")
    with psycopg.connect(database_url) as conn:
        done = inbound.mail(conn, subject.format(token()), KEYS)
    assert (done.recipient, done.topic, done.created, done.ended) == (ADA, "news", True, 1)
    assert rows(database_url, STANDING) == [("email", ADA, "news", "", "unsubscribed", "one-click")]


@pytest.mark.parametrize(
    ("subject", "trouble"),
    [
        (None, InvalidToken),
        ("", InvalidToken),
        ("unsubscribe", InvalidToken),
        ("unsubscribe me", InvalidToken),
        (f"unsubscribe {token()[:-1]}x", InvalidToken),
        (token(), InvalidToken),
        (f"unsubscribe {expired_token()}", ExpiredToken),
    ],
)
def test_a_mail_without_a_token_of_ours_unsubscribes_nobody(
    subject: str | None, trouble: type[Exception], conn: psycopg.Connection
) -> None:
    with pytest.raises(trouble):
        inbound.mail(conn, subject, KEYS)
    assert conn.execute(STANDING.encode()).fetchall() == []


def test_what_the_page_about_answers_says_is_so(
    cloned_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "outbox.toml").write_text('[unsubscribe]\nurl = "https://example.org/unsubscribe"\n')
    monkeypatch.setenv("OUTBOX_CONFIG", str(tmp_path / "outbox.toml"))
    monkeypatch.setenv("OUTBOX_DATABASE_URL", cloned_url)
    monkeypatch.setenv("OUTBOX_UNSUBSCRIBE_SECRET", SECRET)
    sms, mail = blocks("docs/inbound.md", "python")
    message = email.message.EmailMessage()
    with psycopg.connect(cloned_url) as conn:
        exec(sms, {"conn": conn})  # noqa: S102 - our own page
        for subject in (f"unsubscribe {token()}", "hello", f"unsubscribe {expired_token()}"):
            del message["subject"]
            message["subject"] = subject
            exec(mail, {"conn": conn, "received": message.as_bytes()})  # noqa: S102 - our own page
    assert capsys.readouterr().out.splitlines() == [
        "stop True 0 will not be sent",
        "news a•••@example.org",
        "not ours",
        "too old",
    ]
    table = (ROOT / "docs" / "inbound.md").read_text(encoding="utf-8").partition("| they write |")[2]
    assert {word.lower() for word in re.findall(r"\b[A-Z]{3,}\b", table.partition("| anything else")[0])} == set(
        inbound.KEYWORDS
    )
