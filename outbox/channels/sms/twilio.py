"""SMS over Twilio's API: the provider named `twilio`. https://www.twilio.com/docs/messaging/api/message-resource."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from outbox.channels.http import Answer, Client, error
from outbox.channels.settings import Secret
from outbox.channels.sms.api import SmsSettings, measured
from outbox.errors import DeliveryError, Misconfigured, Rejected, Temporary, Throttled, Unreachable
from outbox.messages import Receipt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox.messages import Sms

__all__ = ["CODES", "Provider", "Settings"]

# https://www.twilio.com/docs/api/errors
CODES: Mapping[str, type[DeliveryError]] = {
    "10001": Misconfigured,  # the account is not active
    "20003": Misconfigured,  # wrong credentials, or the account is suspended or closed
    "20005": Misconfigured,  # the account is not active
    "20008": Misconfigured,  # test credentials, where they are not taken
    "20404": Misconfigured,  # no such account, for nothing else in the URL can be wrong
    "20429": Throttled,  # too many requests at once; it was not processed
    "21211": Unreachable,  # the recipient is no telephone number
    "21212": Misconfigured,  # the sender is no number that can send
    "21266": Rejected,  # the recipient is the sender
    "21408": Rejected,  # the account may not send to that country
    "21601": Misconfigured,  # the sender is no number of the account
    "21602": Rejected,  # no text
    "21603": Misconfigured,  # no sender
    "21606": Rejected,  # the sender cannot send to this destination
    "21607": Misconfigured,  # a trial account sends from its trial number only
    "21608": Rejected,  # a trial account sends to verified numbers only
    "21609": Misconfigured,  # the callback's URL is not valid
    "21610": Unreachable,  # the recipient answered STOP to this sender
    "21611": Throttled,  # the sender's queue is full
    "21612": Rejected,  # this sender cannot reach this recipient; another may
    "21614": Unreachable,  # the recipient is not a mobile number
    "21617": Rejected,  # longer than 1,600 characters
    "21619": Rejected,  # no text
    "21635": Unreachable,  # the recipient is a landline
    "21658": Rejected,  # a parameter is too long
    "21659": Misconfigured,  # the sender is not Twilio's, or a short code of another country
    "21660": Misconfigured,  # the sender belongs to another account
    "21701": Misconfigured,  # the messaging service does not exist
    "21703": Rejected,  # none of the messaging service's senders can reach this recipient; others they may
    "21704": Misconfigured,  # the messaging service has no senders
    "21705": Misconfigured,  # that is no messaging service
    "21730": Temporary,  # maintenance
    "63038": Misconfigured,  # the account's limit for a day is reached
    "70051": Misconfigured,  # the key may not do this, or the account is suspended
    "90010": Misconfigured,  # the account is not active
}
_STOP = "21610"
_WRONG_SENDER = "21659"
_TEST_CREDENTIALS = "20008"
_LONGEST_WAIT = 36_000  # seconds; https://www.twilio.com/docs/api/errors/90007


class Settings(SmsSettings):
    """An account at Twilio, `[providers.twilio]`.

    - `auth_token` is the account's own; or `api_key_sid` and `api_key_secret` are a key of it, which can be revoked.
    - `sender` is a number, a short code or a name; or Twilio takes one of `messaging_service_sid`.
    - `callback_url` is told what became of each message: Twilio adds nothing to say whose it is, so `outbox-id` is
      added. Its callbacks are signed, and need no password in the URL.
    """

    url: str = "https://api.twilio.com"
    account_sid: str = Field(pattern=r"^AC[0-9a-fA-F]{32}$", description="AC and 32 hexadecimal digits")
    auth_token: Secret | None = None
    api_key_sid: str | None = Field(default=None, pattern=r"^SK[0-9a-fA-F]{32}$", description="SK and 32 digits")
    api_key_secret: Secret | None = None
    sender: str | None = Field(default=None, min_length=1, description="such as +14155550100, or a name")
    messaging_service_sid: str | None = Field(
        default=None, pattern=r"^MG[0-9a-fA-F]{32}$", description="MG and 32 hexadecimal digits"
    )
    callback_url: str | None = Field(
        default=None, pattern=r"^https?://[!-?A-~]+$", description="a URL of yours, without a password"
    )

    @model_validator(mode="after")
    def _one_way_in_and_one_sender(self) -> Self:
        if (self.api_key_sid is None) != (self.api_key_secret is None):
            raise ValueError("api_key_sid and api_key_secret go together: give both, or neither")
        if (self.auth_token is None) == (self.api_key_secret is None):
            raise ValueError("give either auth_token, or api_key_sid and api_key_secret")
        if self.sender is None and self.messaging_service_sid is None:
            raise ValueError("give a sender or a messaging_service_sid")
        return self

    @property
    def credentials(self) -> tuple[str, str]:
        """User and password for Basic authentication: https://www.twilio.com/docs/usage/requests-to-twilio."""
        secret = self.auth_token or self.api_key_secret or SecretStr("")  # one of the two is there
        return self.api_key_sid or self.account_sid, secret.get_secret_value()


class Provider:
    """Sends SMS through one account at Twilio. It takes no idempotency key: what is in doubt stays so."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.sender = settings.sender or settings.messaging_service_sid or ""
        """Whom a recipient refuses who answers STOP: nobody else of ours."""
        self._messages = f"/2010-04-01/Accounts/{settings.account_sid}/Messages.json"
        self._client = Client(settings, auth=settings.credentials)

    async def send(self, message: Sms, key: str) -> Receipt:
        """Send one text message; `key` goes along in the URL of the callback, if there is one.

        Attempts differ in one field: ValidityPeriod is what is left until the message expires.

        Raises:
            DeliveryError: by the table `CODES`, or as `outbox.channels.http` has it; `Rejected` also for a message of
                too many parts.
        """
        measured(message.text, self._settings)
        answer = await self._client.post(self._messages, form=self._form(message, key))
        if not answer.is_accepted:
            raise _refusal(answer, self.sender)
        return Receipt(answer.text("sid") or None)

    async def probe(self) -> None:
        """Check the credentials, and send nothing: a list of the messages of a day before there was Twilio.

        The account itself would be the thing to ask for, but a standard API key may not read it.

        Raises:
            DeliveryError: they are refused, or Twilio cannot be reached.
        """
        answer = await self._client.get(f"{self._messages}?DateSent=2000-01-01&PageSize=1")
        if not answer.is_accepted and answer.text("code") != _TEST_CREDENTIALS:  # those are right, but may only send
            raise _refusal(answer)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _form(self, message: Sms, key: str) -> dict[str, str]:
        settings = self._settings
        fields = {
            "To": message.recipient,
            "From": settings.sender,
            "MessagingServiceSid": settings.messaging_service_sid,
            "Body": message.text,
            "StatusCallback": _with_id(settings.callback_url, key) if settings.callback_url else None,
            "ValidityPeriod": _validity(message.expires_in),
        }
        return {name: value for name, value in fields.items() if value is not None}


def _with_id(url: str, key: str) -> str:
    """Return the URL with our id in its query. A fragment stays behind it: by one, Twilio is told how to retry."""
    parts = urlsplit(url)
    query = f"{parts.query}&outbox-id={key}" if parts.query else f"outbox-id={key}"
    return parts._replace(query=query).geturl()


def _validity(expires_in: float | None) -> str | None:
    return None if expires_in is None else str(min(max(int(expires_in), 1), _LONGEST_WAIT))


def _refusal(answer: Answer, sender: str = "") -> DeliveryError:
    code, detail = answer.text("code"), answer.text("message")
    if code == _STOP:
        return Unreachable(detail, code=f"{answer.status} {code}", sender=sender, because="stop")
    if code == _WRONG_SENDER and not sender.startswith("+"):  # a short code, or one that a service chose: not for there
        return Rejected(detail, code=f"{answer.status} {code}")
    return error(answer, code=code, detail=detail, codes=CODES)
