"""masks: whom something is about, said so that only who knows them already recognises them."""

from __future__ import annotations

import re
from functools import partial

LEFT_OUT = "…"
_LONG_ENOUGH = 8  # characters; of what is shorter, nothing is shown
_PARTS = re.compile(
    r"""(?P<url>https?://[^\s"'<>]+)
    | (?P<address>[^\s"'<>(),:;@]+@[^\s"'<>(),:;@]+)
    | (?P<number>\+\d[\d ()-]{5,18}\d | (?<![\w-])\d{9,15}(?![\w-]))
    | (?P<token>\b[\w-]{40,})
    """,
    re.VERBOSE,
)


def mask(recipient: str) -> str:
    """Return `a***@example.org` for an address, `+49…123` for a number, `https://example.org/…` for a URL.

    Of anything else (a device's token, a chat, a person as the application calls them) the last three characters.
    """
    local, at, domain = recipient.rpartition("@")
    if at and local and not recipient.startswith(("http://", "https://")):
        return f"{local[0]}***@{domain}"
    if recipient.startswith(("http://", "https://")):
        scheme, _, rest = recipient.partition("://")
        host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
        return f"{scheme}://{host}/{LEFT_OUT}"
    if len(recipient) < _LONG_ENOUGH:
        return "***"
    return f"{recipient[:3] if recipient.startswith('+') else ''}{LEFT_OUT}{recipient[-3:]}"


def without_recipients(words: str, *, masked: bool = False) -> str:
    """Return what somebody said without the addresses, numbers, URLs and tokens in it: left out, or masked."""
    return _PARTS.sub(partial(_hide, masked=masked), words) if words else words


def _hide(found: re.Match[str], *, masked: bool) -> str:
    return mask(found[0]) if masked else LEFT_OUT
