"""Attachments that a message names by URL: fetched before any provider is given it, and under guard.

A URL of an object in a store is a secret as a rule, by its query: it is in no error and in no log.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING

import httpx

from outbox.attachments import SIZE_LIMIT
from outbox.channels.guard import Guard, TlsOptionalSettings
from outbox.channels.http import Answer
from outbox.errors import DeliveryError, NotSent, Rejected, Temporary, Throttled
from outbox.messages import Attachment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from outbox.messages import AttachmentLink, Email

_AT_ONCE = 8  # messages with fetched files, until they are sent: each may take up to five times its files in memory
_OK = 200
_GONE = (404, 410)
_NOT_NOW = (408, 425, 429)
_ITS_FAULT = range(500, 600)
_ELSEWHERE = range(300, 400)
_HEADERS = {"accept": "*/*", "accept-encoding": "identity", "user-agent": "outbox"}


class Fetching:
    """Completes messages: what they name by URL is attached to them. Making it opens nothing; end with `aclose`."""

    def __init__(self, settings: TlsOptionalSettings, *, limit: int = SIZE_LIMIT) -> None:
        """`limit` is in bytes, of all the files of one message, those that it brought along included."""
        self._settings = settings
        self._limit = limit
        self._guard = Guard(settings, without_tls=settings.http)
        self._client: httpx.AsyncClient | None = None
        self._room = asyncio.Semaphore(_AT_ONCE)

    def needed(self, message: Email) -> bool:
        """Tell whether a message names anything by URL."""
        return bool(message.links)

    @asynccontextmanager
    async def completed(self, message: Email) -> AsyncIterator[Email]:
        """Fetch what a message names, and make room for it until it is sent.

        Raises:
            Rejected: a URL may not be asked for, leads to nothing, or elsewhere; or the files are too large together.
            Temporary: there was no answer in time, or none that is final.
            Throttled: too many others were on their way for too long.
            NotSent: it was cancelled before it was complete.
        """
        try:
            await self._wait_for_room()
            try:
                whole = await self._whole(message)
            except BaseException:
                self._room.release()
                raise
        except asyncio.CancelledError:
            raise NotSent from None
        try:
            yield whole
        finally:
            self._room.release()

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
        self._guard.close()

    async def _wait_for_room(self) -> None:
        try:
            async with asyncio.timeout(self._settings.timeout):
                await self._room.acquire()
        except TimeoutError:
            raise Throttled("too many messages with attachments to fetch were on their way") from None

    async def _whole(self, message: Email) -> Email:
        files = list(message.attachments)
        left = self._limit - sum(len(file.content) for file in files)
        try:
            async with asyncio.timeout(self._settings.timeout):
                for number, link in enumerate(message.links, 1):
                    which = f"attachment by URL, number {number}"
                    files.append(Attachment(link.name, await self._content(link, which, left), link.type))
                    left -= len(files[-1].content)
        except TimeoutError:
            raise Temporary(f"the attachments by URL did not come within {self._settings.timeout:g} s") from None
        return message._replace(attachments=tuple(files), links=())

    async def _content(self, link: AttachmentLink, which: str, left: int) -> bytes:
        try:
            url = self._guard.check(link.url)
            async with self._open().stream("GET", url) as response:
                _check(response, which)
                return await _read(response, which, left)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            # The words of most errors could quote the URL, and with it a secret.
            said = f": {error}" if isinstance(error, httpx.ConnectError) else ""
            raise Temporary(f"{which}: {type(error).__name__}{said}") from None
        except DeliveryError as error:
            if not error.detail.startswith("the URL is refused"):
                raise
            raise Rejected(f"{which}: {error.detail}", code=error.code) from None

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            context = ssl.create_default_context(cafile=self._settings.ca_file)
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=_AT_ONCE, keepalive_expiry=15.0)
            self._client = httpx.AsyncClient(
                headers=_HEADERS,
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # none is kept: it would go to others
                timeout=httpx.Timeout(self._settings.timeout, connect=self._settings.connect_timeout),
                follow_redirects=False,
                transport=self._guard.transport(context, limits),
                trust_env=False,
            )
        return self._client


def _check(response: httpx.Response, which: str) -> None:
    """Raise what it means that there is no file in an answer."""
    status, code = response.status_code, str(response.status_code)
    if status in _NOT_NOW or status in _ITS_FAULT:
        again = Answer(status, dict(response.headers), b"").retry_after
        raise Temporary(f"{which}: its server does not give it now", code=code, retry_after=again)
    if status in _GONE:
        raise Rejected(f"{which}: it is not there", code=code)
    if status in _ELSEWHERE:
        raise Rejected(f"{which}: it leads elsewhere, and is not followed", code=code)
    if status != _OK:
        raise Rejected(f"{which}: its server does not give it, or not any more", code=code)
    if response.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        raise Rejected(f"{which}: it comes compressed, as a file of another kind than its own")


async def _read(response: httpx.Response, which: str, left: int) -> bytes:
    too_large = Rejected(f"{which}: more than {left:,} bytes, which is what is left for it; send a link in the text")
    length = response.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > left:
        raise too_large
    content = bytearray()
    async for piece in response.aiter_raw():
        content += piece
        if len(content) > left:
            raise too_large
    return bytes(content)
