"""Where a request came from: over what, from which machine, and from whose page."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

    from outbox.config import WebConfig

_FORWARDED = (
    *("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port"),
    *("x-forwarded-prefix", "x-forwarded-server", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"),
)


def is_secure(connection: HTTPConnection, config: WebConfig) -> bool:
    """Tell whether the browser asks by HTTPS: as the configuration says, else as the server sees it."""
    if config.url is not None:
        return config.url.startswith("https://")
    return connection.url.scheme == "https"


def is_loopback(host: str) -> bool:
    """Tell whether a name or an address is this machine, seen from itself."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def is_local(connection: HTTPConnection) -> bool:
    """Tell whether somebody at this machine asks, through nobody else, for a page by a name that can be no other's.

    A name of somebody else's that leads to 127.0.0.1 would let their page read ours (DNS rebinding).
    """
    if connection.scope.get("http_version") == "1.0":  # no browser's: what nginx asks with, unless told otherwise
        return False
    client = connection.client
    if client is None or not is_loopback(client.host) or any(name in connection.headers for name in _FORWARDED):
        return False
    return is_loopback(_hostname(connection.headers.get("host", "")))


def is_from_elsewhere(connection: HTTPConnection, config: WebConfig) -> bool:
    """Tell whether the browser says that another site's page made it ask. Old ones say nothing.

    A proxy may pass the host on without its port, or another host: ours is also what the configuration says it is.
    """
    if connection.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return True
    origin = connection.headers.get("origin")
    if origin is None or urlsplit(origin).netloc == connection.headers.get("host", ""):
        return False
    ours = urlsplit(config.url or "")
    return origin != f"{ours.scheme}://{ours.netloc}"


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
