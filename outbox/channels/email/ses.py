"""Email over Amazon SES: the provider named `ses`, of the extra `aws`.

https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
"""

from __future__ import annotations

import json
from binascii import b2a_base64
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from outbox.channels import aws
from outbox.channels.email.api import EmailSettings, refuse_larger
from outbox.channels.email.mime import build, moment
from outbox.channels.email.recipients import recipients_of
from outbox.channels.email.sender import of_this_message_alone, sender_of
from outbox.errors import DeliveryError, Misconfigured, Rejected, Throttled
from outbox.messages import Receipt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from outbox.channels.email.mailbox import Mailbox
    from outbox.channels.email.recipients import Recipients
    from outbox.channels.http import Answer
    from outbox.messages import Email

__all__ = ["CODES", "Provider", "Settings"]

# https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html#API_SendEmail_Errors
CODES: Mapping[str, type[DeliveryError]] = {
    **aws.CODES,
    "TooManyRequestsException": Throttled,  # over the sending rate; or the daily quota, see below
    "LimitExceededException": Misconfigured,  # a quota of the account
    "AccountSuspendedException": Misconfigured,  # for good
    "SendingPausedException": Misconfigured,  # of the account, or of the configuration set
    "MailFromDomainNotVerifiedException": Misconfigured,  # the custom MAIL FROM domain of the sender
    "NotFoundException": Misconfigured,  # the configuration set
    "MessageRejected": Rejected,  # or an identity is not verified, see below
    "BadRequestException": Rejected,  # a field is not as it should be
}
# One code for two things: with these words it means the account, not this message or moment.
# https://docs.aws.amazon.com/ses/latest/dg/manage-sending-quotas-errors.html
_QUOTA_IS_USED_UP = "daily message quota exceeded"
_THROTTLED = ("TooManyRequestsException", "ThrottlingException", "Throttling")
# https://docs.aws.amazon.com/ses/latest/dg/troubleshoot-error-messages.html
_NOT_VERIFIED = "not verified"
_MEGABYTES = 40
_OF_THE_SENDER = ("MessageRejected", "MailFromDomainNotVerifiedException")


class Settings(aws.AwsSettings, EmailSettings):
    """An account at Amazon SES in one region, `[providers.ses]`: credentials and region as `AwsSettings` has them.

    `configuration_set` names the set under which mail is sent, which says where its events are published.
    """

    host: ClassVar[str] = "email"

    configuration_set: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{1,64}$", description="a set's name")


class Provider:
    """Sends email through one account at Amazon SES. It takes no idempotency key: what is in doubt stays so."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = aws.SignedClient(settings, "ses")

    async def send(self, message: Email, key: str) -> Receipt:
        """Send one email; `key` goes along as the tag `outbox-id`, and as the Message-ID that SES was given.

        Raises:
            DeliveryError: by the table `CODES`, or as `outbox.channels.http` has it.
        """
        sender = sender_of(message, self._settings.sender)
        recipients = recipients_of(message)
        content = self._body(message, key, sender, recipients)
        answer = await self._client.request("POST", "/v2/email/outbound-emails", content, "application/json")
        if not answer.is_accepted:
            refused = _refusal(answer, sender.address, (recipients.to, *recipients.copies))
            about_it = message.sender is not None and refused.code is not None and refused.code.endswith(_OF_THE_SENDER)
            raise of_this_message_alone(refused) if about_it else refused
        return Receipt(answer.text("MessageId") or None)

    async def probe(self) -> None:
        """Check the credentials and that the account may send, and send nothing. It needs `ses:GetAccount`.

        Raises:
            DeliveryError: they are refused, sending is paused, or SES cannot be reached.
        """
        answer = await self._client.request("GET", "/v2/email/account")
        if not answer.is_accepted:
            raise _refusal(answer)
        if answer.find("SendingEnabled") is False:
            raise Misconfigured("sending is paused for this account in this region")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _body(self, message: Email, key: str, sender: Mailbox, recipients: Recipients) -> bytes:
        # As MIME of ours (Raw), not as fields (Simple): those take 15 headers at most, and neither a Message-ID nor a
        # Date. SES puts its own in place of both, but tells ours in its notifications. The sender is read from the
        # MIME: FromEmailAddress would take the place of the whole From, with the name.
        refuse_larger(message, _MEGABYTES)
        mime = build(message, sender=self._settings.sender, message_id=f"{key}@{sender.domain}", date=moment(key))
        to = {"ToAddresses": (recipients.to,), "CcAddresses": recipients.cc, "BccAddresses": recipients.bcc}
        body = {
            "Content": {"Raw": {"Data": b2a_base64(mime, newline=False).decode()}},
            "Destination": {kind: those for kind, those in to.items() if those},
            "EmailTags": [
                {"Name": "outbox-id", "Value": key},
                *({"Name": tag, "Value": "true"} for tag in message.tags),
            ],
        }
        name = self._settings.configuration_set
        return json.dumps(body | {"ConfigurationSetName": name} if name else body).encode()


def _refusal(answer: Answer, sender: str = "", recipients: Sequence[str] = ()) -> DeliveryError:
    kind = answer.headers.get("x-amzn-errortype") or answer.text("__type") or answer.text("code")
    code = kind.partition(":")[0].rpartition("#")[2]  # as com.amazonaws.sesv2#MessageRejected:http://...
    message = answer.text("message") or answer.text("Message")
    said = message.lower()
    is_ours = (code in _THROTTLED and _QUOTA_IS_USED_UP in said) or (
        code == "MessageRejected" and _NOT_VERIFIED in said and not _is_about(recipients, sender, said)
    )
    return aws.refusal(answer, code, message, {code: Misconfigured} if is_ours else CODES)


def _is_about(recipients: Sequence[str], sender: str, said: str) -> bool:
    """Tell whether recipients alone are not verified, as in the sandbox: that holds up nobody else."""
    return any(recipient.lower() in said for recipient in recipients) and sender.lower() not in said
