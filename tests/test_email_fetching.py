"""Attachments by URL: fetched under guard before any provider is given the message, with their URLs told to nobody."""

from __future__ import annotations

import asyncio
import email
import email.policy
import logging
import socket
import time
import traceback
from base64 import b64decode
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest

import outbox
from outbox import errors
from outbox.attachments import SIZE_LIMIT
from outbox.channels import completion_for
from outbox.channels.email.fetching import Fetching
from outbox.channels.guarded_settings import TlsOptionalSettings
from outbox.check import check
from outbox.config import ChannelConfig, Config, load
from outbox.deliver import deliver
from outbox.messages import Attachment, AttachmentLink, Email, Notification
from outbox.outcomes import Dead, Expired, Retry, Sent
from outbox.queue.claim import Claimed
from outbox.route import Route
from outbox.worker import process
from tests.email_by_api import sent
from tests.hands import leased
from tests.providers.counterpart import KEY
from tests.providers.server import BreakOff, HangUp, HttpServer, Reply, Silence, Stall
from tests.recorder import Recorder, drain
from tests.smtp_client import provider
from tests.smtp_server import SmtpServer
from tests.waiting import await_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from outbox.outcomes import Outcome
    from tests.providers.server import Act, Request

SECRET = "X-Amz-Signature=fe5f80f77d5fa3beca038a248ff027d0"
OBJECT = "/customer-4711/invoice"
PDF = b"%PDF-1.7\r\n\x00\xff and so on"
IN_BYTES = Attachment("terms.txt", b"Our terms.", "text/plain")


@pytest.fixture(autouse=True)
def _nothing_logs_the_secret(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    assert SECRET not in caplog.text


def linking(url: str, *paths: str) -> Email:
    links = tuple(AttachmentLink("invoice.pdf", f"{url}{path}?{SECRET}", "application/pdf") for path in paths)
    return Email("ada@example.org", "Hi", "Hello", attachments=(IN_BYTES,), links=links)


@asynccontextmanager
async def store(
    *acts: Act, limit: int = SIZE_LIMIT, takes: float = 0.0, **settings: Any
) -> AsyncIterator[tuple[HttpServer, Fetching]]:
    """Open a store of objects on loopback, which has to be allowed, and what fetches from it."""

    def answer(_: Request) -> Act:
        time.sleep(takes)
        return Reply(200, PDF)

    async with HttpServer(answer) as server:
        server.script.extend(acts)
        port = int(server.url.rpartition(":")[2])
        given = {"allow": ["127.0.0.1"], "ports": [port], "http": ["127.0.0.1"], "timeout": 5, **settings}
        fetching = Fetching(TlsOptionalSettings.model_validate(given), limit=limit)
        yield server, fetching
        await fetching.aclose()


async def failure(*acts: Act, limit: int = SIZE_LIMIT, **settings: Any) -> errors.DeliveryError:
    """Return what fetching raises when the store does so, which tells nobody where the file is."""
    async with store(*acts, limit=limit, **settings) as (server, fetching):
        with pytest.raises(errors.DeliveryError) as caught:
            async with fetching.completed(linking(server.url, OBJECT)):
                pass
    told = "".join(traceback.format_exception(caught.value))
    assert SECRET not in told
    assert OBJECT not in told
    return caught.value


async def test_what_is_named_is_attached_after_what_was_brought_along() -> None:
    async with store() as (server, fetching):
        message = linking(server.url, "/a", "/b")
        assert fetching.needed(message)
        async with fetching.completed(message) as whole:
            assert not fetching.needed(whole)
            fetched = Attachment("invoice.pdf", PDF, "application/pdf")
            assert whole == message._replace(attachments=(IN_BYTES, fetched, fetched), links=())
    assert [request.target for request in server.requests] == [f"/a?{SECRET}", f"/b?{SECRET}"]
    assert server.requests[0].headers["accept-encoding"] == "identity"
    assert "cookie" not in server.requests[1].headers


def test_where_it_is_shows_in_no_repr() -> None:
    message = linking("https://files.example.org", "/a")
    assert SECRET not in f"{message!r} {message.links!r}"


GONE = Reply(404, b"<Code>NoSuchKey</Code>")


@pytest.mark.parametrize(
    ("act", "error", "code"),
    [
        (GONE, errors.Rejected, "404"),
        (Reply(410), errors.Rejected, "410"),
        (Reply(403, b"<Message>Request has expired</Message>"), errors.Rejected, "403"),
        (Reply(302, headers={"location": "https://example.org/"}), errors.Rejected, "302"),
        (Reply(204), errors.Rejected, "204"),
        (Reply(200, b"\x1f\x8b", {"content-encoding": "gzip"}), errors.Rejected, None),
        (Reply(500), errors.Temporary, "500"),
        (Reply(503), errors.Temporary, "503"),
        (Reply(429), errors.Temporary, "429"),
        (HangUp(), errors.Temporary, None),
        (HangUp(b"220 smtp.example.org ready\r\n"), errors.Temporary, None),
        (BreakOff(), errors.Temporary, None),
    ],
    ids=str,
)
async def test_what_is_no_file_means_what_it_means_for_the_message(
    act: Act, error: type[errors.DeliveryError], code: str | None
) -> None:
    found = await failure(act)
    assert (type(found), found.code) == (error, code)
    assert "number 1" in found.detail


@pytest.mark.parametrize("act", [Silence(), Stall()], ids=str)
async def test_a_server_that_is_silent_or_stalls_is_temporary(act: Act) -> None:
    assert type(await failure(act, timeout=0.3)) is errors.Temporary


async def test_a_server_that_says_when_is_asked_no_sooner() -> None:
    found = await failure(Reply(503, headers={"retry-after": "90"}))
    assert getattr(found, "retry_after", None) == 90


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "not announced"])
async def test_what_is_too_large_with_the_others_is_rejected_before_it_is_all_read(announced: bool) -> None:  # noqa: FBT001
    size = 100 - len(IN_BYTES.content)
    fits, larger = Reply(200, b"x" * size), Reply(200, b"x" * (size + 1))
    async with store(fits, limit=100) as (server, fetching), fetching.completed(linking(server.url, OBJECT)) as whole:
        assert len(whole.attachments[1].content) == size
    head = b"HTTP/1.1 200 \r\nconnection: close\r\n\r\n"
    found = await failure(larger if announced else HangUp(head + b"x" * 500_000), limit=100)
    assert type(found) is errors.Rejected
    assert "more than 90 bytes" in found.detail


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"allow": []}, "loopback"),
        ({"http": []}, "it does not begin with https://"),
        ({"ports": [443]}, "its port is none of those allowed"),
    ],
)
async def test_the_inside_of_the_network_is_not_asked(settings: dict[str, Any], rule: str) -> None:
    found = await failure(**settings)
    assert (type(found), found.code) == (errors.Rejected, "target")
    assert rule in found.detail


async def test_nobody_there_is_temporary() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        async with store(ports=[port]) as (_, fetching):
            with pytest.raises(errors.Temporary) as caught:
                async with fetching.completed(linking(f"http://127.0.0.1:{port}", OBJECT)):
                    pass
    told = "".join(traceback.format_exception(caught.value))
    assert SECRET not in told
    assert OBJECT not in told


async def test_only_so_many_are_on_their_way_at_once_and_the_others_wait() -> None:
    async with store(timeout=0.3) as (server, fetching):
        message = linking(server.url)  # nothing: to have it fetched takes no time, but the room all the same
        async with AsyncExitStack() as sending:
            for _ in range(8):
                await sending.enter_async_context(fetching.completed(message))
            with pytest.raises(errors.Throttled):
                await sending.enter_async_context(fetching.completed(message))
        async with fetching.completed(message) as whole:
            assert whole == message


def _asked_more_than(server: HttpServer, number: int) -> bool:
    return len(server.requests) > number


async def test_what_a_stop_cuts_off_meanwhile_was_not_sent_and_leaves_its_room() -> None:
    async with store(*[Silence()] * 8) as (server, fetching):
        for number in range(8):
            entering = asyncio.ensure_future(fetching.completed(linking(server.url, "/a")).__aenter__())
            await await_until(partial(_asked_more_than, server, number))
            entering.cancel()
            with pytest.raises(errors.NotSent):
                await entering
        async with fetching.completed(linking(server.url, "/a")) as whole:
            assert len(whole.attachments) == 2


def route_to(fetching: Fetching, message: Email, recorder: Recorder) -> Route:
    return Route(
        channel="email",
        policy=ChannelConfig(providers=("recorder",)),
        compose=lambda _: message,
        completion=fetching,
        providers={"recorder": recorder},
        listener=lambda _: None,
    )


async def outcome(
    *acts: Act, paths: tuple[str, ...] = ("/a",), expires_in: float | None = None, takes: float = 0.0
) -> tuple[Outcome, Recorder]:
    recorder, one = Recorder(), uuid4()
    claimed = Claimed(one, str(one), age=1.0, recipient="ada@example.org", payload="{}", expires_in=expires_in)
    async with store(*acts, takes=takes) as (server, fetching):
        route = route_to(fetching, linking(server.url, *paths), recorder)
        return await deliver(leased(claimed), route), recorder


async def test_a_delivery_gives_its_provider_the_whole_message() -> None:
    found, recorder = await outcome()
    assert isinstance(found, Sent)
    message: Any = recorder.sent[0]
    assert [file.content for file in message.attachments] == [IN_BYTES.content, PDF]


async def test_what_cannot_be_fetched_reaches_no_provider_and_is_no_providers_fault() -> None:
    for act, kind in ((Reply(500), Retry), (GONE, Dead)):
        found, recorder = await outcome(act)
        assert isinstance(found, kind)
        assert found.provider is None
        assert recorder.keys == []


async def test_what_expires_while_it_is_fetched_reaches_no_provider() -> None:
    found, recorder = await outcome(takes=0.2, expires_in=0.15)
    assert isinstance(found, Expired)
    assert recorder.keys == []


async def test_nothing_is_fetched_for_what_expired_while_it_was_rendered() -> None:
    recorder, one = Recorder(), uuid4()
    claimed = Claimed(one, str(one), age=1.0, recipient="ada@example.org", payload="{}", expires_in=0.02)
    async with store() as (server, fetching):
        route = route_to(fetching, linking(server.url, "/a"), recorder)
        render = route.compose

        def slowly(notification: Notification) -> Email:
            time.sleep(0.03)
            message: Email = render(notification)
            return message

        route.compose = slowly
        found = await deliver(leased(claimed), route)
        assert server.requests == []
    assert isinstance(found, Expired)
    assert recorder.keys == []


async def test_a_message_that_names_nothing_waits_for_nothing() -> None:
    found, recorder = await outcome(Reply(500), paths=())
    assert isinstance(found, Sent)
    assert len(recorder.sent) == 1


def configured(server: HttpServer, file: Path) -> Config:
    port = server.url.rpartition(":")[2]
    environ = {
        "OUTBOX_ATTACHMENTS_ALLOW": "127.0.0.0/8,files.internal",
        "OUTBOX_ATTACHMENTS_PORTS": port,
        "OUTBOX_ATTACHMENTS_HTTP": "localhost,127.0.0.1",
    }
    file.write_text('[channels.email]\nproviders = ["console"]\n')
    return load(file, environ=environ)


@pytest.mark.parametrize("name", ["postmark", "resend", "sendgrid", "mailgun", "ses", "smtp"])
async def test_every_provider_sends_it_on(name: str, tmp_path: Path) -> None:
    async with store() as (files, _):
        fetching: Any = completion_for("email", configured(files, tmp_path / "outbox.toml"))
        async with fetching.completed(linking(files.url, "/a")) as whole:
            carried = await carried_by(name, whole)
        await fetching.aclose()
    assert [len(content) for content in carried] == [len(IN_BYTES.content), len(PDF)]
    assert carried == [IN_BYTES.content, PDF]


async def carried_by(name: str, message: Email) -> list[bytes]:
    """Send it, and return the files that the far side got."""
    if name == "smtp":
        async with SmtpServer() as server, provider(server.port) as smtp:
            await smtp.send(message, KEY)
        return files_in(server.accepted[0].content)
    return files_of(name, await sent(name, message))


def files_of(name: str, request: Request) -> list[bytes]:
    match name:
        case "ses":
            return files_in(b64decode(request.json()["Content"]["Raw"]["Data"]))
        case "mailgun":
            boundary = request.headers["content-type"].partition("boundary=")[2].encode()
            parts = [part for part in request.body.split(b"--" + boundary) if b'filename="' in part]
            return [part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for part in parts]
        case "postmark":
            return [b64decode(file["Content"]) for file in request.json()["Attachments"]]
    return [b64decode(file["content"]) for file in request.json()["attachments"]]


def files_in(mime: bytes) -> list[bytes]:
    parsed = email.message_from_bytes(mime, policy=email.policy.default)
    contents = [part.get_payload(decode=True) for part in parsed.iter_attachments()]
    return [content for content in contents if isinstance(content, bytes)]


async def test_a_worker_sends_what_a_notification_names(database_url: str, tmp_path: Path) -> None:
    async with store() as (files, _), SmtpServer() as relay:
        attachments = [{"name": "invoice.pdf", "url": f"{files.url}{OBJECT}?{SECRET}"}]
        with psycopg.connect(database_url) as conn:
            payload = {"subject": "Hi", "text": "Hello", "attachments": attachments}
            outbox.enqueue(conn, channel="email", recipient="ada@example.org", payload=payload)
        file = tmp_path / "outbox.toml"
        file.write_text(
            f'[channels.email]\nproviders = ["smtp"]\n[providers.smtp]\nhost = "127.0.0.1"\nport = {relay.port}\n'
            'tls = "none"\nsender = "shop@example.org"\n'
            f'[attachments]\nallow = ["127.0.0.1"]\nports = [{files.url.rpartition(":")[2]}]\nhttp = ["127.0.0.1"]\n'
        )
        await drain(database_url, *process.routes(load(file, environ={}), ["email"], lambda _: None))
    assert files_in(relay.accepted[0].content) == [PDF]


def test_other_channels_have_nothing_to_complete() -> None:
    assert completion_for("sms", Config()) is None
    assert completion_for("fax", Config()) is None


@pytest.mark.parametrize(
    ("mistake", "problem"),
    [
        ('allow = ["10.1.0.0/99"]', "attachments.allow: each must be a host's name, an address, or a network"),
        ('allow = ["bücher..example"]', "attachments.allow: each must be a host's name, an address, or a network"),
        ('http = ["10.1.0.0/16"]', "attachments.http: each must be a host's name, or an address"),
        ('http = ["true"]', "attachments.http: it is no switch for all hosts: name those that it is for, such as"),
    ],
)
def test_a_mistake_in_what_may_be_reached_is_found_by_check(tmp_path: Path, mistake: str, problem: str) -> None:
    file = tmp_path / "outbox.toml"
    file.write_text(f'[channels.email]\nproviders = ["console"]\n[attachments]\n{mistake}\n')
    (found,) = check(load(file, environ={}))
    assert problem in found


def test_that_any_host_is_asked_without_tls_cannot_be_said(tmp_path: Path) -> None:
    file = tmp_path / "outbox.toml"
    file.write_text('[channels.email]\nproviders = ["console"]\n[attachments]\nhttp = true\n')
    with pytest.raises(
        errors.ConfigError, match=r"attachments\.http is true; it must be a list of the hosts that may be"
    ):
        load(file, environ={})


def test_a_notification_names_them_in_its_payload() -> None:
    compose = import_module("outbox.channels.email").compose
    url = f"https://files.example.org/7?{SECRET}"
    payload = {"subject": "Hi", "text": "Hello", "attachments": [{"name": "invoice.pdf", "url": url}]}
    message = compose(Notification(uuid4(), "email", "ada@example.org", payload=payload), None)
    assert message.links == (AttachmentLink("invoice.pdf", url, "application/pdf"),)
