"""One file that a message names by URL, downloaded under guard.

A URL of an object in a store is a secret as a rule, by its query: it is in no error and in no log.
"""

from __future__ import annotations

import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING

from outbox.channels.guard import Guard
from outbox.channels.http import Answer
from outbox.channels.lean_httpx import httpx
from outbox.errors import DeliveryError, Rejected, Temporary

if TYPE_CHECKING:
    from outbox.channels.guarded_settings import TlsOptionalSettings

_OK = 200
_GONE = (404, 410)
_NOT_NOW = (408, 425, 429)
_ITS_FAULT = range(500, 600)
_ELSEWHERE = range(300, 400)
_HEADERS = {"accept": "*/*", "accept-encoding": "identity", "user-agent": "outbox"}


class Downloads:
    """Gets files, and keeps connections open for the next ones: `kept` at most. End with `aclose`."""

    def __init__(self, settings: TlsOptionalSettings, *, kept: int) -> None:
        self._guard = Guard(settings, without_tls=settings.http)
        context = ssl.create_default_context(cafile=settings.ca_file)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=kept, keepalive_expiry=15.0)
        self._client = httpx.AsyncClient(
            headers=_HEADERS,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # none is kept: it would go to others
            timeout=httpx.Timeout(settings.timeout, connect=settings.connect_timeout),
            follow_redirects=False,
            transport=self._guard.transport(context, limits),
            trust_env=False,
        )

    async def get(self, url: str, which: str, left: int) -> bytes:
        """Return what is there, if it is `left` bytes at most. `which` is what errors call it.

        Raises:
            Rejected: it may not be asked for, is not there or elsewhere, or is too large.
            Temporary: there was no answer, or none that is final.
        """
        try:
            checked = self._guard.check(url)
            async with self._client.stream("GET", checked) as response:
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

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()
        self._guard.close()


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
