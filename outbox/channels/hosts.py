"""Hosts and networks as the configuration has them, and in the form in which they are compared with those of URLs."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from outbox.channels.special_addresses import plain

Network = IPv4Network | IPv6Network

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")  # what resolvers take for an IPv4 address, in any notation


def canonical(host: str) -> str:
    """Return a host as a URL has it in the end: a name in lower case and A-labels (RFC 5890), an address as such.

    An IPv6 address that stands for an IPv4 one is that.

    Raises:
        ValueError: it is neither; never repeats it.
    """
    try:
        return str(plain(ip_address(host)))
    except ValueError:
        pass
    from outbox.channels.lean_httpx import httpx  # noqa: PLC0415 - most configurations name no host here

    try:  # as it is done for URLs, so that what is the same there is the same here
        name = httpx.URL(scheme="https", host=host).raw_host.decode("ascii")
    except httpx.InvalidURL:
        name = ""
    if not is_name(name):
        raise ValueError("it is no name of a host")
    return name


def is_name(host: str) -> bool:
    """Tell whether a host, in lower case and A-labels, is a name, and no number that resolvers take for an address."""
    return _HOST.fullmatch(host) is not None and not is_number(host)


def is_number(host: str) -> bool:
    """Tell whether a host ends like an IPv4 address, in whatever notation."""
    return _NUMBER.fullmatch(host) is not None


def network(entry: str) -> Network | None:
    """Return the network that an entry of the configuration is, or the address as a network of one; None if neither."""
    try:
        found = ip_network(entry)
    except ValueError:
        return None
    if found.num_addresses == 1:  # an IPv4-mapped address is compared as what it stands for
        return ip_network(plain(found.network_address))
    return found
