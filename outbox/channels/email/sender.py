"""Who mail is from, as a setting of every email provider."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from outbox.channels.email import headers
from outbox.errors import Rejected


def _is_a_mailbox(sender: str) -> str:
    try:
        headers.sender(sender)
    except Rejected as error:
        raise ValueError(error.detail) from None
    return sender


Sender = Annotated[str, AfterValidator(_is_a_mailbox), Field(description="Name <address>, or an address")]
"""`Name <address>`, or an address."""
