"""The files that a payload brings along: `attachments`, a list of objects with `name`, `content` or `url`, `type`.

`content` is the file in base64; `url` is where it is fetched from when the message is sent.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error
from mimetypes import guess_type
from typing import NamedTuple
from urllib.parse import urlsplit

from outbox.errors import InvalidNotification
from outbox.messages import Attachment, AttachmentLink

COUNT_LIMIT = 20
SIZE_LIMIT = 7_000_000
"""Bytes of all the files of one message: in base64 they fit into the 10 MB of the provider that takes least."""

_TYPE = re.compile(r"(?!multipart/|message/)[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
_NAME = re.compile(r"(?!\s)[^\x00-\x1f\x7f-\x9f/\\\u2028\u2029\ud800-\udfff]{1,200}(?<!\s)")
_URL = re.compile(r"https?://[!-\[\]-~]{1,8000}")
_UNKNOWN = "application/octet-stream"
_SHAPES = ({"name", "content"}, {"name", "url"})


class Attachments(NamedTuple):
    """What was brought along, and what is yet to be fetched."""

    files: tuple[Attachment, ...] = ()
    links: tuple[AttachmentLink, ...] = ()


def read(given: object) -> Attachments:
    """Return the attachments of a payload; none, where it has none.

    Raises:
        InvalidNotification: one is not as it should be; says which and why, and repeats nothing of it.
    """
    if given is None:
        return Attachments()
    if not isinstance(given, list | tuple):
        raise InvalidNotification("payload", f"attachments must be a list, not {type(given).__name__}")
    if len(given) > COUNT_LIMIT:
        raise InvalidNotification("payload", f"attachments: there are at most {COUNT_LIMIT}, not {len(given)}")
    found = [_read(one, number) for number, one in enumerate(given, 1)]
    return Attachments(
        tuple(one for one in found if isinstance(one, Attachment)),
        tuple(one for one in found if isinstance(one, AttachmentLink)),
    )


def _read(given: object, number: int) -> Attachment | AttachmentLink:
    if not isinstance(given, dict) or given.keys() - {"type"} not in _SHAPES:
        raise _problem(number, " is not an object with name, content or url, and, if you like, type")
    name = given["name"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _problem(number, ": its name is no file's: 1 to 200 characters, none a slash or a control character")
    kind = given.get("type") or guess_type(name)[0] or _UNKNOWN
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind.lower()):
        raise _problem(number, ": its type is no media type of a file, such as application/pdf")
    if "url" in given:
        return AttachmentLink(name, _url(given["url"], number), kind.lower())
    try:
        return Attachment(name, b64decode(given["content"], validate=True), kind.lower())
    except (Error, TypeError, ValueError):
        raise _problem(number, ": its content is not base64") from None


def _url(given: object, number: int) -> str:
    """Return a URL whose form is right; whether it may be asked for is settled when it is."""
    try:
        right = isinstance(given, str) and _URL.fullmatch(given) and urlsplit(given).hostname
        if right and "@" not in urlsplit(str(given)).netloc:
            return str(given)
    except ValueError:
        pass
    raise _problem(number, ": its url must begin with https:// and a host, without a user, a space or a line break")


def _problem(number: int, problem: str) -> InvalidNotification:
    return InvalidNotification("payload", f"attachment {number}{problem}")
