r"""The grammar of an email address that this package lets through: the mailboxes people have, and nothing clever.

RFC 5321 also allows quoted local parts, comments, address literals and source routes. No mailbox needs them, and they
are how commands get injected: common SMTP clients let `a@b.c>\r\nRCPT TO:<evil@x` and `a@b.c> NOTIFY=SUCCESS` through.
"""

from __future__ import annotations

import re

LOCAL_PART_LIMIT = 64
ADDRESS_LIMIT = 254

# What no mailbox holds, beyond ASCII: controls, spaces, line separators, zero-width and bidirectional marks, variation
# selectors, surrogates, private use, non-characters, tags, and wide ASCII punctuation (of which normalising a domain
# makes real dots and at signs).
_UNSAFE = (
    r"\x80-\xa0\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f"
    r"\u2000-\u200f\u2024-\u202f\u205f-\u206f\u2488-\u249b\u3000\u3002\u3164\ud800-\uf8ff\ufe00-\ufe1f\ufe50-\ufe6f"
    r"\ufeff\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\uffa0\uffe0-\uffff"
    r"\U000110bd\U000110cd\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U0010ffff"
)
_WIDE = rf"[^\x00-\x7f{_UNSAFE}]"
_ATOM = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_WIDE_LABEL = rf"(?:[A-Za-z0-9]|{_WIDE})(?:(?:[A-Za-z0-9-]|{_WIDE})*(?:[A-Za-z0-9]|{_WIDE}))?"

_ASCII = re.compile(rf"([{_ATOM}]+(?:\.[{_ATOM}]+)*)@((?:{_LABEL}\.)*(?!\d+\Z){_LABEL})")
_INTERNATIONAL = re.compile(
    rf"((?:[{_ATOM}]|{_WIDE})+(?:\.(?:[{_ATOM}]|{_WIDE})+)*)@((?:{_WIDE_LABEL}\.)*(?!\d+\Z){_WIDE_LABEL})"
)
_NEVER = re.compile(rf"[\x00-\x20\x7f\"(),:;<>\[\\\]{_UNSAFE}]")
_NAMED = re.compile(r'\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^"<>]*?))\s*<(?P<address>[^<>]*)>\s*', re.DOTALL)
# How people write numbers, and what comes along when they copy one: spaces, dashes, dots, brackets, invisible marks.
_PUNCTUATION = re.compile(r"[\s().\-/\u2010-\u2015\u2212\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_AT_HOME = re.compile(r"\(\s*0\s*\)")  # the 0 that is dialled in its country alone
NUMBER = re.compile(r"\+[0-9]+")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
BEYOND_ASCII = "this address has non-ASCII characters before the @, and only the recipient's may"
_ENCODED_WORD = "=?"  # in an address header, mail programs may decode it (RFC 2047) and show another address


def bare_number(text: str) -> str:
    """Return a telephone number without punctuation, and anything else as it is: `+1 (415) 555-0100` is `+14155550100`.

    Whoever is known by two texts is two people to all that is kept about them.
    """
    bare = _PUNCTUATION.sub("", _AT_HOME.sub("", text))
    return bare if NUMBER.fullmatch(bare) else text


def one_form(channel: str, recipient: str) -> str:
    """Return a recipient of a channel as it is kept: a telephone number without punctuation."""
    return bare_number(recipient) if channel == "sms" else recipient


def check_email(address: str) -> None:
    """Check that `address` is a plain mailbox, `local-part@domain`, and safe in an SMTP command and a header.

    Internationalised addresses pass (RFC 6531), as do private domains without a dot. Whether the domain exists, or can
    be encoded for the DNS, is settled at delivery. Limits are those of RFC 5321 section 4.5.3.1: 64 octets for the
    local part, 254 for the whole.

    Raises:
        ValueError: it is not; one sentence that says what is wrong, and never repeats the address.
    """
    if len(address) > ADDRESS_LIMIT:
        raise ValueError(f"an email address has at most {ADDRESS_LIMIT} octets; this one has {len(address)} characters")
    match = (_ASCII if address.isascii() else _INTERNATIONAL).fullmatch(address)
    if match is None or _ENCODED_WORD in address:
        raise ValueError(_problem(address))
    if _octets(match[1]) > LOCAL_PART_LIMIT:
        raise ValueError(f"the part before the @ has more than {LOCAL_PART_LIMIT} octets")
    if _octets(address) > ADDRESS_LIMIT:
        raise ValueError(f"an email address has at most {ADDRESS_LIMIT} octets; this one has {_octets(address)}")


def split_mailbox(text: str) -> tuple[str, str]:
    """Return the display name, which may be empty, and the address of `Name <address>` or of a bare address.

    The address is not checked.

    Raises:
        ValueError: the name has a control character or a line separator in it.
    """
    match = _NAMED.fullmatch(text)
    if match is None:
        return "", text.strip(" ")
    quoted = match["quoted"]
    name = match["plain"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
    if _UNPRINTABLE.search(name):
        raise ValueError("the display name has a control character or a line separator in it")
    return re.sub(" +", " ", name).strip(), match["address"]


def check_mailbox(text: str) -> None:
    """Check that `text` is `Name <address>` or an address, which every mail server and API takes.

    Raises:
        ValueError: it is not; one sentence that never repeats it.
    """
    _, address = split_mailbox(text)
    check_plain_email(address)


def check_plain_email(address: str) -> None:
    """Check that `address` is a mailbox that every mail server and API takes: ASCII before the @.

    Raises:
        ValueError: it is not; one sentence that never repeats it.
    """
    check_email(address)
    if not address.rpartition("@")[0].isascii():
        raise ValueError(BEYOND_ASCII)


def _octets(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _problem(address: str) -> str:
    """Return the first thing that is wrong with an address which the grammar refused."""
    if unsafe := _NEVER.search(address):
        return f"an email address may not contain U+{ord(unsafe[0]):04X}"
    if _ENCODED_WORD in address:
        return f"an email address may not contain {_ENCODED_WORD}"
    local, at, domain = address.partition("@")
    if not (local and at and domain):
        return "an email address looks like name@example.org"
    if "@" in domain:
        return "an email address has exactly one @"
    if any(part.startswith(".") or part.endswith(".") or ".." in part for part in (local, domain)):
        return "an email address has no leading, trailing or double dots, before or after the @"
    return "the part after the @ is not a domain name"
