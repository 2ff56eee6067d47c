"""The addresses that are not the public internet's, each with the name of the rule by which it is refused.

Python's own `is_global` and `is_private` do not do: what they say depends on the version, and passes loopback that is
dressed up for NAT64 or 6to4. So here is the list, from IANA's registries of special-purpose addresses:
https://www.iana.org/assignments/iana-ipv4-special-registry, https://www.iana.org/assignments/iana-ipv6-special-registry.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address

_IPV4 = [
    (IPv4Network(network), rule)
    for network, rule in (
        ("0.0.0.0/8", "an unspecified address"),  # Linux takes all of them for this host
        ("10.0.0.0/8", "a private address"),
        ("100.64.0.0/10", "a carrier's shared address"),  # and Alibaba's metadata, 100.100.100.200
        ("127.0.0.0/8", "a loopback address"),
        ("168.63.129.16/32", "a cloud's metadata"),  # Azure's: the only one that is public by its number
        ("169.254.0.0/16", "a link-local address"),  # and the metadata of most clouds, 169.254.169.254
        ("172.16.0.0/12", "a private address"),
        ("192.0.0.0/24", "a reserved address"),  # protocol assignments, and Oracle's metadata, 192.0.0.192
        ("192.0.2.0/24", "a documentation address"),
        ("192.88.99.0/24", "a reserved address"),  # once the relays of 6to4
        ("192.168.0.0/16", "a private address"),
        ("198.18.0.0/15", "a benchmarking address"),
        ("198.51.100.0/24", "a documentation address"),
        ("203.0.113.0/24", "a documentation address"),
        ("224.0.0.0/4", "a multicast address"),
        ("240.0.0.0/4", "a reserved address"),  # and the broadcast address
    )
]
_IPV6 = [
    (IPv6Network(network), rule)
    for network, rule in (
        ("::/128", "an unspecified address"),
        ("::1/128", "a loopback address"),
        ("::/96", "an IPv4-compatible address"),
        ("64:ff9b:1::/48", "a local translation's address"),  # where in it the IPv4 address is, the network decides
        ("2001::/23", "a reserved address"),  # protocol assignments: Teredo, benchmarking, ORCHID
        ("2001:db8::/32", "a documentation address"),
        ("2002::/16", "a 6to4 address"),
        ("3fff::/20", "a documentation address"),
        ("fc00::/7", "a private address"),
        ("fe80::/10", "a link-local address"),
        ("fec0::/10", "a site-local address"),
        ("ff00::/8", "a multicast address"),
    )
]
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_IPV4_WITHIN = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))  # IPv4-mapped, and NAT64 (RFC 6052)


def plain(address: Address) -> Address:
    """Return the IPv4 address that an IPv4-mapped or a NAT64 one stands for, and any other as it is."""
    if isinstance(address, IPv6Address) and any(address in network for network in _IPV4_WITHIN):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def rule_against(address: Address) -> str | None:
    """Return what an address is, such as `a loopback address`, if it is not the public internet's; None if it is."""
    end = plain(address)
    if isinstance(end, IPv4Address):
        return next((rule for network, rule in _IPV4 if end in network), None)
    if end.scope_id is not None:
        return "an address with a zone"
    listed = next((rule for network, rule in _IPV6 if end in network), None)
    return listed or (None if end in _GLOBAL_UNICAST else "a reserved address")
