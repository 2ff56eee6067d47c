"""One email as bytes: written directly, because the standard library takes a millisecond for what takes a hundredth.

The result is a pure function of its arguments, boundary included, so every attempt sends the same bytes, and a receiver
or a person can tell a repeated copy from a new message.
"""

from __future__ import annotations

import re
from binascii import b2a_base64, b2a_qp
from datetime import UTC, datetime
from hashlib import blake2s
from typing import TYPE_CHECKING

from outbox.channels.email import headers
from outbox.channels.email.attachments import entity
from outbox.channels.email.recipients import recipients_of
from outbox.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outbox.messages import Email

_SEVEN_BIT = re.compile(r"(?:[\t\x20-\x7e]{0,998}\n)*")  # RFC 2045 section 2.7: no control characters, no long lines
_BASE64_LINE = 76


def build(message: Email, *, sender: str, message_id: str, date: datetime) -> bytes:
    """Return the message ready for SMTP's DATA: CRLF line ends, lines of at most 998 octets, 7-bit.

    The one exception to 7-bit is a recipient whose local part is not ASCII (RFC 6532; the server must offer SMTPUTF8).
    `sender`, `Name <address>` or an address, is who it is from if it does not say so itself; `message_id` comes without
    angle brackets; `date` is aware.

    Raises:
        Rejected: the recipient, subject, a header or a body cannot be sent; says which, and never repeats it.
    """
    mark = blake2s(message_id.encode(), digest_size=12).hexdigest()
    texts = ("plain", message.text), ("html", message.html)
    bodies = [_part(kind, text, mark) for kind, text in texts if text is not None]
    if not bodies:
        raise Rejected("the email has neither a text nor an html body")
    recipients = recipients_of(message)
    copies = headers.addresses("Cc", recipients.cc) + "\r\n" if recipients.cc else ""
    head = (
        f"{headers.sender(message.sender or sender)}\r\n"
        f"To: {recipients.to}\r\n{copies}"
        f"{headers.unstructured('Subject', message.subject)}\r\n"
        f"{headers.date(date)}\r\n"
        f"Message-ID: <{message_id}>\r\n"
        f"MIME-Version: 1.0\r\n"
        f"{headers.extra_fields(message.headers) if message.headers else ''}"
    )
    content = bodies[0] if len(bodies) == 1 else _multipart("alternative", bodies, f"=_{mark}")
    if message.attachments:
        content = _multipart("mixed", [content, *map(entity, message.attachments)], f"=_m{mark}")
    return head.encode() + content


def moment(key: str) -> datetime:
    """Return the second in which a notification was made, for its Date: its id `key` is a UUIDv7, which knows it."""
    milliseconds = int(key[:8] + key[9:13], 16)
    return datetime.fromtimestamp(milliseconds // 1000, UTC)


def _multipart(kind: str, entities: Sequence[bytes], boundary: str) -> bytes:
    head = f'Content-Type: multipart/{kind}; boundary="{boundary}"\r\n\r\n--{boundary}\r\n'.encode()
    return head + f"\r\n--{boundary}\r\n".encode().join(entities) + f"\r\n--{boundary}--\r\n".encode()


def _part(kind: str, text: str, mark: str) -> bytes:
    """Return one body with its content headers, in the plainest encoding that carries it, and that hides `mark`."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
    if not lines.endswith("\n"):
        lines += "\n"  # and never less: without a line end at its end, b2a_qp would break lines with a bare LF
    if lines.isascii() and _SEVEN_BIT.fullmatch(lines) and mark not in lines:
        encoding, data = "7bit", lines.replace("\n", "\r\n").encode()
    else:
        encoding, data = _encoded(kind, lines.replace("\n", "\r\n"))
    return (
        f'Content-Type: text/{kind}; charset="utf-8"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n'.encode() + data
    )


def _encoded(kind: str, text: str) -> tuple[str, bytes]:
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise Rejected(f"{kind} body: it holds half of a surrogate pair, which is not text") from None
    if (len(data) - len(text)) * 8 < len(data):  # mostly ASCII: quoted-printable stays short, and readable
        return "quoted-printable", b2a_qp(data, istext=True)
    flat = b2a_base64(data, newline=False)
    return "base64", b"".join([flat[i : i + _BASE64_LINE] + b"\r\n" for i in range(0, len(flat), _BASE64_LINE)])
