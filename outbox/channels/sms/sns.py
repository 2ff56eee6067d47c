"""SMS over Amazon SNS: the provider named `sns`, of the extra `aws`.

https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
"""

from __future__ import annotations

import re
from decimal import Decimal
from html import unescape
from typing import TYPE_CHECKING, ClassVar, Literal
from urllib.parse import urlencode

from pydantic import Field

from outbox.channels import aws
from outbox.channels.sms.api import SmsSettings, measured
from outbox.errors import Ambiguous, DeliveryError, Misconfigured, Rejected, Throttled, Unreachable
from outbox.messages import Receipt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox.channels.http import Answer
    from outbox.messages import Sms

__all__ = ["CODES", "Provider", "Settings"]

# https://docs.aws.amazon.com/sns/latest/api/API_Publish.html#API_Publish_Errors
CODES: Mapping[str, type[DeliveryError]] = {
    **aws.CODES,
    "OptedOut": Unreachable,  # the recipient wants no messages from this account
    # A number that "is not valid to publish to" may be wrong; or its country is not served, or this region sends no SMS
    # at all, in the same words. So it is never held against the number: a wrong region would suppress everybody.
    "InvalidParameter": Rejected,
    "ParameterValueInvalid": Rejected,  # a field is not as it should be
    "InvalidParameterValue": Rejected,  # the same
    "AuthorizationError": Misconfigured,  # IAM does not allow it
    "InvalidSecurity": Misconfigured,  # a wrong signature, or no HTTPS
    "InvalidAction": Misconfigured,  # `url` is that of another service
    "NotFound": Misconfigured,  # what is published to is not there
    "EndpointDisabled": Misconfigured,  # the same, for what is no telephone number
    "PlatformApplicationDisabled": Misconfigured,  # as above
    "KMSDisabled": Misconfigured,  # the key that encrypts is not to be had
    "KMSInvalidState": Misconfigured,  # as above
    "KMSNotFound": Misconfigured,  # as above
    "KMSOptInRequired": Misconfigured,  # as above
    "KMSAccessDenied": Misconfigured,  # as above
    "KMSThrottling": Throttled,
    "Throttled": Throttled,  # over the rate of the account
    "ThrottledException": Throttled,  # the same
    "InternalError": Ambiguous,
}
_OPTED_OUT = "OptedOut"
_VERSION = "2010-03-31"


class Settings(aws.AwsSettings, SmsSettings):
    """An account at Amazon SNS in one region, `[providers.sns]`: credentials and region as `AwsSettings` has them.

    What is not given is as the account has it.

    - `sender_id` is the name that phones show, in countries that allow one.
    - `origination_number` is a number of the account to send from.
    - `sms_type` is `Transactional` (as reliable as can be) or `Promotional` (as cheap as can be).
    - `max_price` is what a message may cost, in US dollars; what costs more is taken, and not sent.
    """

    host: ClassVar[str] = "sns"

    sender_id: str | None = Field(
        default=None,
        max_length=11,
        pattern=r"^[0-9]*[A-Za-z][A-Za-z0-9]*$",
        description="1 to 11 letters and digits, at least one a letter",
    )
    origination_number: str | None = Field(
        default=None, pattern=r"^\+?[0-9]{3,15}$", description="such as +14155550100"
    )
    sms_type: Literal["Transactional", "Promotional"] | None = None
    max_price: Decimal | None = Field(default=None, gt=0, description="US dollars, such as 0.05")


class Provider:
    """Sends SMS through one account at Amazon SNS.

    SNS takes neither an idempotency key nor an id of ours, for a telephone number: what is in doubt stays so.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.sender = f"sns {settings.region}"
        """Whom a recipient refuses who opts out: all numbers and names of the account in this region."""
        self._client = aws.SignedClient(
            settings, "sns", accept="*/*"
        )  # asked for JSON, it would answer so, unspecified
        self._attributes = _attributes(settings)

    async def send(self, message: Sms, key: str) -> Receipt:  # noqa: ARG002 - SNS has no place for it
        """Send one text message.

        Raises:
            DeliveryError: by the table `CODES`, or as `outbox.channels.http` has it; `Rejected` also for a message of
                too many parts.
        """
        measured(message.text, self._settings)
        answer = await self._post(
            {"Action": "Publish", "PhoneNumber": message.recipient, "Message": message.text, **self._attributes}
        )
        if not answer.is_accepted:
            raise _refusal(answer, self.sender)
        return Receipt(_element(answer, "MessageId") or None)

    async def probe(self) -> None:
        """Check the credentials by asking for the account's settings for SMS, and send nothing.

        It needs `sns:GetSMSAttributes`.

        Raises:
            DeliveryError: they are refused, or SNS cannot be reached.
        """
        answer = await self._post({"Action": "GetSMSAttributes"})
        if not answer.is_accepted:
            raise _refusal(answer)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _post(self, fields: Mapping[str, str]) -> Answer:
        try:
            content = urlencode({**fields, "Version": _VERSION}).encode()
        except UnicodeEncodeError:
            raise Rejected("the text holds half of a surrogate pair, which is not text") from None
        return await self._client.request("POST", "/", content, "application/x-www-form-urlencoded; charset=utf-8")


def _attributes(settings: Settings) -> dict[str, str]:
    """Return the attributes of every message: https://docs.aws.amazon.com/sns/latest/dg/sms_sending-overview.html."""
    given = [
        ("AWS.SNS.SMS.SenderID", "String", settings.sender_id),
        ("AWS.MM.SMS.OriginationNumber", "String", settings.origination_number),
        ("AWS.SNS.SMS.SMSType", "String", settings.sms_type),
        ("AWS.SNS.SMS.MaxPrice", "Number", settings.max_price and f"{settings.max_price:f}"),
    ]
    fields: dict[str, str] = {}
    for number, (name, kind, value) in enumerate((each for each in given if each[2]), start=1):
        entry = f"MessageAttributes.entry.{number}"
        fields |= {f"{entry}.Name": name, f"{entry}.Value.DataType": kind, f"{entry}.Value.StringValue": str(value)}
    return fields


def _refusal(answer: Answer, sender: str = "") -> DeliveryError:
    code, message = _element(answer, "Code"), _element(answer, "Message")
    if code == _OPTED_OUT:
        return Unreachable(message, code=f"{answer.status} {code}", sender=sender, because="stop")
    return aws.refusal(answer, code, message, CODES)


def _element(answer: Answer, name: str) -> str:
    """Return the text of the first such element; "" if there is none.

    The answers are XML of a few lines, whose elements with text have nothing else in them. No parser reads them, so
    none can be made to fetch a file or to grow an entity.
    """
    found = re.search(rf"<{name}>([^<]*)</{name}>", answer.body.decode(errors="replace"))
    return unescape(found[1]).strip() if found else ""
