"""What all web APIs for email need: the parts of one message, each checked as for SMTP, ready for their JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from outbox.channels.email import headers
from outbox.channels.email.mailbox import Mailbox, parse_mailbox
from outbox.channels.email.recipients import recipients_of
from outbox.channels.email.sender import Sender, sender_of
from outbox.channels.settings import HttpSettings
from outbox.errors import Rejected

if TYPE_CHECKING:
    from outbox.messages import Attachment, Email


class EmailSettings(HttpSettings):
    """The base for the settings of email providers: `sender` is who the mail is from."""

    sender: Sender


class Parts(NamedTuple):
    """One email, as an API takes it: `reply_to` apart from the other `headers`, all ASCII and each in one line.

    `message_id` is the one that every attempt has, without angle brackets.
    """

    sender: Mailbox
    recipient: str
    subject: str
    text: str | None
    html: str | None
    reply_to: Mailbox | None
    headers: dict[str, str]
    message_id: str
    attachments: tuple[Attachment, ...]
    cc: tuple[str, ...]
    bcc: tuple[str, ...]
    tags: tuple[str, ...]

    def __repr__(self) -> str:
        """Show whom it is for, but not what it says."""
        return f"Parts({self.recipient!r}, headers={self.headers!r})"


def parts(message: Email, key: str, sender: str, *, megabytes: int) -> Parts:
    """Take an email apart. `key` is the notification's id, `sender` the configured one.

    The provider takes so many `megabytes` (of 1,000,000 bytes); what its encoding adds to them is left to it to count.

    Raises:
        Rejected: a recipient, its own sender, the subject or a header cannot be sent, or all of it is certainly larger
            than what the provider takes; says which.
    """
    refuse_larger(message, megabytes)
    headers.check_text("Subject", message.subject)
    headers.extra_fields(message.headers)  # raises if one may not be there
    mailbox, recipients = sender_of(message, sender), recipients_of(message)
    reply_to = next((parse_mailbox(value) for name, value in message.headers.items() if _is_reply_to(name)), None)
    return Parts(
        mailbox,
        recipients.to,
        message.subject,
        message.text,
        message.html,
        reply_to,
        {name: _ascii(name, value) for name, value in message.headers.items() if not _is_reply_to(name)},
        f"{key}@{mailbox.domain}",
        message.attachments,
        recipients.cc,
        recipients.bcc,
        message.tags,
    )


def refuse_larger(message: Email, megabytes: int) -> None:
    """Refuse what is certainly larger than so many megabytes, before all of it is sent for nothing.

    Raises:
        Rejected: it is.
    """
    texts = sum(len(text.encode()) for text in (message.text, message.html) if text)
    size = texts + sum(len(attachment.content) for attachment in message.attachments)
    if size > megabytes * 1_000_000:
        raise Rejected(f"it has {size / 1e6:.1f} MB, and this provider takes {megabytes} MB at most")


def shown(mailbox: Mailbox) -> str:
    """Return `"Name" <address>`, or the address alone, for an API that takes a sender in one text."""
    if not mailbox.name:
        return mailbox.address
    quoted = mailbox.name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" <{mailbox.address}>'


def _ascii(name: str, value: str) -> str:
    """Return a header's value as it is, or encoded (RFC 2047) where an API may not do so itself."""
    if value.isascii():
        return value.strip()
    return headers.extra_fields({name: value}).removeprefix(f"{name}:").replace("\r\n", "").strip()


def _is_reply_to(name: str) -> bool:
    return name.lower() == "reply-to"
