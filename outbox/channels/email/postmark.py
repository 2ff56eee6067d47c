"""Email over Postmark's API: the provider named `postmark`. https://postmarkapp.com/developer/api/email-api."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pydantic import Field

from outbox.channels.email.api import EmailSettings, Parts, parts, shown
from outbox.channels.email.attachments import encoded
from outbox.channels.email.mailbox import wire_address
from outbox.channels.email.sender import of_this_message_alone
from outbox.channels.http import Answer, Client, error
from outbox.channels.settings import Secret
from outbox.errors import DeliveryError, Misconfigured, Rejected, Temporary, Throttled, Unreachable
from outbox.messages import Receipt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox.messages import Email

__all__ = ["CODES", "Provider", "Settings"]

# https://postmarkapp.com/developer/api/overview#error-codes; numbers like statuses, which mean other things
CODES: Mapping[str, type[DeliveryError]] = {
    "10": Misconfigured,  # the token is missing or wrong
    "100": Temporary,  # maintenance
    "300": Rejected,  # an invalid request: a field is not as it should be
    "400": Misconfigured,  # the sender signature was not found
    "401": Misconfigured,  # the sender signature was not confirmed
    "402": Rejected,  # invalid JSON
    "403": Rejected,  # incompatible JSON
    "405": Misconfigured,  # not allowed to send: no credits are left
    "406": Unreachable,  # inactive: it bounced before, complained, or was deactivated by hand
    "409": Rejected,  # JSON is required
    "410": Rejected,  # too many messages in a batch
    "411": Rejected,  # a kind of attachment that is forbidden
    "412": Misconfigured,  # the account is pending
    "413": Misconfigured,  # the account may not send
    "429": Throttled,  # over the rate of the API
    "1235": Misconfigured,  # the message stream does not exist
}
_INVALID = "300"
_INACTIVE = "406"
_LEAVES_OUT = b"will not deliver to these inactive addresses"  # of an acceptance: it goes to the others alone
_OF_THE_SENDER = ("400", "401")
_ADDRESS = re.compile(r"[^\s,:;<>()\"]+@[^\s,:;<>()\"]+")  # in words
_SANDBOX_TOKEN = "POSTMARK_API_TEST"  # noqa: S105 - public: https://postmarkapp.com/developer/user-guide/send-email-with-api
_MEGABYTES = 10


class Settings(EmailSettings):
    """A server at Postmark, `[providers.postmark]`: `token` is that of the server, `stream` a message stream of it.

    With `sandbox`, messages are checked by Postmark and go nowhere.
    """

    url: str = "https://api.postmarkapp.com"
    token: Secret = Field(description="the server's API token")
    stream: str = Field(default="outbound", min_length=1, description="a message stream's id, such as outbound")
    sandbox: bool = False


class Provider:
    """Sends email through one server at Postmark. It takes no idempotency key: what is in doubt stays so."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        token = _SANDBOX_TOKEN if settings.sandbox else settings.token.get_secret_value()
        self._client = Client(settings, headers={"x-postmark-server-token": token})

    async def send(self, message: Email, key: str) -> Receipt:
        """Send one email; `key` is its Message-ID, and goes along as metadata, by which callbacks can be told apart.

        Raises:
            DeliveryError: by the table `CODES`, or as `outbox.channels.http` has it.
        """
        email = parts(message, key, self._settings.sender, megabytes=_MEGABYTES)
        answer = await self._client.post("/email", json=self._body(email, key))
        if not answer.is_accepted:
            refused = _refusal(answer, own_sender=message.sender is not None)
            is_of_copies = isinstance(refused, Unreachable) and not _is_about_the_recipient(answer, email)
            raise Rejected(refused.detail, code=refused.code) if is_of_copies else refused
        left_out = _left_out(answer, email) if _LEAVES_OUT in answer.body else ()
        return Receipt(answer.text("MessageID") or None, refused_copies=left_out)

    async def probe(self) -> None:
        """Check the token, and send nothing.

        Raises:
            DeliveryError: it is refused, or Postmark cannot be reached.
        """
        answer = await self._client.get("/server")
        if not answer.is_accepted and not self._settings.sandbox:
            raise _refusal(answer)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _body(self, email: Parts, key: str) -> dict[str, Any]:
        # X-PM-KeepID: https://postmarkapp.com/support/article/1106-can-i-specify-my-own-message-id-header-when-sending
        given = {name: value for name, value in email.headers.items() if name.lower() != "x-pm-keepid"}
        fields = {**given, "Message-ID": f"<{email.message_id}>", "X-PM-KeepID": "true"}
        body = {
            "From": shown(email.sender),
            "To": email.recipient,
            "Cc": ", ".join(email.cc) or None,
            "Bcc": ", ".join(email.bcc) or None,
            "Subject": email.subject,
            "TextBody": email.text,
            "HtmlBody": email.html,
            "ReplyTo": shown(email.reply_to) if email.reply_to else None,
            "Headers": [{"Name": name, "Value": value} for name, value in fields.items()],
            "Attachments": [
                {"Name": file.name, "Content": encoded(file), "ContentType": file.type} for file in email.attachments
            ]
            or None,
            "Tag": email.tags[0] if email.tags else None,  # it has one a message
            "Metadata": {"outbox-id": key},
            "MessageStream": self._settings.stream,
        }
        return {name: value for name, value in body.items() if value is not None}


def _refusal(answer: Answer, *, own_sender: bool = False) -> DeliveryError:
    code, message = answer.text("ErrorCode"), answer.text("Message")
    if code in _OF_THE_SENDER or (code == _INVALID and "'From'" in message):
        refused = Misconfigured(message, code=f"{answer.status} {code}")
        return of_this_message_alone(refused) if own_sender else refused
    return error(answer, code=code, detail=message, codes=CODES)


def _left_out(answer: Answer, email: Parts) -> tuple[str, ...]:
    """Return a code for each copy that an acceptance leaves out.

    Raises:
        Unreachable: it leaves out the recipient.
    """
    message, code = answer.text("Message"), f"{answer.status} {_INACTIVE}"
    if _is_about_the_recipient(answer, email):
        raise Unreachable(message, code=code)
    named = _named(message)
    return tuple(code for copy in (*email.cc, *email.bcc) if copy.lower() in named)


def _is_about_the_recipient(answer: Answer, email: Parts) -> bool:
    """Tell whether an answer about inactive addresses names the recipient, and not those alone who would get a copy."""
    return not (email.cc or email.bcc) or email.recipient.lower() in _named(answer.text("Message"))


def _named(words: str) -> set[str]:
    """Return the addresses in some words as they are on the wire, in lower case: suppressions, too, know no other."""
    found = set()
    for address in _ADDRESS.findall(words):
        with suppress(ValueError):
            found.add(wire_address(address.rstrip(".")).lower())
    return found
