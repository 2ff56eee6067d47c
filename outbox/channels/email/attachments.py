"""The files that a payload brings along: `attachments`, a list of objects with `name`, `content` in base64, `type`."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error, b2a_base64
from mimetypes import guess_type
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from outbox.errors import Rejected
from outbox.messages import Attachment

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEYS = {"name", "content", "type"}
_TYPE = re.compile(r"(?!multipart/|message/)[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
_NAME = re.compile(r"(?!\s)[^\x00-\x1f\x7f-\x9f/\\\u2028\u2029\ud800-\udfff]{1,200}(?<!\s)")
_PLAIN = re.compile(r"[A-Za-z0-9 !#$&+.^_`{}~()@,=-]+")
_LINE = 76
_UNKNOWN = "application/octet-stream"


def read(payload: Mapping[str, Any]) -> tuple[Attachment, ...]:
    """Return the attachments of a payload; none, where it has none.

    Raises:
        Rejected: one is not as it should be; says which and why, and repeats nothing of it.
    """
    given = payload.get("attachments")
    if given is None:
        return ()
    if not isinstance(given, list):
        raise Rejected(f"payload: attachments must be a list, not {type(given).__name__}")
    return tuple(_read(one, number) for number, one in enumerate(given, 1))


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
    return f'filename="{name}"' if _PLAIN.fullmatch(name) else f"filename*=utf-8''{quote(name, safe='')}"


def _read(given: object, number: int) -> Attachment:
    which = f"payload: attachment {number}"
    if not isinstance(given, dict) or not _KEYS >= given.keys() >= {"name", "content"}:
        raise Rejected(f"{which} is not an object with name, content and, if you like, type")
    name, content = given["name"], given["content"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise Rejected(f"{which}: its name is no file's: 1 to 200 characters, none a slash or a control character")
    kind = given.get("type") or guess_type(name)[0] or _UNKNOWN
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind.lower()):
        raise Rejected(f"{which}: its type is no media type of a file, such as application/pdf")
    try:
        return Attachment(name, b64decode(content, validate=True), kind.lower())
    except (Error, TypeError, ValueError):
        raise Rejected(f"{which}: its content is not base64") from None
