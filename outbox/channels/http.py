"""HTTP for providers: the one place where trouble on the way becomes the errors of this package.

A request ends in an `Answer`, whatever its status, or raises: `Temporary` if nothing of it went out, so that it cannot
have been accepted, else `Ambiguous`. What an answer means is the provider's to say, by tables of its own codes and
statuses, on top of what the statuses mean everywhere (RFC 9110).
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import ssl
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, NamedTuple

from outbox.channels.lean_httpx import httpx
from outbox.channels.settings import HttpSettings
from outbox.errors import (
    Ambiguous,
    DeliveryError,
    Misconfigured,
    NotSent,
    Rejected,
    Temporary,
    Throttled,
    Unrecognised,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox.channels.guard import Guard
    from outbox.channels.settings import ConnectionSettings

# They log URLs and headers, where APIs have their secrets. Whoever wants that all the same sets a level afterwards.
for _chatty in ("httpx", "httpcore", "hpack"):
    logging.getLogger(_chatty).setLevel(logging.WARNING)

BODY_LIMIT = 65_536
"""Bytes of an answer that are read; the rest is left on the wire, and the connection closed."""
_KEPT = 100  # connections that are kept open while they are idle; how many there may be is bounded by the slots
_KEPT_FOR = 15.0  # seconds; a load balancer closes an idle one after 60 at the earliest
# Of the timeout, for which a connection that is shared may be silent. Only such a silence closes it, so that it has to
# be noticed before the requests give up: or else all that follow would be sent into a connection that is dead.
_SHARED_PATIENCE = 0.9
_PATIENCE = 2.0  # seconds for the body of an acceptance, which has an id in it at best
_NEVER_BEGUN = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_OURS = (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL)
_RETRY_HEADERS = ("retry-after", "x-ratelimit-reset")

STATUSES: Mapping[int, type[DeliveryError]] = {
    401: Misconfigured,
    402: Misconfigured,
    403: Misconfigured,
    404: Misconfigured,
    405: Misconfigured,
    407: Misconfigured,
    408: Throttled,
    413: Rejected,
    425: Throttled,
    429: Throttled,
    500: Ambiguous,
    502: Ambiguous,
    503: Temporary,
    504: Ambiguous,
}
"""What a status means where a provider's own tables say nothing else. Others: see `error`."""


class Answer(NamedTuple):
    """What came back: `headers` by lower-case name, and at most `BODY_LIMIT` bytes of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_accepted(self) -> bool:
        """Whether the status is a 2xx. What the body says then, or whether it can be read, changes nothing."""
        return 200 <= self.status < 300  # noqa: PLR2004 - RFC 9110 section 15.3

    def find(self, *path: str | int) -> Any:
        """Return what stands at a path in the JSON of the body, such as `"errors", 0, "code"`; None where nothing does.

        A body that is no JSON has nothing anywhere: it never raises.
        """
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        for step in path:
            if isinstance(found, dict) and isinstance(step, str):
                found = found.get(step)
            elif isinstance(found, list) and isinstance(step, int) and step < len(found):
                found = found[step]
            else:
                return None
        return found

    def text(self, *path: str | int) -> str:
        """Return what stands at a path as text, with numbers written out; "" where there is none, or a structure."""
        found = self.find(*path)
        return str(found) if isinstance(found, str | int | float) and not isinstance(found, bool) else ""

    @property
    def retry_after(self) -> float | None:
        """The seconds after which to come again, if it says so: Retry-After, as seconds or as a date, or a reset time.

        https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
        """
        for name in _RETRY_HEADERS:
            if (seconds := _seconds(self.headers.get(name, ""))) is not None:
                return seconds
        return None


class Client:
    """One provider's connections. Making it opens none; use it in one event loop, and end with `aclose`."""

    def __init__(
        self,
        settings: ConnectionSettings,
        *,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        http2: bool = False,
        guard: Guard | None = None,
    ) -> None:
        """`headers` go with every request; `auth` is a user and password for Basic authentication.

        With `http2`, it is spoken where the server speaks it too; all requests then share one connection. A `guard`
        makes the connections where strangers say where to: then the environment's proxies are not used.
        """
        self._timeout = settings.timeout
        self._http2 = http2
        context = ssl.create_default_context(cafile=settings.ca_file)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=_KEPT, keepalive_expiry=_KEPT_FOR)
        self._client = httpx.AsyncClient(
            base_url=settings.url if isinstance(settings, HttpSettings) else "",
            auth=auth,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # none is kept: it would go to others
            headers={"accept": "application/json", "accept-encoding": "identity", **(headers or {})},
            verify=context,
            timeout=httpx.Timeout(
                settings.timeout * (_SHARED_PATIENCE if http2 else 1), connect=settings.connect_timeout
            ),
            limits=limits,
            http2=http2,
            follow_redirects=False,
            transport=guard.transport(context, limits) if guard else None,
            trust_env=guard is None,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def get(self, path: str, **given: Any) -> Answer:
        """Ask for something; see `request`."""
        return await self.request("GET", path, **given)

    async def post(self, path: str, **given: Any) -> Answer:
        """Send something; see `request`."""
        return await self.request("POST", path, **given)

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        form: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request and return its answer, whatever its status; redirects are answers like any other.

        The body is `json`, a `form` (a list is a field that comes several times), or `content` as it is.

        Raises:
            Temporary: there was no connection, so that nothing went out.
            Ambiguous: it went out, or may have, and no status came back in time.
            Rejected: it cannot be said in HTTP.
            NotSent: it was cancelled before anything went out.
        """
        begun = False

        async def trace(event: str, info: Any) -> None:
            nonlocal begun
            if event.endswith("send_request_headers.started"):
                begun = begun or info["request"].method != b"CONNECT"  # which is for a proxy

        extensions = {"trace": trace}
        try:
            request = self._client.build_request(
                method, path, json=json, data=form, content=content, headers=headers, extensions=extensions
            )
        except (ValueError, TypeError, RecursionError, httpx.InvalidURL) as error:
            raise Rejected(f"it cannot be said in HTTP: {type(error).__name__}") from None
        try:
            async with asyncio.timeout(self._timeout) as limit:
                response = await self._client.send(request, stream=True)
        except asyncio.CancelledError:
            if begun:
                raise
            raise NotSent from None
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise _trouble(error, begun=begun, seconds=self._timeout, http2=self._http2) from None
        left = (limit.when() or 0.0) - asyncio.get_running_loop().time()
        return Answer(response.status_code, dict(response.headers), await _body(response, left))


async def _body(response: httpx.Response, seconds: float) -> bytes:
    """Return the beginning of the body, or what of it came: with a status, what happens to it decides nothing.

    Nor does a cancellation, once the message was accepted: whoever cancels is told that it was.
    """
    body, accepted = bytearray(), response.is_success
    try:
        async with asyncio.timeout(max(min(seconds, _PATIENCE if accepted else seconds), 0.0)):
            async for piece in response.aiter_raw():
                body += piece
                if len(body) >= BODY_LIMIT:
                    break
    except Exception:  # noqa: BLE001, S110 - over HTTP/2, what breaks off a body comes in any kind
        pass
    except asyncio.CancelledError:
        if not accepted:
            raise
    finally:
        await response.aclose()
    return bytes(body[:BODY_LIMIT])


def _trouble(error: Exception, *, begun: bool, seconds: float, http2: bool) -> DeliveryError:
    """Return what it means that no status came back. The words of most errors could quote a URL, and a secret in it."""
    kind = type(error).__name__
    # Over HTTP/2, a peer that breaks the rules looks like us, and one request's trouble is that of all others.
    if isinstance(error, _OURS) and not (http2 and isinstance(error, httpx.LocalProtocolError)):
        return Rejected(f"it cannot be said in HTTP: {kind}")
    if isinstance(error, httpx.ProxyError) and str(error).startswith("407"):
        return Misconfigured("the proxy wants a user and a password", code="407")
    if isinstance(error, _NEVER_BEGUN) or not begun:
        said = str(error) if isinstance(error, httpx.ConnectError) else ""
        return Temporary(f"no connection: {kind}{': ' if said else ''}{said}")
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return Ambiguous(f"no answer within {seconds:g} s")
    return Ambiguous(f"the connection ended before the answer: {kind}")


def error(
    answer: Answer,
    *,
    code: str = "",
    detail: str = "",
    codes: Mapping[str, type[DeliveryError]] | None = None,
    statuses: Mapping[int, type[DeliveryError]] | None = None,
) -> DeliveryError:
    """Return what a refusal means, for the caller to raise: by its code, else by its status.

    `code` and `detail` are what the provider calls it, and `codes` what its codes mean: one that looks like a status is
    none. `statuses` are those that mean something else here than everywhere. A redirect means that `url` is wrong. A
    4xx that nobody knows is `Unrecognised`, as is a 2xx whose body refuses; any other 5xx proves nothing, so it is
    `Ambiguous`.
    """
    status = answer.status
    by_status = {**STATUSES, **(statuses or {})}
    means = (codes or {}).get(code) or by_status.get(status) or _by_hundreds(status)
    words = detail or f"HTTP {status}"
    shown = f"{status} {code}" if code and code != str(status) else str(status)
    if issubclass(means, Temporary | Throttled):
        return means(words, code=shown, retry_after=answer.retry_after)
    return means(words, code=shown)


def _by_hundreds(status: int) -> type[DeliveryError]:
    return {2: Unrecognised, 3: Misconfigured, 4: Unrecognised}.get(status // 100, Ambiguous)


def _seconds(value: str) -> float | None:
    text = value.strip()
    if re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,9})?", text):
        number = float(text)
        now = time.time()
        return number - now if number > now / 2 else number  # a moment of this age of the world, or so many seconds
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - time.time()
    except (TypeError, ValueError, OverflowError):
        return None
