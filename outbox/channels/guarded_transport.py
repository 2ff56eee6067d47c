"""A transport for httpx that connects to checked addresses only, made of the public parts of httpcore.

Connections are pooled by the URL's host, not by its address: two hosts at one address never share one, for its
certificate was verified for the first of them.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

from outbox.channels.lean_httpx import httpcore, httpx

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator

    from outbox.channels.special_addresses import Address

    Addresses = Callable[[str, int], Awaitable[list[Address]]]


class GuardedTransport(httpx.AsyncBaseTransport):
    """Sends requests over connections to what `addresses` returns for a host and port; what it raises goes through."""

    def __init__(self, addresses: Addresses, context: ssl.SSLContext, limits: httpx.Limits) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=_Backend(addresses),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        url = request.url
        core = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _in_httpx_terms():
            response = await self._pool.handle_async_request(core)
        return httpx.Response(
            response.status, headers=response.headers, stream=_Stream(response), extensions=response.extensions
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pool.aclose()


class _Backend(httpcore.AsyncNetworkBackend):
    """Opens connections for the pool: to addresses, never to names."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Try the addresses of a host in their order, each for its share of the time that is left."""
        try:
            async with asyncio.timeout(timeout) as limit:
                addresses = await self._addresses(host, port)
        except TimeoutError:
            raise httpcore.ConnectTimeout("the host did not resolve in time") from None
        except OSError:
            raise httpcore.ConnectError("the host does not resolve") from None
        ends = limit.when()
        failure: Exception = httpcore.ConnectError("the host has no address")
        for number, address in enumerate(addresses):
            left = None if ends is None else max(ends - asyncio.get_running_loop().time(), 0.0)
            share = None if left is None else left / (len(addresses) - number)
            try:
                return await self._inner.connect_tcp(str(address), port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = type(error)("it cannot be connected to")  # without the address
        raise failure

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class _Stream(httpx.AsyncByteStream):
    """The body of a response."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        stream: AsyncIterable[bytes] = self._response.stream  # type: ignore[assignment]  # of an asynchronous pool
        with _in_httpx_terms():
            async for part in stream:
                yield part

    async def aclose(self) -> None:
        await self._response.aclose()


@contextmanager
def _in_httpx_terms() -> Iterator[None]:
    """Turn httpcore's errors into those of the same names in httpx."""
    try:
        yield
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise getattr(httpx, type(error).__name__, httpx.TransportError)(str(error)) from error
