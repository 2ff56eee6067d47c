"""Email over Resend's API: the provider named `resend`. https://resend.com/docs/api-reference/emails/send-email."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from outbox.channels.email.api import EmailSettings, Parts, parts, shown
from outbox.channels.email.attachments import encoded
from outbox.channels.email.sender import of_this_message_alone
from outbox.channels.http import Answer, Client, error
from outbox.channels.settings import Secret
from outbox.errors import Ambiguous, DeliveryError, Misconfigured, Rejected, Throttled
from outbox.messages import Receipt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox.messages import Email

__all__ = ["CODES", "Provider", "Settings"]

# https://resend.com/docs/api-reference/errors
CODES: Mapping[str, type[DeliveryError]] = {
    "application_error": Ambiguous,  # something failed at Resend; the idempotency key makes another try harmless
    "concurrent_idempotent_requests": Ambiguous,  # an earlier attempt is still under way there
    "daily_quota_exceeded": Misconfigured,  # with the 429 of a rate, but slower does not help
    "internal_server_error": Ambiguous,  # as application_error
    "invalid_api_key": Misconfigured,
    "invalid_attachment": Rejected,
    "invalid_from_address": Misconfigured,  # the sender is no address
    "invalid_idempotency_key": Rejected,  # not of 1 to 256 characters; a notification's id always is
    "invalid_idempotent_request": Ambiguous,  # an earlier attempt was another message, and may have gone out
    "invalid_parameter": Rejected,
    "method_not_allowed": Misconfigured,  # the url is wrong
    "missing_api_key": Misconfigured,
    "missing_required_field": Rejected,
    "monthly_quota_exceeded": Misconfigured,  # as daily_quota_exceeded
    "not_found": Misconfigured,  # there is no such endpoint: the url is wrong
    "rate_limit_exceeded": Throttled,
    "restricted_api_key": Misconfigured,  # the key may not do this
    "security_error": Rejected,  # Resend takes the message for dangerous
    "validation_error": Rejected,  # a field is not as it should be; for the other meaning see `_refusal`
}
_ABOUT_US = (401, 403)  # the statuses of a validation_error about the key, or a sender of an unverified domain
_SANDBOX = "testing emails to your own"  # of an account without a domain: about this recipient, not about us
_UNVERIFIED = "is not verified"  # a validation_error about the sender's domain
_BAD_KEY = "API key is invalid"  # a validation_error about the key that comes as 400, like those about a field
_MEGABYTES = 40


class Settings(EmailSettings):
    """An account at Resend, `[providers.resend]`. A key with sending access is enough."""

    url: str = "https://api.resend.com"
    api_key: Secret = Field(description="an API key; sending access is enough")


class Provider:
    """Sends email through one account at Resend, with the notification's id as its idempotency key."""

    key_lifetime: float = 24 * 3600.0
    """Seconds for which Resend remembers a key. https://resend.com/docs/dashboard/emails/idempotency-keys"""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = Client(settings, headers={"authorization": f"Bearer {settings.api_key.get_secret_value()}"})

    async def send(self, message: Email, key: str) -> Receipt:
        """Send one email, at most once in `key_lifetime`; `key` goes along as a tag too, which comes with every event.

        Raises:
            DeliveryError: by the table `CODES`, or as `outbox.channels.http` has it.
        """
        body = _body(parts(message, key, self._settings.sender, megabytes=_MEGABYTES), key)
        answer = await self._client.post("/emails", json=body, headers={"idempotency-key": key})
        if not answer.is_accepted:
            raise _refusal(answer, own_sender=message.sender is not None)
        return Receipt(answer.text("id") or None)

    async def probe(self) -> None:
        """Check the key, and send nothing. One with sending access may not list domains, and is told so: it is good.

        Raises:
            DeliveryError: the key is refused, or Resend cannot be reached.
        """
        answer = await self._client.get("/domains")
        if not answer.is_accepted and answer.text("name") != "restricted_api_key":
            raise _refusal(answer)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _body(email: Parts, key: str) -> dict[str, Any]:
    """No Message-ID: Resend gives every message its own, and a second attempt makes no second message."""
    body = {
        "from": shown(email.sender),
        "to": email.recipient,
        "cc": email.cc or None,
        "bcc": email.bcc or None,
        "subject": email.subject,
        "text": email.text,
        "html": email.html,
        "reply_to": shown(email.reply_to) if email.reply_to else None,
        "headers": email.headers or None,
        "attachments": [
            {"filename": file.name, "content": encoded(file), "content_type": file.type} for file in email.attachments
        ]
        or None,
        "tags": [{"name": "outbox-id", "value": key}, *({"name": tag, "value": "true"} for tag in email.tags)],
    }
    return {name: value for name, value in body.items() if value is not None}


def _refusal(answer: Answer, *, own_sender: bool = False) -> DeliveryError:
    name, message = answer.text("name"), answer.text("message")
    if _SANDBOX in message:
        return Rejected(message, code=f"{answer.status} {name}")
    about_us = answer.status in _ABOUT_US or message.startswith(_BAD_KEY)
    codes = {**CODES, "validation_error": Misconfigured} if about_us else CODES
    refused = error(answer, code=name, detail=message, codes=codes)
    is_about_it = name == "invalid_from_address" or (name == "validation_error" and _UNVERIFIED in message)
    return of_this_message_alone(refused) if own_sender and is_about_it else refused
