"""Email over SendGrid's API: the provider named `sendgrid`. https://www.twilio.com/docs/sendgrid/api-reference/mail-send.

It has no codes: what it says is a status, and of a 400 the field that is not as it should be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from outbox.channels.email.api import EmailSettings, Parts, parts
from outbox.channels.email.attachments import encoded
from outbox.channels.email.sender import of_this_message_alone
from outbox.channels.http import Answer, Client, error
from outbox.channels.settings import Secret
from outbox.errors import DeliveryError, Misconfigured, Rejected, Throttled
from outbox.messages import Receipt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox.channels.email.mailbox import Mailbox
    from outbox.messages import Email

__all__ = ["CODES", "STATUSES", "Provider", "Settings"]

# https://www.twilio.com/docs/sendgrid/api-reference/mail-send/errors, and the responses of the operation
CODES: Mapping[str, type[DeliveryError]] = {
    "from": Misconfigured,  # the field of our sender: no address, or (403) of no verified sender
}
STATUSES: Mapping[int, type[DeliveryError]] = {
    400: Rejected,  # any other field is not as it should be
    401: Misconfigured,  # the key is wrong, or no credits are left
    403: Misconfigured,  # the key may not send
    404: Misconfigured,  # there is no such endpoint: the url is wrong
    405: Misconfigured,  # the same
    413: Rejected,  # larger than 30 MB
    429: Throttled,  # over the rate of the API, until X-RateLimit-Reset
}
_SCOPE = "mail.send"
_MEGABYTES = 30


class Settings(EmailSettings):
    """An account at SendGrid, `[providers.sendgrid]`: its API key needs the scope `mail.send`, and no other.

    With `sandbox`, messages are checked by SendGrid and go nowhere.
    """

    url: str = "https://api.sendgrid.com"
    api_key: Secret = Field(description="an API key with the scope mail.send")
    sandbox: bool = False


class Provider:
    """Sends email through one account at SendGrid. It takes no idempotency key: what is in doubt stays so."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = Client(settings, headers={"authorization": f"Bearer {settings.api_key.get_secret_value()}"})

    async def send(self, message: Email, key: str) -> Receipt:
        """Send one email; `key` is its Message-ID, and goes along as a custom argument, which comes with every event.

        The receipt's id is X-Message-Id, with which the `sg_message_id` of an event begins.

        Raises:
            DeliveryError: by the tables `CODES` and `STATUSES`, or as `outbox.channels.http` has it.
        """
        body = self._body(parts(message, key, self._settings.sender, megabytes=_MEGABYTES), key)
        answer = await self._client.post("/v3/mail/send", json=body)
        if not answer.is_accepted:
            raise _refusal(answer, own_sender=message.sender is not None)
        return Receipt(answer.headers.get("x-message-id") or None)

    async def probe(self) -> None:
        """Check that the key is one, and may send, and send nothing.

        https://www.twilio.com/docs/sendgrid/api-reference/api-key-permissions/retrieve-a-list-of-scopes-for-which-this-user-has-access

        Raises:
            DeliveryError: the key is refused or lacks the scope, or SendGrid cannot be reached.
        """
        answer = await self._client.get("/v3/scopes")
        if not answer.is_accepted:
            raise _refusal(answer)
        scopes = answer.find("scopes")
        if isinstance(scopes, list) and _SCOPE not in scopes:
            raise Misconfigured(f"the API key lacks the scope {_SCOPE}")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _body(self, email: Parts, key: str) -> dict[str, Any]:
        texts = {"text/plain": email.text, "text/html": email.html}  # in this order; none may be empty
        to = {"to": (email.recipient,), "cc": email.cc, "bcc": email.bcc}
        body: dict[str, Any] = {
            "personalizations": [{kind: [{"email": one} for one in those] for kind, those in to.items() if those}],
            "from": _mailbox(email.sender),
            "subject": email.subject,
            "content": [{"type": kind, "value": text} for kind, text in texts.items() if text],
            "headers": {**email.headers, "Message-ID": f"<{email.message_id}>"},
            "custom_args": {"outbox-id": key},
        }
        if email.tags:
            body["categories"] = email.tags
        if email.attachments:
            body["attachments"] = [
                {"filename": file.name, "content": encoded(file), "type": file.type} for file in email.attachments
            ]
        if email.reply_to:
            body["reply_to"] = _mailbox(email.reply_to)
        if self._settings.sandbox:
            body["mail_settings"] = {"sandbox_mode": {"enable": True}}
        return body


def _mailbox(mailbox: Mailbox) -> dict[str, str]:
    return {"email": mailbox.address} | ({"name": mailbox.name} if mailbox.name else {})


def _refusal(answer: Answer, *, own_sender: bool = False) -> DeliveryError:
    field = answer.text("errors", 0, "field").partition(".")[0]  # from.email, personalizations.0.to.0.email
    words = answer.text("errors", 0, "message")
    refused = error(answer, code=field, detail=words, codes=CODES, statuses=STATUSES)
    return of_this_message_alone(refused) if own_sender and field == "from" else refused
