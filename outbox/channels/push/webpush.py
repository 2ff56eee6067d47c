"""Push to browsers over their own push services: the provider named `webpush`. https://www.rfc-editor.org/rfc/rfc8030."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import Field, SecretStr, field_validator

from outbox.channels.guard import Guard
from outbox.channels.guarded_settings import GuardedSettings
from outbox.channels.http import Answer, Client, error
from outbox.channels.push import aes128gcm, subscription
from outbox.channels.push.collapse import topic
from outbox.channels.push.vapid import Vapid
from outbox.channels.reachability import look_for
from outbox.errors import DeliveryError, Misconfigured, Rejected, Throttled, Unreachable
from outbox.messages import Receipt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox.messages import Push

__all__ = ["CODES", "STATUSES", "Provider", "Settings"]

# https://www.rfc-editor.org/rfc/rfc8030#section-5, with what the services say themselves:
# https://mozilla-services.github.io/autopush-rs/errors.html,
# https://learn.microsoft.com/windows/apps/design/shell/tiles-and-notifications/push-request-response-headers
CODES: Mapping[str, type[DeliveryError]] = {
    "BadJwtToken": Misconfigured,  # Apple, as 400 or 403: the signature, or a subject that is nobody's address
    "VapidPkHashMismatch": Misconfigured,  # Apple, as 400 or 403: the subscription was made with another VAPID key
}
STATUSES: Mapping[int, type[DeliveryError]] = {
    400: Rejected,  # a header or the encryption is not as it should be
    401: Misconfigured,  # the VAPID key or its signature is refused
    403: Misconfigured,  # the subscription was made with another VAPID key: RFC 8292, section 4.2
    404: Unreachable,  # the subscription is unknown, or expired: RFC 8030, section 7.3
    406: Throttled,  # Windows: too many
    410: Unreachable,  # the subscription was cancelled
    413: Rejected,  # too large
    429: Throttled,  # too many
}
# Of Chrome and what is made of it, of Firefox, and of Safari.
_SERVICES = ("https://fcm.googleapis.com/", "https://updates.push.services.mozilla.com/", "https://web.push.apple.com/")
_LONGEST_TTL = 28 * 86_400  # seconds; what services keep longest


class Settings(GuardedSettings):
    """An application server, `[providers.webpush]`: the `private_key` of a VAPID pair, and a `subject`.

    Browsers subscribe with the public key of the pair, as `applicationServerKey`. The subject is where a push service
    can complain: a `mailto:` or `https:` URL.
    """

    private_key: SecretStr = Field(description="the private VAPID key: 32 bytes in base64")
    probe_urls: tuple[SecretStr, ...] = Field(
        default=tuple(map(SecretStr, _SERVICES)), description="a list of the URLs of push services"
    )
    subject: str = Field(pattern=r"^(mailto:[^@\s]+@[^@\s]+|https://[!-~]+)$", description="a mailto: or https: URL")

    @field_validator("private_key")
    @classmethod
    def _private_key_is_one(cls, key: SecretStr) -> SecretStr:
        Vapid(key.get_secret_value(), "")
        return key


class Provider:
    """Sends to browsers, each at its own push service. None takes an idempotency key: what is in doubt stays so.

    Where messages go, the recipients say, so a guard stands before our network, and no redirect is followed.
    """

    throttles_by_recipient = True
    """Its limits are those of a browser, and of its push service: another one has others."""
    probe_only_reaches = True
    """Whether our key is the one that browsers subscribed with, only a message would tell."""

    def __init__(self, settings: Settings) -> None:
        self._vapid = Vapid(settings.private_key.get_secret_value(), settings.subject)
        self._guard = Guard(settings)
        self._probe_urls = [url.get_secret_value() for url in settings.probe_urls]
        self._client = Client(settings, guard=self._guard)
        self._accepted = False

    async def send(self, message: Push, key: str) -> Receipt:
        """Encrypt a message and send it to one browser; `key` is in it as `data.outbox_id`.

        Raises:
            DeliveryError: by the tables `CODES` and `STATUSES`, or as `outbox.channels.http` has it; Rejected before
                anything is sent if the recipient is no subscription, or the message too large. Once its push service
                has accepted something, our key is in order there, and what would be Misconfigured is the
                subscription's: Rejected.
        """
        to = subscription.read(message.recipient)
        body = aes128gcm.encrypt(_plaintext(message, key), to.receiver)
        headers = {**_headers(message), "authorization": self._vapid.authorization(to.origin)}
        answer = await self._client.post(str(self._guard.check(to.endpoint)), content=body, headers=headers)
        if answer.is_accepted:
            self._accepted = True
            return Receipt(answer.headers.get("location") or None)
        raise self._refusal(answer)

    async def probe(self) -> None:
        """Look whether the push services can be reached, and send nothing.

        Raises:
            DeliveryError: one cannot be reached, or its URL may not be asked for.
        """
        await look_for(self._probe_urls, self._client, self._guard)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()
        self._guard.close()

    def _refusal(self, answer: Answer) -> DeliveryError:
        reason = answer.text("reason")
        words = reason or answer.text("message")
        refused = error(answer, code=reason if reason in CODES else "", detail=words, codes=CODES, statuses=STATUSES)
        if isinstance(refused, Misconfigured) and self._accepted:
            return Rejected(refused.detail, code=refused.code)
        return refused


def _plaintext(push: Push, key: str) -> bytes:
    fields = {
        "title": push.title,
        "body": push.body,
        "image": push.image,
        "tag": push.collapse_key,
        "app_badge": push.badge,
        "data": {**push.data, "outbox_id": key},
    }
    given = {name: value for name, value in fields.items() if value is not None}
    plaintext = json.dumps(given, ensure_ascii=False, separators=(",", ":")).encode()
    if len(plaintext) > aes128gcm.PLAINTEXT_LIMIT:
        raise Rejected(f"it has {len(plaintext):,} bytes of JSON; browsers take {aes128gcm.PLAINTEXT_LIMIT:,}")
    return plaintext


def _headers(push: Push) -> dict[str, str]:
    ttl = _LONGEST_TTL if push.expires_in is None else min(max(int(push.expires_in), 0), _LONGEST_TTL)
    headers: dict[str, Any] = {
        "content-type": "application/octet-stream",
        "content-encoding": "aes128gcm",
        "ttl": str(ttl),
        "urgency": "high" if push.urgent else "normal",
        "topic": None if push.collapse_key is None else topic(push.collapse_key),
    }
    return {name: value for name, value in headers.items() if value is not None}
