"""What a payload says of an email beside its texts: checked in the same way when it is enqueued and when it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from outbox.addresses import check_mailbox
from outbox.errors import InvalidNotification

if TYPE_CHECKING:
    from collections.abc import Mapping

FIELDS = frozenset(("from", "reply_to"))
"""The keys of a payload that are read here, with a template too."""


class EmailFields(NamedTuple):
    """What was said. `sender` is None where the configured one is meant."""

    sender: str | None = None
    reply_to: str | None = None


def read(payload: Mapping[str, Any], headers: Mapping[str, Any] | None = None) -> EmailFields:
    """Return what a payload says; `headers` are the notification's, which may not say otherwise.

    Raises:
        InvalidNotification: of the payload: a field is not as it should be; says which, why, and what would be right,
            and repeats nothing of it.
    """
    if FIELDS.isdisjoint(payload.keys()):
        return EmailFields()
    reply_to = _mailbox(payload, "reply_to")
    if reply_to is not None and any(str(name).lower() == "reply-to" for name in headers or ()):
        raise _problem("reply_to", "the headers have a Reply-To already; give one of them")
    return EmailFields(_mailbox(payload, "from"), reply_to)


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


def _problem(field: str, problem: str) -> InvalidNotification:
    return InvalidNotification("payload", f"{field}: {problem}")
