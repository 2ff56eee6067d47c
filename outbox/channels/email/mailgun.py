"""Email over Mailgun's API: the provider named `mailgun`.

https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages. It has no codes, but statuses.
"""

from __future__ import annotations

from hashlib import blake2s
from typing import TYPE_CHECKING, Any

from pydantic import Field

from outbox.channels.email.api import EmailSettings, Parts, parts, shown
from outbox.channels.http import Answer, Client, error
from outbox.channels.settings import Secret
from outbox.errors import DeliveryError, Misconfigured, Rejected, Temporary, Throttled
from outbox.messages import Receipt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from outbox.messages import Attachment, Email

__all__ = ["STATUSES", "Provider", "Settings"]

# https://documentation.mailgun.com/docs/mailgun/quickstart-guide/responses
STATUSES: Mapping[int, type[DeliveryError]] = {
    400: Rejected,  # a parameter is missing, or not as it should be
    401: Misconfigured,  # the key is wrong
    403: Misconfigured,  # the key, the domain or the account may not send
    404: Temporary,  # the domain is not known, or not yet everywhere at Mailgun: it says that this may pass
    413: Rejected,  # larger than 25 MB
    429: Throttled,  # over the rate of the API
}
_NO_ENDPOINT = {404: Misconfigured}  # a 404 without a message, says Mailgun, is of a request that cannot be right
_GREETING = b"Mailgun Magnificent API"  # the 200 of a path that is none of the API's
_BAD_REQUEST = 400
_SANDBOX = "authorized recipients"  # a sandbox domain sends to those alone: about this recipient, not about us
_MEGABYTES = 25


class Settings(EmailSettings):
    """A domain at Mailgun, `[providers.mailgun]`, with an API key of the account or a sending key of the domain.

    With `sandbox`, Mailgun accepts messages in its test mode, and delivers none of them.
    """

    url: str = "https://api.mailgun.net"
    domain: str = Field(pattern=r"^[A-Za-z0-9.-]+$", description="a sending domain, such as mg.example.org")
    api_key: Secret = Field(description="an API key, or a sending key of the domain")
    sandbox: bool = False


class Provider:
    """Sends email through one domain at Mailgun. It takes no idempotency key: what is in doubt stays so."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._path = f"/v3/{settings.domain}/messages"
        self._client = Client(settings, auth=("api", settings.api_key.get_secret_value()))

    async def send(self, message: Email, key: str) -> Receipt:
        """Send one email; `key` is its Message-ID, and goes along as a variable, which comes with every event.

        Raises:
            DeliveryError: by the table `STATUSES`, or as `outbox.channels.http` has it.
        """
        email = parts(message, key, self._settings.sender, megabytes=_MEGABYTES)
        form = self._form(email, key)
        answer = await self._client.post(self._path, **_body(form, email.attachments))
        if not answer.is_accepted or _GREETING in answer.body:
            raise _refusal(answer)
        return Receipt(answer.text("id").strip("<>") or None)

    async def probe(self) -> None:
        """Check the key and the domain by a message without a sender or a recipient, and send nothing.

        To ask for the domain would be the nicer way, but sending keys may do nothing but send.
        https://documentation.mailgun.com/docs/mailgun/user-manual/api-key-mgmt/rbac-mgmt

        Raises:
            DeliveryError: the key or the domain is refused, or Mailgun cannot be reached.
        """
        answer = await self._client.post(self._path, form={"o:testmode": "yes"})
        if answer.status != _BAD_REQUEST:
            raise _refusal(answer)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _form(self, email: Parts, key: str) -> dict[str, str | tuple[str, ...]]:
        form = {
            "from": shown(email.sender),
            "to": email.recipient,
            "cc": ", ".join(email.cc) or None,
            "bcc": ", ".join(email.bcc) or None,
            "subject": email.subject,
            "text": email.text,
            "html": email.html,
            "h:Reply-To": shown(email.reply_to) if email.reply_to else None,
            **{f"h:{name}": value for name, value in email.headers.items()},
            "h:Message-Id": f"<{email.message_id}>",
            "v:outbox-id": key,
            "o:tag": email.tags or None,
            "o:testmode": "yes" if self._settings.sandbox else None,
        }
        return {name: value for name, value in form.items() if value is not None}


def _body(form: Mapping[str, str | tuple[str, ...]], files: Sequence[Attachment]) -> dict[str, Any]:
    """Return a form as such, or in the form that takes files (RFC 7578), with the same boundary at every attempt."""
    if not files:
        return {"form": form}
    boundary = "outbox-" + blake2s(str(form["h:Message-Id"]).encode(), digest_size=16).hexdigest()
    try:
        fields = [
            (f'name="{name}"', "", value.encode())
            for name, given in form.items()
            for value in ((given,) if isinstance(given, str) else given)
        ]
    except UnicodeEncodeError:
        raise Rejected("a text holds half of a surrogate pair, which is not text") from None
    for file in files:
        name = file.name.replace('"', "%22")
        fields.append((f'name="attachment"; filename="{name}"', f"Content-Type: {file.type}\r\n", file.content))
    pieces = [
        f"--{boundary}\r\nContent-Disposition: form-data; {what}\r\n{kind}\r\n".encode() + content + b"\r\n"
        for what, kind, content in fields
    ]
    content = b"".join(pieces) + f"--{boundary}--\r\n".encode()
    return {"content": content, "headers": {"content-type": f"multipart/form-data; boundary={boundary}"}}


def _refusal(answer: Answer) -> DeliveryError:
    message = answer.text("message")
    if answer.is_accepted:
        return Misconfigured("the url leads to no endpoint of Mailgun's API", code=str(answer.status))
    if _SANDBOX in message:
        return Rejected(message, code=str(answer.status))
    return error(answer, detail=message, statuses=STATUSES if message else {**STATUSES, **_NO_ENDPOINT})
