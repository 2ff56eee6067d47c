"""Attachments that a message names by URL: fetched before any provider is given it, and under guard.

A URL of an object in a store is a secret as a rule, by its query: it is in no error and in no log.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from outbox.attachments import SIZE_LIMIT
from outbox.errors import NotSent, Temporary, Throttled
from outbox.messages import Attachment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from outbox.channels.email.downloads import Downloads
    from outbox.channels.guarded_settings import TlsOptionalSettings
    from outbox.messages import Email

_AT_ONCE = 8  # messages with fetched files, until they are sent: each may take up to five times its files in memory


class Fetching:
    """Completes messages: what they name by URL is attached to them. Making it opens nothing; end with `aclose`."""

    def __init__(self, settings: TlsOptionalSettings, *, limit: int = SIZE_LIMIT) -> None:
        """`limit` is in bytes, of all the files of one message, those that it brought along included."""
        self._settings = settings
        self._limit = limit
        self._downloads: Downloads | None = None
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
        if self._downloads is not None:
            await self._downloads.aclose()

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
                    files.append(Attachment(link.name, await self._open().get(link.url, which, left), link.type))
                    left -= len(files[-1].content)
        except TimeoutError:
            raise Temporary(f"the attachments by URL did not come within {self._settings.timeout:g} s") from None
        return message._replace(attachments=tuple(files), links=())

    def _open(self) -> Downloads:
        if self._downloads is None:
            # With it comes a client of HTTP, which takes a third of what all else does that a worker imports.
            from outbox.channels.email.downloads import Downloads  # noqa: PLC0415

            self._downloads = Downloads(self._settings, kept=_AT_ONCE)
        return self._downloads
