"""A guard for requests whose URL is written by somebody else: none of them reaches the inside of our network.

A host is resolved once, every address of the answer is looked at, and the connection is made to one of the very
addresses that were looked at: a name that resolves differently the next moment (DNS rebinding) changes nothing. TLS and
the Host header keep the name. https://cheatsheetseries.owasp.org/cheatsheets/Server_Side_Request_Forgery_Prevention_Cheat_Sheet.html
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING

from outbox.channels.guarded_transport import GuardedTransport
from outbox.channels.hosts import canonical, is_name, is_number, network
from outbox.channels.lean_httpx import httpx
from outbox.channels.lookups import Lookups
from outbox.channels.special_addresses import Address, plain, rule_against
from outbox.errors import Rejected

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Iterable

    from outbox.channels.guarded_settings import GuardedSettings

    Resolve = Callable[[str], Awaitable[list[str]]]

_DEFAULT_PORTS = {"https": 443, "http": 80}
_NEVER_IN_A_URL = re.compile(r"[\x00-\x20\x7f\\]")


class Guard:
    """Says which URLs and addresses may be reached, and makes the transport that reaches no others.

    `without_tls` are the hosts that may be asked so. `resolve` returns a host's addresses, and raises OSError if there
    are none; by default the system is asked.
    """

    def __init__(
        self, settings: GuardedSettings, *, without_tls: Iterable[str] = (), resolve: Resolve | None = None
    ) -> None:
        self._without_tls = frozenset(without_tls)
        self._ports = frozenset(settings.ports)
        self._networks = [found for entry in settings.allow if (found := network(entry)) is not None]
        self._names = {entry for entry in settings.allow if network(entry) is None}
        self._lookups = Lookups()
        self._resolve = resolve or self._lookups

    def check(self, url: str) -> httpx.URL:
        """Return a URL that may be asked for, as far as can be told without resolving its host.

        Raises:
            Rejected: it may not; says by which rule, and never repeats it.
        """
        if _NEVER_IN_A_URL.search(url):
            raise _refused("it has a space, a backslash or a control character")
        try:
            parsed = httpx.URL(url)
            port = parsed.port or _DEFAULT_PORTS.get(parsed.scheme, 0)
        except (httpx.InvalidURL, ValueError):
            raise _refused("it is not a URL") from None
        if parsed.scheme not in _DEFAULT_PORTS:
            raise _refused("it does not begin with https://")
        if "@" in re.split(r"[/?#]", url.partition("//")[2])[0]:
            raise _refused("it has a user or a password in it")
        host = parsed.raw_host.decode("ascii")
        self._check_host(host, port)
        if parsed.scheme == "http" and canonical(host) not in self._without_tls:
            raise _refused("it does not begin with https://, and its host is not one that http names")
        return parsed

    async def addresses(self, host: str, port: int) -> list[Address]:
        """Return the addresses of a host, each of which may be connected to. It is resolved once.

        Raises:
            Rejected: one of them, or the host or port itself, is refused; says by which rule, and not which address.
            OSError: it does not resolve.
            Temporary: too many others are being resolved.
        """
        literal = self._check_host(host, port)
        found = [literal] if literal else [ip_address(text) for text in await self._resolve(host)]
        for address in dict.fromkeys(found):
            rule = None if host in self._names else self._rule_against(address)
            if rule:
                raise _refused(f"its host is, or resolves to, {rule}")
        return list(dict.fromkeys(found))

    def transport(self, context: ssl.SSLContext, limits: httpx.Limits) -> GuardedTransport:
        """Return the transport for one client, with the TLS `context` given."""
        return GuardedTransport(self.addresses, context, limits)

    def close(self) -> None:
        """Let go of the threads; what is still being resolved is not waited for."""
        self._lookups.close()

    def _check_host(self, host: str, port: int) -> Address | None:
        """Return the address that a host is written as, None if it is a name."""
        if port not in self._ports:
            raise _refused("its port is none of those allowed")
        try:
            return ip_address(host)
        except ValueError:
            pass
        if is_number(host):
            raise _refused("its host is a number: an IPv4 address has four, in decimal")
        if not is_name(host):
            raise _refused("its host is no name of a host")
        return None

    def _rule_against(self, address: Address) -> str | None:
        end = plain(address)
        allowed = any(end in within for within in self._networks if within.version == end.version)
        return None if allowed else rule_against(address)


def _refused(rule: str) -> Rejected:
    return Rejected(f"the URL is refused: {rule}", code="target")
