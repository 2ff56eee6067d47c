"""The values that cross the house: what is enqueued, what is delivered, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime
    from uuid import UUID

PRIORITIES: dict[str, int] = {"urgent": 0, "high": 2, "normal": 5, "bulk": 8}


class Enqueued(NamedTuple):
    """The answer of `enqueue`: `created` is False when the idempotency key was there, and `id` is then the first's."""

    id: UUID
    created: bool


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What `cancel` found, as counts: `cancelled` will not be sent; the others were beyond recall.

    `leased` are in a worker's hands this moment, `sent` and `dead` are over, `ended` ended otherwise before
    (expired, suppressed, or already cancelled).
    """

    cancelled: int
    leased: int
    sent: int
    dead: int
    ended: int


@dataclass(frozen=True, slots=True)
class Escalated:
    """What `escalate` enqueued: `ids` by channel, in the order of the steps; `skipped` are those without an address.

    `created` is False where the idempotency key was there, and the ids are then those of the first. All of them have
    the `group_key`: `cancel` takes back whatever of them still waits by it.
    """

    ids: Mapping[str, UUID]
    skipped: tuple[str, ...]
    group_key: str
    created: bool


@dataclass(frozen=True, slots=True)
class Erased:
    """What `erase` removed of one person, as counts. Where `leased` is not 0, something is being sent: erase again.

    `cancelled` of the `notifications` still waited, and will not be sent. `attempts` stay, without what the providers
    said; `idempotency_keys` stay as digests, which still refuse a second notification.
    """

    notifications: int
    cancelled: int
    leased: int
    attempts: int
    dead_letters: int
    inbox: int
    idempotency_keys: int
    suppressions: int


@dataclass(frozen=True, slots=True)
class Suppressed:
    """What adding a suppression did. `reason` is the one that stands: a stronger one that was there stays.

    `new` is False where there was one already. `ended` notifications waited, and will not be sent. `in_hand` are in a
    worker's hands this moment, or locked by somebody: what was claimed before the commit may still be sent.
    """

    new: bool
    reason: str
    ended: int
    in_hand: int


@dataclass(frozen=True, slots=True)
class Removed:
    """What removing a suppression did: `reason` is that of the one that is gone, None where none is.

    `kept` are the reasons for which the recipient still is not contacted on the channel, about something at least.
    """

    reason: str | None
    kept: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OptOut:
    """Who would unsubscribe, on which channel, from what. `last_day` (in UTC) is the last on which the link is good."""

    channel: str
    recipient: str
    topic: str
    last_day: date

    def __repr__(self) -> str:
        """Show what it is about, but not whom."""
        return f"OptOut({self.channel!r}, …, topic={self.topic!r}, last_day={self.last_day.isoformat()})"


_NOTHING: Mapping[str, Any] = {}


class Notification(NamedTuple):
    """One notification as it was committed: what should be sent, to whom. Immutable, like its row."""

    id: UUID
    channel: str
    recipient: str
    template: str | None = None
    locale: str | None = None
    payload: Mapping[str, Any] = _NOTHING
    priority: int = 5
    topic: str | None = None
    group_key: str | None = None
    headers: Mapping[str, Any] | None = None
    created_at: datetime | None = None
    expires_in: float | None = None
    """Seconds that were left when it was claimed, if it expires."""
    time_zone: str | None = None
    """Where the recipient lives, such as `Europe/Berlin`, if that was said."""

    def __repr__(self) -> str:
        """Show all but what it says."""
        shown = (f"{name}={value!r}" for name, value in self._asdict().items() if name != "payload")
        return f"Notification({', '.join(shown)})"


class Attachment(NamedTuple):
    """A file that goes along with an email; `type` is its media type, such as application/pdf."""

    name: str
    content: bytes
    type: str = "application/octet-stream"

    def __repr__(self) -> str:
        """Show what kind of file it is, but not what it says, nor its name, which may."""
        return f"Attachment({self.type!r}, {len(self.content)} bytes)"


class AttachmentLink(NamedTuple):
    """A file that is to be fetched from `url` and go along with an email."""

    name: str
    url: str
    type: str = "application/octet-stream"

    def __repr__(self) -> str:
        """Show what kind of file it is, but not where it is: that lets anybody have it."""
        return f"AttachmentLink({self.type!r})"


class Digests(NamedTuple):
    """What was rendered, and of which template, in 16 bytes each: for an audit to compare."""

    content: bytes
    template: bytes


class Email(NamedTuple):
    """An email ready to be built into MIME. At least one of `text` and `html` is there.

    `links` are attachments yet to be fetched: no provider is given any. `sender`, `Name <address>` or an address,
    stands in for the provider's own. `cc` and `bcc` are addresses that get the same message; those of `bcc` may stand
    in no header. `tags` are for the provider's statistics.
    """

    recipient: str
    subject: str
    text: str | None = None
    html: str | None = None
    headers: Mapping[str, str] = _NOTHING
    attachments: tuple[Attachment, ...] = ()
    sender: str | None = None
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    links: tuple[AttachmentLink, ...] = ()
    digests: Digests | None = None
    """Those of its template, and of what that said."""
    expires_in: float | None = None
    """Seconds after which it is worth nothing any more."""

    def __repr__(self) -> str:
        """Show whom it is for, but not what it says."""
        return f"Email({self.recipient!r}, headers={self.headers!r})"


class Sms(NamedTuple):
    """A text message. `recipient` is in E.164, such as +447700900001."""

    recipient: str
    text: str
    expires_in: float | None = None
    """Seconds after which it is worth nothing any more."""
    parts: int = 1
    """How many it goes out in: as many times it is paid for, and counts against a rate."""
    digests: Digests | None = None
    """Those of its template, and of what that said."""

    def __repr__(self) -> str:
        """Show whom it is for, but not what it says."""
        return f"Sms({self.recipient!r})"


class Push(NamedTuple):
    """A notification for one device: `recipient` is its token, or its subscription as JSON.

    `data` is for the application, not for the eye. One with the `collapse_key` of an earlier one takes its place.
    """

    recipient: str
    title: str | None = None
    body: str | None = None
    data: Mapping[str, str] = _NOTHING
    badge: int | None = None
    sound: str | None = None
    image: str | None = None
    collapse_key: str | None = None
    expires_in: float | None = None
    """Seconds after which it is worth nothing any more."""
    urgent: bool = False
    registered_at: datetime | None = None
    """When the device last gave its token to the application, if that is known: a refusal from before says nothing."""
    digests: Digests | None = None
    """Those of its template, and of what that said."""

    def __repr__(self) -> str:
        """Show whom it is for, but not what it says."""
        return f"Push({self.recipient!r})"


class Webhook(NamedTuple):
    """An event for an endpoint of somebody else's: `recipient` is its URL, `data` goes out as JSON."""

    recipient: str
    event: str
    data: Mapping[str, Any]
    created_at: datetime | None = None

    def __repr__(self) -> str:
        """Show whom it is for, but not what it says."""
        return f"Webhook({self.recipient!r}, {self.event!r})"


class Chat(NamedTuple):
    """A message in a chat. What `recipient` is, the provider knows: a channel, a chat's id."""

    recipient: str
    text: str
    digests: Digests | None = None
    """Those of its template, and of what that said."""

    def __repr__(self) -> str:
        """Show whom it is for, but not what it says."""
        return f"Chat({self.recipient!r})"


class InApp(NamedTuple):
    """What a person will see in the application: `recipient` is whoever the application says, such as user:42."""

    recipient: str
    title: str
    body: str = ""
    url: str | None = None
    category: str = ""
    data: Mapping[str, Any] = _NOTHING
    digests: Digests | None = None
    """Those of its template, and of what that said."""

    def __repr__(self) -> str:
        """Show whom it is for, but not what it says."""
        return f"InApp({self.recipient!r}, category={self.category!r})"


class Receipt(NamedTuple):
    """A provider's acceptance: its own id for the message, if it gave one.

    `inbox` is for the settlement to write, in the same transaction as the acceptance. `refused_copies` are codes of the
    provider's, one for each who should get a copy and does not.
    """

    provider_message_id: str | None = None
    inbox: InApp | None = None
    refused_copies: tuple[str, ...] = ()
