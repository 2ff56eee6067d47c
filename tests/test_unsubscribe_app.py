"""The application behind the links, over real HTTP: a page for people, one click for mail programs, nothing else."""

from __future__ import annotations

import asyncio
import html
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import create_async_engine

from outbox import suppressions
from outbox.errors import ConfigError, NotMigrated
from outbox.unsubscribe import App, Words, app
from outbox.unsubscribe.asgi import LONGEST_BODY
from outbox.unsubscribe.forms import fields
from outbox.unsubscribe.words import GERMAN, LANGUAGES, chosen
from tests.asgi_server import AsgiServer
from tests.hands import enqueue, rows
from tests.kinds import with_driver
from tests.unsubscribing import ADA, SECRET, configured, expired_token, token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

ONE_CLICK = {"List-Unsubscribe": "One-Click"}
NOWHERE = "postgresql://127.0.0.1:1/nowhere"


@asynccontextmanager
async def served(url: str, **given: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, mounted on a real server."""
    async with (
        AsgiServer(App(configured(url), **given)) as server,
        httpx.AsyncClient(base_url=server.url, follow_redirects=False) as client,
    ):
        yield client


def reasons(url: str) -> list[str]:
    return [reason for (reason,) in rows(url, "SELECT reason FROM outbox.suppressions")]


def permit(page: str) -> str:
    """What the form holds that takes an opt-out back."""
    (found,) = re.findall(r'name="undo" value="([^"]+)"', page)
    return html.unescape(found)


async def test_to_look_does_nothing_however_often_and_by_whomever(database_url: str) -> None:
    enqueue(database_url, 1, recipient=ADA, topic="news")
    connections: list[str] = []

    @asynccontextmanager
    async def connect() -> AsyncIterator[psycopg.AsyncConnection]:
        connections.append("made")
        async with await psycopg.AsyncConnection.connect(database_url) as conn:
            yield conn

    async with served(database_url, connect=connect) as client:
        for method in ("GET", "HEAD") * 20:
            answer = await client.request(method, f"/{token()}", params={"List-Unsubscribe": "One-Click"})
            assert answer.status_code == 200
        assert connections == []
        assert reasons(database_url) == []
        assert rows(database_url, "SELECT state FROM outbox.status") == [("due",)]
        await client.post(f"/{token()}", data=ONE_CLICK)
    assert connections == ["made"]
    assert rows(database_url, "SELECT state FROM outbox.status") == [("suppressed",)]


async def test_the_page_says_what_would_happen_and_has_one_button(database_url: str) -> None:
    async with served(database_url) as client:
        answer = await client.get(f"/{token()}")
    assert "You will no longer receive “Weekly &lt;news&gt; &amp; more” at a•••@example.org." in answer.text
    assert answer.text.count("<button") == 1
    assert '<form method="post"><input type="hidden" name="List-Unsubscribe" value="One-Click">' in answer.text
    assert ADA not in answer.text
    assert "<script" not in answer.text


async def test_every_answer_forbids_what_it_does_not_need(database_url: str) -> None:
    async with served(database_url) as client:
        answers = [await client.get(f"/{which}") for which in (token(), "AQ", expired_token())]
        answers.append(await client.post(f"/{token()}", data=ONE_CLICK))
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert policy.endswith("form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-robots-tag"] == "noindex, nofollow"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in answer.headers
        assert "location" not in answer.headers


async def test_a_head_has_the_headers_of_a_get_and_no_body(database_url: str) -> None:
    async with served(database_url) as client:
        head, get = await client.head(f"/{token()}"), await client.get(f"/{token()}")
    assert head.content == b""
    varying = {"date"}
    assert {name: head.headers[name] for name in head.headers if name not in varying} == {
        name: get.headers[name] for name in get.headers if name not in varying
    }


@pytest.mark.parametrize("given", [{"data": ONE_CLICK}, {"files": {"List-Unsubscribe": (None, "One-Click")}}])
async def test_one_click_of_a_mail_program_unsubscribes(database_url: str, given: dict[str, Any]) -> None:
    enqueue(database_url, 2, recipient=ADA, topic="news")
    async with served(database_url) as client:
        answer = await client.post(f"/{token()}", **given)
    assert answer.status_code == 200
    assert reasons(database_url) == ["unsubscribed"]
    assert rows(database_url, "SELECT DISTINCT state FROM outbox.status") == [("suppressed",)]


async def test_a_second_click_is_told_the_same_and_changes_nothing(database_url: str) -> None:
    async with served(database_url) as client:
        answers = [await client.post(f"/{token()}", data=ONE_CLICK) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert all("You are unsubscribed" in answer.text for answer in answers)
    assert reasons(database_url) == ["unsubscribed"]
    assert ["undo" in answer.text for answer in answers] == [True, False]


async def test_whoever_clicked_by_mistake_takes_it_back(database_url: str) -> None:
    async with served(database_url) as client:
        done = await client.post(f"/{token()}", data=ONE_CLICK)
        undone = await client.post(f"/{token()}", data={"undo": permit(done.text)})
    assert undone.status_code == 200
    assert "You are subscribed again" in undone.text
    assert reasons(database_url) == []


async def test_whoever_has_an_old_copy_of_the_email_cannot_subscribe_somebody_again(database_url: str) -> None:
    async with served(database_url) as client:
        await client.post(f"/{token()}", data=ONE_CLICK)
        others = await client.post(f"/{token('bob@example.org')}", data=ONE_CLICK)
        for wrong in ("", "1", permit(others.text)):
            answer = await client.post(f"/{token()}", data={"undo": wrong})
            assert answer.status_code == 400
    assert reasons(database_url) == ["unsubscribed"] * 2


async def test_another_reason_that_came_meanwhile_stays(database_url: str) -> None:
    async with served(database_url) as client:
        done = await client.post(f"/{token()}", data=ONE_CLICK)
        with psycopg.connect(database_url) as conn:
            suppressions.add(conn, channel="email", recipient=ADA, topic="news", reason="on_holiday")
        undone = await client.post(f"/{token()}", data={"undo": permit(done.text)})
    assert (undone.status_code, reasons(database_url)) == (409, ["on_holiday"])


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({}, 400),
        ({"data": {"List-Unsubscribe": "Two-Clicks"}}, 400),
        ({"json": ONE_CLICK}, 400),
        ({"content": b"List-Unsubscribe=One-Click"}, 400),
        ({"data": {"x": "y" * LONGEST_BODY}}, 413),
        ({"content": (b"x" * 1024 for _ in range(9)), "headers": {"content-type": "text/plain"}}, 413),
    ],
)
async def test_a_post_that_is_no_click_does_nothing(database_url: str, given: dict[str, Any], status: int) -> None:
    if "content" in given and not isinstance(given["content"], bytes):
        pieces = list(given["content"])

        async def slowly() -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece

        given = {**given, "content": slowly()}
    async with served(database_url) as client:
        answer = await client.post(f"/{token()}", **given)
    assert answer.status_code == status
    assert reasons(database_url) == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
async def test_other_methods_are_refused(database_url: str, method: str) -> None:
    async with served(database_url) as client:
        answer = await client.request(method, f"/{token()}")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")
    assert reasons(database_url) == []


async def test_a_forged_or_expired_token_does_nothing_and_asks_no_database() -> None:
    forged = token()[:-1] + ("A" if token()[-1] != "A" else "B")
    async with served(NOWHERE) as client:
        for method in ("GET", "POST"):
            for which in (forged, "", "AQ", "%00", "%F0%9F%98%80", "x" * 5_000):
                answer = await client.request(method, f"/{which}", data=ONE_CLICK if method == "POST" else None)
                assert (answer.status_code, "This link is not complete" in answer.text) == (404, True)
            answer = await client.request(method, f"/{expired_token()}", data=ONE_CLICK if method == "POST" else None)
            assert (answer.status_code, "This link has run out" in answer.text) == (410, True)


async def test_while_the_database_is_away_they_are_asked_to_come_again(caplog: pytest.LogCaptureFixture) -> None:
    async with served(NOWHERE) as client:
        assert (await client.get(f"/{token()}")).status_code == 200
        answer = await client.post(f"/{token()}", data=ONE_CLICK)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert "Nothing was changed" in answer.text
    (record,) = (record for record in caplog.records if record.name == "outbox.unsubscribe")
    assert record.getMessage().startswith("somebody could not unsubscribe from news: ")
    assert ADA not in caplog.text
    assert token() not in caplog.text


async def test_a_database_that_is_not_migrated_is_a_defect_for_the_servers_log(empty_url: str) -> None:
    transport = httpx.ASGITransport(App(configured(empty_url)))
    async with httpx.AsyncClient(transport=transport, base_url="https://example.org/unsubscribe") as client:
        with pytest.raises(NotMigrated):
            await client.post(f"/{token()}", data=ONE_CLICK)


async def test_many_at_once_take_turns_and_all_get_through(database_url: str) -> None:
    people = [f"person{number}@example.org" for number in range(60)]
    async with served(database_url) as client:
        answers = await asyncio.gather(*(client.post(f"/{token(each)}", data=ONE_CLICK) for each in people))
    assert {answer.status_code for answer in answers} == {200}
    assert len(reasons(database_url)) == 60


async def test_connections_may_be_the_applications_own(database_url: str) -> None:
    engine = create_async_engine(with_driver(database_url, "psycopg"))
    async with served(database_url, connect=engine.begin) as client:
        assert (await client.post(f"/{token()}", data=ONE_CLICK)).status_code == 200
    await engine.dispose()
    assert reasons(database_url) == ["unsubscribed"]
    away = create_async_engine(with_driver(NOWHERE, "psycopg"))
    async with served(database_url, connect=away.begin) as client:
        assert (await client.post(f"/{token()}", data=ONE_CLICK)).status_code == 503
    await away.dispose()


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("fr, de;q=0.2", "de"),
        ("fr", "en"),
        ("*", "en"),
        ("de;q=0.5, en-GB", "en"),
        ("de;q=0", "en"),
        ("de;q=x", "en"),
        (",;,;q=", "en"),
        ("DE", "de"),
    ],
)
async def test_it_speaks_the_language_that_the_reader_likes_best(accepted: str, language: str) -> None:
    assert chosen(accepted, LANGUAGES) == language
    async with served(NOWHERE) as client:
        answer = await client.get(f"/{token()}", headers={"accept-language": accepted})
    assert f'<html lang="{language}">' in answer.text
    assert html.escape(LANGUAGES[language].ask_title) in answer.text
    assert answer.headers["content-language"] == language
    assert answer.headers["vary"] == "accept-language"


async def test_ones_own_words_come_first(database_url: str) -> None:
    own = Words(ask_title="Se désabonner", ask="Vous ne recevrez plus « {topic} ».", button="Oui <3")
    async with served(database_url, words={"fr": own}) as client:
        answer = await client.get(f"/{token()}", headers={"accept-language": "nl"})
        german = await client.get(f"/{token()}", headers={"accept-language": "de"})
    assert "Vous ne recevrez plus « Weekly &lt;news&gt; &amp; more »." in answer.text
    assert "Oui &lt;3" in answer.text
    assert GERMAN.ask_title in german.text


@pytest.mark.parametrize("wrong", ["{name}", "{", "{topic.x}", "{0}"])
def test_words_with_other_names_in_them_are_refused_at_once(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"^done: nothing but \{topic\} and \{recipient\}"):
        Words(done=wrong)
    assert Words(wrong=wrong).wrong == wrong


def test_without_a_secret_or_a_database_there_is_no_application() -> None:
    with pytest.raises(ConfigError, match=r"unsubscribe\.secret is missing"):
        App(configured("postgresql://x/y", secret=()))
    with pytest.raises(ConfigError, match="no database"):
        App(configured())


def test_a_server_makes_one_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    file = tmp_path / "outbox.toml"
    file.write_text('[topics.news]\nunsubscribe = true\n[unsubscribe]\nurl = "https://example.org/unsubscribe"\n')
    monkeypatch.setenv("OUTBOX_CONFIG", str(file))
    monkeypatch.setenv("OUTBOX_DATABASE_URL", database_url)
    monkeypatch.setenv("OUTBOX_UNSUBSCRIBE_SECRET", SECRET)
    assert isinstance(app(), App)


async def test_it_lives_as_long_as_its_server_and_opens_no_websocket() -> None:
    it = App(configured(NOWHERE))
    said: list[str] = []
    asked = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> dict[str, Any]:
        return {"type": next(asked)}

    async def send(message: Any) -> None:
        said.append(message["type"])

    await it({"type": "lifespan"}, receive, send)
    await it({"type": "websocket"}, receive, send)
    assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete", "websocket.close"]


async def test_who_hangs_up_in_the_middle_of_a_click_has_not_clicked(database_url: str) -> None:
    told: Iterator[dict[str, Any]] = iter(
        [{"type": "http.request", "body": b"List-Unsub", "more_body": True}, {"type": "http.disconnect"}]
    )

    async def receive() -> dict[str, Any]:
        return next(told)

    async def send(message: Any) -> None:
        raise AssertionError(message)

    scope = {"type": "http", "method": "POST", "path": f"/{token()}", "headers": []}
    await App(configured(database_url))(scope, receive, send)
    assert reasons(database_url) == []


@given(st.text(), st.binary(max_size=LONGEST_BODY))
@example("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--')
@example("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; name*=a'b'c\r\n\r\n1\r\n--x--")
@example(
    "multipart/form-data; boundary=x", b"--x\r\nContent-Type: multipart/x; boundary=y\r\n\r\n--y\r\n\r\n--y--\r\n--x--"
)
@example("multipart/form-data; boundary=x", b"--x\r\nContent-Transfer-Encoding: base64\r\n\r\n!\r\n--x--")
@example('multipart/form-data; charset="', b"")
@example("multipart/form-data", b"--\r\n")
@example("application/x-www-form-urlencoded", b"&" * 20)
def test_no_body_makes_it_stumble(content_type: str, body: bytes) -> None:
    assert all(isinstance(part, str) for pair in fields(content_type, body).items() for part in pair)


@given(st.binary(max_size=400))
def test_no_multipart_makes_it_stumble(body: bytes) -> None:
    fields("multipart/form-data; boundary=x", b"--x\r\n" + body + b"\r\n--x--\r\n")


def test_forms_in_forms_in_forms_are_no_trouble() -> None:
    deep = b"".join(b"--%d\r\nContent-Type: multipart/form-data; boundary=%d\r\n\r\n" % (n, n + 1) for n in range(130))
    assert len(deep) < LONGEST_BODY
    fields("multipart/form-data; boundary=0", deep)
