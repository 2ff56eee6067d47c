"""asgi: the application behind the links. It has no cookies and no scripts, redirects nobody, and only a POST acts.

https://asgi.readthedocs.io/en/latest/specs/www.html. What it does for a request is `Desk`'s; here it is spoken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outbox import config as configuration
from outbox.unsubscribe.desk import Connect, Desk, Request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping
    from typing import TypeAlias

    from outbox.config import Config
    from outbox.unsubscribe.words import Words

    Message: TypeAlias = MutableMapping[str, Any]
    Receive: TypeAlias = Callable[[], Awaitable[Message]]
    Send: TypeAlias = Callable[[Message], Awaitable[None]]

LONGEST_BODY = 8_192  # bytes; a mail program sends fewer than 300


class App:
    """An ASGI application for the links of a configuration, wherever it is mounted: the last part of a path is a token.

    Args:
        config: with `unsubscribe.secret`, and the `title` of topics.
        connect: what returns an asynchronous context manager of a connection that `aenqueue` takes, in a transaction
            that is committed at its end: a psycopg_pool's `connection`, or `begin` of an SQLAlchemy engine. Without it,
            each request that acts makes a connection to `database.url`.
        words: texts by language, over those in English and German; the first is for those who ask for none of them.

    Raises:
        ConfigError: there is no secret, or neither `connect` nor the database's URL.
    """

    def __init__(
        self, config: Config, *, connect: Connect | None = None, words: Mapping[str, Words] | None = None
    ) -> None:
        self._desk = Desk(config, connect, words)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one connection, as ASGI has it."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        body = await _body(receive, headers) if scope["method"] == "POST" else b""
        if body is None:
            return  # they have gone
        token = scope["path"].rpartition("/")[2]
        answer = await self._desk.answer(
            Request(
                scope["method"],
                token,
                headers.get(b"content-type", ""),
                headers.get(b"accept-language", ""),
                body if len(body) <= LONGEST_BODY else None,
            )
        )
        fields = {**answer.headers, "content-length": str(len(answer.body))}
        raw = [(name.encode(), value.encode("latin-1")) for name, value in fields.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})


def app() -> App:
    """Return an application with the configuration that there is, for a server that takes a factory.

    Raises:
        ConfigError: as `outbox.config.load` and `App`.
    """
    return App(configuration.load())


async def _body(receive: Receive, headers: Mapping[bytes, str]) -> bytes | None:
    """Return the body, or as much of it as shows that it is too long; None if the client has gone."""
    length = headers.get(b"content-length", "0")
    if length.isdecimal() and len(length) < 20 and int(length) > LONGEST_BODY:  # noqa: PLR2004 - int() has a limit, too
        return bytes(LONGEST_BODY + 1)
    body = b""
    while len(body) <= LONGEST_BODY:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return body


async def _live(receive: Receive, send: Send) -> None:
    """Say that all is well, at the start of a server and at its end: nothing is held between requests."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
