"""Files that go along with an email, as they go on the wire."""

from __future__ import annotations

import re
from binascii import b2a_base64
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from outbox.messages import Attachment

_PLAIN = re.compile(r"[A-Za-z0-9 !#$&+.^_`{}~()@,=-]+")
_LINE = 76


def encoded(attachment: Attachment) -> str:
    """Return the content in base64, on one line, as APIs take it."""
    return b2a_base64(attachment.content, newline=False).decode()


def entity(attachment: Attachment) -> bytes:
    """Return the attachment as a part of a MIME message: RFC 2183, with a name that is not ASCII by RFC 2231."""
    flat = b2a_base64(attachment.content, newline=False)
    lines = b"".join([flat[start : start + _LINE] + b"\r\n" for start in range(0, len(flat), _LINE)])
    return (
        f"Content-Type: {attachment.type}\r\nContent-Transfer-Encoding: base64\r\n"
        f"Content-Disposition: attachment;\r\n {_filename(attachment.name)}\r\n\r\n"
    ).encode() + lines


def _filename(name: str) -> str:
    if _PLAIN.fullmatch(name):
        return f'filename="{name}"'
    whole = f"filename*=utf-8''{quote(name, safe='')}"
    return whole if len(whole) <= _LINE else _continued(name)


def _continued(name: str) -> str:
    """Return a name that is too long for a line as a parameter in sections, a line each (RFC 2231 section 4.1)."""
    sections, section = [], "filename*0*=utf-8''"
    for octets in (quote(character, safe="") for character in name):
        if len(section) + len(octets) > _LINE:
            sections.append(section)
            section = f"filename*{len(sections)}*="
        section += octets
    return ";\r\n ".join([*sections, section])
