"""Header fields as the wire wants them: folded, in ASCII, and with nothing in them that starts another field."""

from __future__ import annotations

import re
from binascii import b2a_base64
from datetime import UTC
from functools import lru_cache
from typing import TYPE_CHECKING

from outbox.addresses import BEYOND_ASCII
from outbox.channels.email.mailbox import Mailbox, parse_mailbox, wire_address
from outbox.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_WORDS = re.compile(r"[!-~]+(?: [!-~]+)*")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,75}")

_LINE = 76  # RFC 2047 section 2: a line with an encoded word has at most 76 characters, a word 75
_LINE_LIMIT = 998  # RFC 5322 section 2.1.1
_FOLD = "\r\n "
_UTF8_INNER = 0x80  # the two high bits of a byte that is not a character's first
_WORD_BYTES = 45  # in base64 60 characters, with =?utf-8?b? and ?= 72

# English for everybody, which strftime is not.
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_OURS = {
    "from",
    "to",
    "cc",
    "bcc",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "sender",
    "return-path",
    "received",
}
_OURS_BY_PREFIX = ("content-", "resent-")
_ADDRESSES = {"reply-to", "errors-to", "disposition-notification-to"}
_FREE_TEXT = ("x-", "comments", "organization", "thread-topic")


def unstructured(name: str, text: str) -> str:
    """Return the field `name: text` for free text, such as a subject: plain where it can be, else encoded (RFC 2047).

    Raises:
        Rejected: `text` has a control character or a line separator in it.
    """
    check_text(name, text)
    if not text:
        return f"{name}: "
    plain = _WORDS.fullmatch(text) is not None and "=?" not in text
    if plain and len(name) + 2 + len(text) <= _LINE:
        return f"{name}: {text}"
    if plain and max(map(len, text.split(" "))) <= _LINE - len(name) - 2:
        return _folded(name, text)
    return f"{name}: {_encoded_words(text, used=len(name) + 2)}"


def address(name: str, mailbox: Mailbox) -> str:
    """Return the field `name: Display name <address>`.

    Raises:
        Rejected: the local part is not ASCII; only the recipient's may be.
    """
    if not mailbox.address.isascii():
        raise Rejected(f"{name}: {BEYOND_ASCII}")
    if not mailbox.name:
        return f"{name}: {mailbox.address}"
    plain = mailbox.name.isascii() and len(mailbox.name) <= _LINE - len(name) - 4 and "=?" not in mailbox.name
    if plain and _ATOMS.fullmatch(mailbox.name):
        phrase = mailbox.name
    elif plain:
        phrase = '"' + mailbox.name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    else:
        phrase = _encoded_words(mailbox.name, used=len(name) + 2)
    line = f"{name}: {phrase}"
    fits = len(line) - line.rfind("\n") + len(mailbox.address) + 2 <= _LINE
    return f"{line}{' ' if fits else _FOLD}<{mailbox.address}>"


@lru_cache(maxsize=64)  # many messages share a second
def date(moment: datetime) -> str:
    """Return the Date field of an aware `moment`, in UTC."""
    utc = moment.astimezone(UTC)
    day = f"{_DAYS[utc.weekday()]}, {utc.day:02} {_MONTHS[utc.month - 1]} {utc.year:04}"
    return f"Date: {day} {utc.hour:02}:{utc.minute:02}:{utc.second:02} +0000"


@lru_cache(maxsize=64)
def sender(text: str) -> str:
    """Return the From field of a sender, given as `Name <address>` or an address alone, that was checked before."""
    return address("From", parse_mailbox(text))


def recipient(text: str, field: str = "recipient") -> str:
    """Return a recipient as the wire wants it. Raises `Rejected`: it is no mailbox; never repeats it."""
    try:
        return wire_address(text)
    except ValueError as error:
        raise Rejected(f"{field}: {error}") from None


def copied(text: str, field: str) -> str:
    """Return who gets a copy as the wire wants it. Raises `Rejected`: no mailbox, or one that few servers take."""
    wire = recipient(text, field)
    if not wire.isascii():
        raise Rejected(f"{field}: {BEYOND_ASCII}")
    return wire


def addresses(name: str, wires: Sequence[str]) -> str:
    """Return the field `name` of addresses that are as the wire wants them."""
    return _folded(name, ", ".join(wires))


def extra_fields(headers: Mapping[str, str]) -> str:
    """Return the fields that a notification brings along, such as Reply-To and List-Unsubscribe, each with its CRLF.

    Raises:
        Rejected: a field is one that this package writes itself, comes twice, has no header's name, or holds what such
            a field may not hold; names the field.
    """
    if len({name.lower() for name in headers}) < len(headers):
        raise Rejected(f"headers: one of {', '.join(sorted(headers))} is given twice")
    return "".join([_extra_field(name, value) + "\r\n" for name, value in headers.items()])


def check_text(field: str, text: str) -> None:
    """Check that a value can stand in a header: no control characters, line separators or lone surrogates.

    Raises:
        Rejected: it cannot; names the field and the character, not the text.
    """
    if found := _FORBIDDEN.search(text):
        raise Rejected(f"{field}: U+{ord(found[0]):04X} may not stand in a header; write it on one line, in plain text")


def _extra_field(name: str, value: str) -> str:
    if not _NAME.fullmatch(name):
        raise Rejected(f"headers: {name[:80]!a} is not a header's name (letters, digits and hyphens)")
    lower = name.lower()
    if lower in _OURS or lower.startswith(_OURS_BY_PREFIX):
        raise Rejected(f"{name}: this header is written by outbox and cannot be set by a notification")
    check_text(name, value)
    if lower in _ADDRESSES:
        return _address_field(name, value)
    text = value.strip(" ")
    if lower.startswith(_FREE_TEXT):
        return unstructured(name, text)
    if not text or not text.isascii():
        raise Rejected(f"{name}: the value is {'not ASCII' if text else 'empty'}")
    return _folded(name, text)


def _address_field(name: str, value: str) -> str:
    try:
        return address(name, parse_mailbox(value))
    except ValueError as error:
        raise Rejected(f"{name}: {error}") from None


def _folded(name: str, text: str) -> str:
    """Break a line before spaces, where it gets longer than it should; a long word (a signed URL) stays whole."""
    lines, line = [], f"{name}:"
    for word in text.split():
        if len(line) + 1 + len(word) > _LINE and line[-1] != ":":
            lines.append(line)
            line = ""
        line = f"{line} {word}"
    lines.append(line)
    if max(map(len, lines)) > _LINE_LIMIT:
        raise Rejected(f"{name}: a word in this value is longer than a line of mail may be ({_LINE_LIMIT} octets)")
    return "\r\n".join(lines)


def _encoded_words(text: str, *, used: int) -> str:
    """Encode text in words of whole characters; the first line has `used` characters on it already."""
    data = text.encode()
    words: list[str] = []
    start = 0
    room = max(_WORD_BYTES - (used * 3 + 3) // 4, 6)
    while start < len(data):
        end = start + room
        while end < len(data) and data[end] & 0xC0 == _UTF8_INNER:
            end -= 1
        words.append("=?utf-8?b?" + b2a_base64(data[start:end], newline=False).decode() + "?=")
        start, room = end, _WORD_BYTES
    return _FOLD.join(words)
