"""desk: one request, whole, to one answer. Whoever has no token of ours gets no further than this: no connection."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from outbox.database import KEEPALIVE, TROUBLE, describe
from outbox.errors import ExpiredToken, InvalidToken
from outbox.oneclick import POST, Keys, read
from outbox.oneclick.token import permits_undo, undo_permit
from outbox.unsubscribe import page
from outbox.unsubscribe.act import KeptBack, ahandle, aresubscribe, masked
from outbox.unsubscribe.forms import fields
from outbox.unsubscribe.words import LANGUAGES, chosen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from outbox.config import Config
    from outbox.messages import OptOut
    from outbox.unsubscribe.words import Words

Connect = Callable[[], AbstractAsyncContextManager[Any]]

_ALLOW = "GET, HEAD, POST"
_AT_ONCE = 10  # connections
_PATIENCE = 20.0  # seconds, for a connection and what is done on it
_RETRY_AFTER = 60
_log = logging.getLogger("outbox.unsubscribe")


class Request(NamedTuple):
    """A request with what matters of it. `body` is None where it was too long to be read."""

    method: str
    token: str
    content_type: str
    accept_language: str
    body: bytes | None

    def __repr__(self) -> str:
        """Show what was asked for, and not the token."""
        return f"Request({self.method!r}, {self.content_type!r})"


class Answer(NamedTuple):
    """A status, headers by name in lower case, and a page."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Desk:
    """Answers requests; the arguments are those of `App`."""

    def __init__(self, config: Config, connect: Connect | None, words: Mapping[str, Words] | None) -> None:
        self._keys = Keys.of(config)
        self._titles = {name: topic.title or name for name, topic in config.topics.items()}
        self._connect = connect or _connecting_to(config.database_url)
        self._languages = {
            **(words or {}),
            **{name: own for name, own in LANGUAGES.items() if name not in (words or {})},
        }
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def answer(self, request: Request) -> Answer:
        """Return what is to be said. Raises what is wrong with the database and will not pass, as `NotMigrated`."""
        speech = _Speech(chosen(request.accept_language, self._languages), self._languages)
        if request.method not in _ALLOW.split(", "):
            return speech.answer(405, "wrong", allow=_ALLOW)
        try:
            opt_out = read(request.token, self._keys)
        except InvalidToken:
            return speech.answer(404, "unknown")
        except ExpiredToken:
            return speech.answer(410, "expired")
        topic = self._titles.get(opt_out.topic, opt_out.topic)
        speech = speech._replace(names={"topic": topic, "recipient": masked(opt_out.channel, opt_out.recipient)})
        if request.method != "POST":
            return speech.answer(200, "ask", form=page.unsubscribing(speech.words.button))
        if request.body is None:
            return speech.answer(413, "wrong")
        return await self._post(request, request.body, opt_out, speech)

    async def _post(self, request: Request, body: bytes, opt_out: OptOut, speech: _Speech) -> Answer:
        form = fields(request.content_type, body)
        name, _, value = POST.partition("=")
        wants = form.get(name) == value
        undoes = permits_undo(form.get(page.UNDO, ""), request.token, self._keys, time.time())
        if not (wants or undoes):
            return speech.answer(400, "wrong")
        try:
            async with asyncio.timeout(_PATIENCE), self._turns:
                return await (self._unsubscribe if wants else self._resubscribe)(request.token, speech)
        except Exception as error:
            cause = getattr(error, "orig", None) or error  # SQLAlchemy's, if it is one of those
            if not isinstance(cause, TROUBLE):
                raise
            _log.warning("somebody could not unsubscribe from %s: %s", opt_out.topic, describe(cause))
            return speech.answer(503, "later", **{"retry-after": str(_RETRY_AFTER)})

    async def _unsubscribe(self, token: str, speech: _Speech) -> Answer:
        async with self._connect() as conn:
            done = await ahandle(conn, token, self._keys)
        # Not to those who were unsubscribed before: whoever has an old copy of the email could be somebody else.
        permit = undo_permit(token, self._keys, time.time()) if done.created else None
        return speech.answer(200, "done", form=page.undoing(speech.words.undo, permit) if permit else "")

    async def _resubscribe(self, token: str, speech: _Speech) -> Answer:
        try:
            async with self._connect() as conn:
                await aresubscribe(conn, token, self._keys)
        except KeptBack:  # and rolled back
            return speech.answer(409, "wrong")
        return speech.answer(200, "undone")


class _Speech(NamedTuple):
    """A language, and what stands in its words for names."""

    language: str
    languages: Mapping[str, Words]
    names: Mapping[str, str] = {}

    @property
    def words(self) -> Words:
        return self.languages[self.language]

    def answer(self, status: int, which: str, *, form: str = "", **headers: str) -> Answer:
        title, text = getattr(self.words, f"{which}_title"), self.words.text(which, self.names)
        body = page.document(self.language, title, text, form)
        return Answer(status, {**page.HEADERS, "content-language": self.language, **headers}, body)


def _connecting_to(url: str) -> Connect:
    @asynccontextmanager
    async def connect() -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        conn = await psycopg.AsyncConnection.connect(
            url, connect_timeout=5, prepare_threshold=None, application_name="outbox unsubscribe", **KEEPALIVE
        )
        async with conn:  # commits, or rolls back, and closes
            yield conn

    return connect
