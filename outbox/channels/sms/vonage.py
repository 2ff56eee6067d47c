"""SMS over Vonage's SMS API: the provider named `vonage`. https://developer.vonage.com/en/api/sms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from outbox.channels.http import Answer, Client, error
from outbox.channels.settings import Secret
from outbox.channels.sms.api import SmsSettings, measured
from outbox.channels.sms.segments import Encoding
from outbox.errors import DeliveryError, Misconfigured, Rejected, Temporary, Throttled, Unreachable
from outbox.messages import Receipt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox.channels.sms.segments import Parts
    from outbox.messages import Sms

__all__ = ["CODES", "Provider", "Settings"]

# https://developer.vonage.com/en/messaging/sms/guides/troubleshooting-sms
CODES: Mapping[str, type[DeliveryError]] = {
    "1": Throttled,  # faster than the account may send
    "2": Rejected,  # a parameter is missing
    "3": Rejected,  # a parameter is not as it should be
    "4": Misconfigured,  # the key or the secret is wrong, or disabled
    "5": Temporary,  # an error in the platform
    "6": Rejected,  # it cannot be processed; a prefix that is unknown is one reason of several
    "7": Unreachable,  # the number is barred
    "8": Misconfigured,  # the account is suspended
    "9": Misconfigured,  # no credit is left
    "10": Throttled,  # more connections than the account may have
    "11": Misconfigured,  # the account is not made for this API
    "12": Rejected,  # the message is too long
    "14": Misconfigured,  # a wrong signature
    "15": Rejected,  # the sender may not be used for this recipient
    "29": Rejected,  # an account in demo mode sends to numbers on its list only
    "32": Misconfigured,  # a signature beside a secret
    "33": Unreachable,  # the number is de-activated
}
_SHORTEST_WAIT, _LONGEST_WAIT = 20_000, 604_800_000  # milliseconds that ttl may be


class Settings(SmsSettings):
    """An account at Vonage, `[providers.vonage]`: `sender` is a number, a short code or a name."""

    url: str = "https://rest.nexmo.com"
    api_key: str = Field(min_length=1, description="the account's API key")
    api_secret: Secret = Field(description="the account's API secret")
    sender: str = Field(min_length=1, max_length=16, description="such as +14155550100, or a name")


class Provider:
    """Sends SMS through one account at Vonage. It takes no idempotency key: what is in doubt stays so."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.sender = settings.sender
        self._client = Client(settings, auth=(settings.api_key, settings.api_secret.get_secret_value()))

    async def send(self, message: Sms, key: str) -> Receipt:
        """Send one text message; `key` goes along as client-ref, which delivery receipts repeat.

        Vonage answers for each part apart. If it took any of them, some of the message is on its way, and it counts as
        accepted: another attempt would send that again. Attempts differ in one field: ttl is what is left until the
        message expires.

        Raises:
            DeliveryError: by the table `CODES`, or as `outbox.channels.http` has it; `Rejected` also for a message of
                too many parts.
        """
        taken = measured(message.text, self._settings)
        answer = await self._client.post("/sms/json", form=self._form(message, taken, key))
        parts = _parts(answer)
        accepted = [part for part in parts if not _is_refused(part)]
        if not answer.is_accepted or (parts and not accepted):
            raise _refusal(answer)
        return Receipt(next((str(part["message-id"]) for part in accepted if "message-id" in part), None))

    async def probe(self) -> None:
        """Check the key and the secret by asking for the balance, and send nothing.

        https://developer.vonage.com/en/account/code-snippets/account-balance

        Raises:
            DeliveryError: they are refused, or Vonage cannot be reached.
        """
        answer = await self._client.get("/account/get-balance")
        if not answer.is_accepted:
            raise _refusal(answer)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _form(self, message: Sms, taken: Parts, key: str) -> dict[str, str]:
        fields = {
            "from": self._settings.sender.removeprefix("+"),  # numbers are E.164 without the +
            "to": message.recipient.removeprefix("+"),
            "text": message.text,
            # As text, a character that GSM-7 has not would arrive as a question mark.
            "type": "text" if taken.encoding is Encoding.GSM7 else "unicode",
            "client-ref": key,
            "ttl": _ttl(message.expires_in),
        }
        return {name: value for name, value in fields.items() if value is not None}


def _ttl(expires_in: float | None) -> str | None:
    return None if expires_in is None else str(min(max(int(expires_in * 1000), _SHORTEST_WAIT), _LONGEST_WAIT))


def _parts(answer: Answer) -> list[dict[str, Any]]:
    found = answer.find("messages")
    return [part for part in found if isinstance(part, dict)] if isinstance(found, list) else []


def _is_refused(part: Mapping[str, Any]) -> bool:
    status = part.get("status")
    return isinstance(status, str | int) and str(status) not in {"", "0"}


def _refusal(answer: Answer) -> DeliveryError:
    code, detail = answer.text("messages", 0, "status"), answer.text("messages", 0, "error-text")
    return error(answer, code=code, detail=detail, codes=CODES)
