"""A message that was taken, but not for everybody who should get a copy: that is told of, and nobody by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox import errors, events
from outbox.config import load
from outbox.messages import Receipt
from outbox.outcomes import Sent
from outbox.worker import process
from tests.hands import enqueue, rows
from tests.providers.counterpart import KEY
from tests.providers.server import Reply
from tests.recorder import Recorder, drain, route
from tests.smtp_client import provider
from tests.smtp_server import SmtpServer
from tests.test_deliver import attempt
from tests.test_email_apis import provider_at
from tests.test_email_copies import EITHER_WAY, MESSAGE, refusing

if TYPE_CHECKING:
    from pathlib import Path

    from outbox.events import Event
    from outbox.messages import Notification


@EITHER_WAY
async def test_smtp_tells_the_code_of_each_and_of_each_message_anew(offers: tuple[str, ...]) -> None:
    script = refusing(bob="550 5.1.1 <bob@example.org>: no such user", dan="450 greylisted")
    async with SmtpServer(script, extensions=offers) as server, provider(server.port) as smtp:
        assert (await smtp.send(MESSAGE, KEY)).refused_copies == ("550 5.1.1", "450")
        assert (await smtp.send(MESSAGE._replace(bcc=()), KEY)).refused_copies == ("550 5.1.1",)
        assert (await smtp.send(MESSAGE._replace(cc=(), bcc=()), KEY)).refused_copies == ()
        assert (await smtp.send(MESSAGE._replace(cc=(), bcc=("eve@example.org",)), KEY)).refused_copies == ()
    assert server.connections == 1


async def test_so_does_postmark_for_those_who_are_inactive() -> None:
    words = "Message OK, but will not deliver to these inactive addresses: bob@example.org, dan@example.org."
    acceptance = Reply(200, {"ErrorCode": 0, "MessageID": "b7bc2f4a", "Message": words})
    async with provider_at("postmark", acceptance) as (postmark, _):
        assert await postmark.send(MESSAGE, KEY) == Receipt("b7bc2f4a", refused_copies=("200 406", "200 406"))
        assert (await postmark.send(MESSAGE, KEY)).refused_copies == ()


async def test_a_delivery_tells_of_it_and_is_sent() -> None:
    class Choosy(Recorder):
        async def send(self, message: Notification, key: str) -> Receipt:
            return (await super().send(message, key))._replace(refused_copies=("550\x1b[2J", "450 4.2.1"))

    seen: list[Event] = []
    assert isinstance(await attempt(route(Choosy(), events=seen)), Sent)
    (told,) = seen
    assert isinstance(told, events.CopiesRefused)
    assert (told.channel, told.provider, told.codes) == ("email", "recorder0", ("550", "450 4.2.1"))


async def test_a_worker_tells_of_it_and_repeats_no_address(database_url: str, tmp_path: Path) -> None:
    payload = {"subject": "Hi", "text": "Hello", "cc": ["bob@example.org", "cleo@example.org"]}
    (one,) = enqueue(database_url, recipient="ada@example.org", payload=payload)
    seen: list[Event] = []
    async with SmtpServer(refusing(bob="550 5.1.1 <bob@example.org>: no such user")) as relay:
        file = tmp_path / "outbox.toml"
        file.write_text(
            f'[channels.email]\nproviders = ["smtp"]\n[providers.smtp]\nhost = "127.0.0.1"\nport = {relay.port}\n'
            'tls = "none"\nsender = "shop@example.org"\n'
        )
        await drain(database_url, *process.routes(load(file, environ={}), ["email"], seen.append))
    assert rows(database_url, "SELECT outcome FROM outbox.attempts") == [("sent",)]
    assert events.CopiesRefused(one, "email", "smtp", ("550 5.1.1",)) in seen
    assert "bob" not in str(seen)


async def test_where_the_recipient_is_refused_too_there_is_nothing_to_tell() -> None:
    nobody = refusing(ada="550 5.1.1 no such user", bob="550 5.1.1 no such user")
    seen: list[Event] = []
    async with SmtpServer(nobody) as server, provider(server.port) as smtp:
        to = route(smtp, events=seen)  # type: ignore[arg-type]
        to.compose = lambda _: MESSAGE
        outcome = await attempt(to)
    assert outcome.reason == errors.Unreachable.name
    assert seen == []
