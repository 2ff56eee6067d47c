"""What a payload says of an email beside its texts: checked in the same way when it is enqueued and when it is sent."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from outbox import attachments
from outbox.addresses import check_mailbox, check_plain_email
from outbox.attachments import Attachments
from outbox.errors import InvalidNotification

if TYPE_CHECKING:
    from collections.abc import Mapping

FIELDS = frozenset(("from", "reply_to", "cc", "bcc", "tags", "attachments"))
"""The keys of a payload that are read here, with a template too."""
RECIPIENT_LIMIT = 50
"""The recipient, and all who get a copy: as many as every provider takes."""
TAG_LIMIT = 10
# What every provider takes: Amazon and Resend no other characters, Mailgun no more of them.
_TAG = re.compile(r"[A-Za-z0-9_-]{1,128}")
_OURS = "outbox-id"  # the name of what we put beside the tags, and look for in events


class EmailFields(NamedTuple):
    """What was said. `sender` is None where the configured one is meant."""

    sender: str | None = None
    reply_to: str | None = None
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    attachments: Attachments = Attachments()


_NOTHING = EmailFields()


def read(payload: Mapping[str, Any], headers: Mapping[str, Any] | None = None) -> EmailFields:
    """Return what a payload says; `headers` are the notification's, which may not say otherwise.

    Raises:
        InvalidNotification: of the payload: a field is not as it should be; says which, why, and what would be right,
            and repeats nothing of it.
    """
    if FIELDS.isdisjoint(payload.keys()):
        return _NOTHING
    reply_to = _mailbox(payload, "reply_to")
    if reply_to is not None and any(str(name).lower() == "reply-to" for name in headers or ()):
        raise _problem("reply_to", "the headers have a Reply-To already; give one of them")
    cc, bcc = _addresses(payload, "cc"), _addresses(payload, "bcc")
    if len(cc) + len(bcc) >= RECIPIENT_LIMIT:
        problem = f"one message goes to at most {RECIPIENT_LIMIT}, its recipient, cc and bcc together"
        raise _problem("cc" if cc else "bcc", f"{problem}; this one to {len(cc) + len(bcc) + 1}")
    return EmailFields(
        _mailbox(payload, "from"), reply_to, cc, bcc, _tags(payload), attachments.read(payload.get("attachments"))
    )


def _mailbox(payload: Mapping[str, Any], field: str) -> str | None:
    value = payload.get(field)
    if value is None:
        return None
    if not isinstance(value, str):
        raise _problem(field, f"must be a text, Name <address> or an address, not {type(value).__name__}")
    try:
        check_mailbox(value)
    except ValueError as error:
        raise _problem(field, str(error)) from None
    return value


def _addresses(payload: Mapping[str, Any], field: str) -> tuple[str, ...]:
    value = payload.get(field)
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise _problem(field, f'must be a list of addresses, such as ["name@example.org"], not {type(value).__name__}')
    for number, address in enumerate(value, 1):
        if not isinstance(address, str):
            raise _problem(field, f"number {number} must be an address, not {type(address).__name__}")
        try:
            check_plain_email(address)
        except ValueError as error:
            raise _problem(field, f"number {number}: {error}") from None
    return tuple(value)


def _tags(payload: Mapping[str, Any]) -> tuple[str, ...]:
    value = payload.get("tags")
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise _problem("tags", f'must be a list of texts, such as ["invoice"], not {type(value).__name__}')
    if len(value) > TAG_LIMIT:
        raise _problem("tags", f"there are at most {TAG_LIMIT}, not {len(value)}")
    for number, tag in enumerate(value, 1):
        if not isinstance(tag, str) or not _TAG.fullmatch(tag):
            raise _problem("tags", f"number {number} must be 1 to 128 ASCII letters, digits, hyphens and underscores")
        if tag == _OURS:
            raise _problem("tags", f"{_OURS} is the name of the notification's id; call it something else")
    if len({tag.lower() for tag in value}) < len(value):
        raise _problem("tags", "one is given twice; upper and lower case make no difference")
    return tuple(value)


def _problem(field: str, problem: str) -> InvalidNotification:
    return InvalidNotification("payload", f"{field}: {problem}")
