"""Push to Apple's devices: the provider named `apns`. https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from outbox.channels.http import Answer, Client, error
from outbox.channels.push import provider_token
from outbox.channels.push.collapse import collapse_id
from outbox.channels.settings import HttpSettings
from outbox.config.files import ExistingFile
from outbox.errors import Ambiguous, DeliveryError, Misconfigured, Rejected, Temporary, Throttled, Unreachable
from outbox.messages import Receipt

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from outbox.messages import Push

__all__ = ["CODES", "Provider", "Settings"]

# https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns
CODES: Mapping[str, type[DeliveryError]] = {
    "BadCollapseId": Rejected,
    "BadDeviceToken": Misconfigured,  # the token is bad, or of the other environment; see `Provider.send`
    "BadExpirationDate": Rejected,
    "BadMessageId": Rejected,
    "BadPriority": Rejected,
    "BadTopic": Misconfigured,
    "DeviceTokenNotForTopic": Misconfigured,  # the token is another application's, or the topic is; as BadDeviceToken
    "DuplicateHeaders": Rejected,
    "IdleTimeout": Temporary,
    "InvalidPushType": Rejected,
    "MissingDeviceToken": Rejected,
    "MissingTopic": Misconfigured,
    "PayloadEmpty": Rejected,
    "TopicDisallowed": Misconfigured,
    "BadCertificate": Misconfigured,
    "BadCertificateEnvironment": Misconfigured,
    "BadEnvironmentKeyInToken": Misconfigured,  # the signing key is for the other environment alone
    "ExpiredProviderToken": Misconfigured,  # ours are new enough, so a clock is wrong
    "Forbidden": Misconfigured,
    "InvalidProviderToken": Misconfigured,  # team, key's id and key do not belong together
    "MissingProviderToken": Misconfigured,
    "UnrelatedKeyIdInToken": Misconfigured,
    "BadPath": Misconfigured,  # `url` is wrong: a token that could be the cause is not sent
    "MethodNotAllowed": Misconfigured,
    "ExpiredToken": Unreachable,  # unless it was registered since; see `Provider.send`
    "Unregistered": Unreachable,  # the application was removed, or lost the right to notify; as ExpiredToken
    "PayloadTooLarge": Rejected,
    "TooManyProviderTokenUpdates": Misconfigured,  # something else signs with this key, too often
    "TooManyRequests": Throttled,  # to this device
    "InternalServerError": Ambiguous,
    "ServiceUnavailable": Temporary,
    "Shutdown": Temporary,
}
PAYLOAD_LIMIT = 4_096
"""Bytes of JSON: https://developer.apple.com/documentation/usernotifications/generating-a-remote-notification."""
_OF_THE_TOKEN = {"BadDeviceToken", "DeviceTokenNotForTopic"}
_NO_LONGER_VALID = {"ExpiredToken", "Unregistered"}
_NOBODYS = "00" * 32
_SILENT = b'{"aps":{"content-available":1}}'
_TOKEN = re.compile(r"(?:[0-9a-fA-F]{2}){1,100}")
_URLS = {"production": "https://api.push.apple.com", "sandbox": "https://api.sandbox.push.apple.com"}


class Settings(HttpSettings):
    """An application of Apple's, `[providers.apns]`: its `topic`, and a signing key.

    `key_file` is the .p8 file of the key, `key_id` its id and `team_id` that of the team: ten characters each. The
    `environment` is that of the devices: `production` for what came from the App Store or TestFlight, `sandbox` for
    what Xcode installed. `url` follows from it.
    """

    topic: str = Field(pattern=r"^[A-Za-z0-9.-]+$", description="the application's bundle id")
    key_file: ExistingFile = Field(description="the path of a signing key, a .p8 file")
    key_id: str = Field(pattern=r"^[A-Z0-9]{10}$", description="the key's id: ten characters")
    team_id: str = Field(pattern=r"^[A-Z0-9]{10}$", description="the team's id: ten characters")
    environment: Literal["production", "sandbox"] = "production"

    @model_validator(mode="before")
    @classmethod
    def _url_follows_from_environment(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {"url": _URLS.get(str(given.get("environment")), _URLS["production"]), **given}

    @field_validator("key_file")
    @classmethod
    def _key_file_is_one(cls, path: Path) -> Path:
        provider_token.read(path)
        return path


class Provider:
    """Sends to the devices that have one application. `apns-id` is the notification's id, in every attempt.

    Apple does not say that it sends an id once only, so what is in doubt stays so.
    """

    throttles_by_recipient = True
    """Its limit is one of each device."""

    def __init__(self, settings: Settings) -> None:
        key = provider_token.read(settings.key_file)
        self._tokens = provider_token.ProviderTokens(key, settings.key_id, settings.team_id)
        self._topic = settings.topic
        self._client = Client(settings, http2=True)
        self._accepted = False

    async def send(self, message: Push, key: str) -> Receipt:
        """Send to one device; `key` goes along as `apns-id`, and in the payload as `outbox_id`.

        Nobody can tell from one answer whether a BadDeviceToken, or DeviceTokenNotForTopic, is the token's fault or
        that of our `environment`, or `topic`. So they are Misconfigured until Apple has accepted something from us;
        from then on these settings are known to be right, and the token is Unreachable.

        A token that is no longer valid is Unreachable, too, unless the device gave it to the application again after
        the moment that Apple names (`message.registered_at`). Then it is not the token that is given up, for one may
        send to it again, but this push, which Apple says not to repeat: Rejected.

        Raises:
            DeliveryError: by the table `CODES`, or as `outbox.channels.http` has it; Rejected before anything is sent
                if the recipient is no device token, or the payload larger than `PAYLOAD_LIMIT`.
        """
        if not _TOKEN.fullmatch(message.recipient):
            raise Rejected("recipient: it is not a device token in hexadecimal digits")
        payload = _payload(message, key)
        headers = {**_headers(message), "apns-id": key, "apns-topic": self._topic}
        headers["authorization"] = f"bearer {self._tokens.current()}"
        answer = await self._client.post(f"/3/device/{message.recipient}", content=payload, headers=headers)
        if answer.is_accepted:
            self._accepted = True
            return Receipt(answer.headers.get("apns-id") or None)
        raise self._refusal(answer, message.registered_at)

    async def probe(self) -> None:
        """Check the key, its ids and the topic by a push to a token that no device has, and send nothing.

        Apple looks at these first: that it finds the token bad says that it takes the rest.

        Raises:
            DeliveryError: they are refused, or APNs cannot be reached.
        """
        headers = {"apns-push-type": "background", "apns-priority": "5", "apns-expiration": "0"}
        headers |= {"apns-topic": self._topic, "authorization": f"bearer {self._tokens.current()}"}
        headers["content-type"] = "application/json"
        answer = await self._client.post(f"/3/device/{_NOBODYS}", content=_SILENT, headers=headers)
        if answer.text("reason") not in {"BadDeviceToken", *_NO_LONGER_VALID}:
            raise self._refusal(answer, None)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _refusal(self, answer: Answer, registered_at: datetime | None) -> DeliveryError:
        reason, since = answer.text("reason"), _invalid_since(answer)
        words = f"HTTP {answer.status}, since {since:%Y-%m-%d %H:%M:%S} UTC" if since else ""
        refused = error(answer, code=reason, detail=words, codes=CODES)
        if reason in _OF_THE_TOKEN and self._accepted:
            return Unreachable(refused.detail, code=refused.code)
        if reason in _NO_LONGER_VALID and since and registered_at and since < registered_at:
            return Rejected(f"{words}, but the token was registered after that", code=refused.code)
        return refused


def _payload(push: Push, key: str) -> bytes:
    if "aps" in push.data:
        raise Rejected("data: aps is a name of Apple's own")
    alert = _without_none({"title": push.title, "body": push.body})
    aps = {
        "alert": alert or None,
        "badge": push.badge,
        "sound": push.sound,
        "mutable-content": 1 if alert and push.image else None,  # or the application's extension never loads it
        "content-available": None if alert else 1,
    }
    payload = {**_without_none({"image": push.image}), **push.data, "outbox_id": key, "aps": _without_none(aps)}
    content = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    if len(content) > PAYLOAD_LIMIT:
        raise Rejected(f"it has {len(content):,} bytes of JSON; APNs takes {PAYLOAD_LIMIT:,}")
    return content


def _headers(push: Push) -> dict[str, str]:
    visible = push.title is not None or push.body is not None
    headers = {
        "content-type": "application/json",
        "apns-push-type": "alert" if visible else "background",
        "apns-priority": "10" if push.urgent and visible else "5",  # Apple refuses 10 for what nobody sees
        "apns-expiration": None if push.expires_in is None else str(int(time.time() + max(push.expires_in, 0))),
        "apns-collapse-id": None if push.collapse_key is None else collapse_id(push.collapse_key),
    }
    return _without_none(headers)


def _without_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _invalid_since(answer: Answer) -> datetime | None:
    """Return since when a token is no longer valid, where Apple says so: milliseconds since 1970."""
    timestamp = answer.find("timestamp")
    if not isinstance(timestamp, int) or not 0 <= timestamp < 253_402_300_800_000:  # noqa: PLR2004 - the year 10,000
        return None
    return datetime.fromtimestamp(timestamp / 1_000, UTC)
