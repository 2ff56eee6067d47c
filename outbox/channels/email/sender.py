"""Who mail is from: a setting of every email provider, unless a message says otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from outbox.channels.email import headers
from outbox.channels.email.mailbox import Mailbox, parse_mailbox
from outbox.errors import DeliveryError, Rejected

if TYPE_CHECKING:
    from outbox.messages import Email


def _is_a_mailbox(sender: str) -> str:
    try:
        headers.sender(sender)
    except Rejected as error:
        raise ValueError(error.detail) from None
    return sender


Sender = Annotated[str, AfterValidator(_is_a_mailbox), Field(description="Name <address>, or an address")]
"""`Name <address>`, or an address."""


def sender_of(message: Email, configured: str) -> Mailbox:
    """Return who a message is from: whom it says itself, or else the configured sender.

    Raises:
        Rejected: its own is no mailbox; never repeats it.
    """
    if message.sender is None:
        return parse_mailbox(configured)
    try:
        _is_a_mailbox(message.sender)
    except ValueError as error:
        raise Rejected(f"from: {error}") from None
    return parse_mailbox(message.sender)


def of_this_message_alone(error: DeliveryError) -> Rejected:
    """Return what a refusal of the sender means where the message brought its own: the others need not be held up."""
    return Rejected(error.detail, code=error.code)
