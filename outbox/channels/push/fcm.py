"""Push over Firebase Cloud Messaging: the provider named `fcm`. https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from outbox.channels.http import Answer, Client, error
from outbox.channels.push import service_account
from outbox.channels.push.collapse import collapse_id, topic
from outbox.channels.settings import HttpSettings
from outbox.config.files import ExistingFile
from outbox.errors import Ambiguous, DeliveryError, Misconfigured, Rejected, Temporary, Throttled, Unreachable
from outbox.messages import Receipt

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from outbox.messages import Push

__all__ = ["CODES", "Provider", "Settings"]

# https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode; those in the second half are of Google's APIs:
# https://cloud.google.com/apis/design/errors
CODES: Mapping[str, type[DeliveryError]] = {
    "UNREGISTERED": Unreachable,  # the application was removed, or has another token by now
    "INVALID_ARGUMENT": Rejected,  # anything in the message; of the token only if it names the field, see _refusal
    "SENDER_ID_MISMATCH": Misconfigured,  # the token is another project's, or ours is wrong; see `Provider.send`
    "QUOTA_EXCEEDED": Throttled,  # of the project, or of one device
    "UNAVAILABLE": Temporary,  # overloaded
    "INTERNAL": Ambiguous,  # an error of theirs, at a point that they do not tell
    "THIRD_PARTY_AUTH_ERROR": Misconfigured,  # the project's APNs key or Web Push key is missing or wrong
    "UNAUTHENTICATED": Misconfigured,  # the access token is refused
    "PERMISSION_DENIED": Misconfigured,  # the account may not send, the API is off, or there is no such project
    "RESOURCE_EXHAUSTED": Throttled,  # as QUOTA_EXCEEDED
}
PAYLOAD_LIMIT = 4_096
"""Bytes of title, body and data, keys included: https://firebase.google.com/docs/cloud-messaging/concept-options."""
_LONGEST_TTL = 28 * 86_400  # seconds
_SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
_QUOTA_PAUSE = 60.0  # seconds, where Retry-After is missing: https://firebase.google.com/docs/cloud-messaging/scale-fcm


class Settings(HttpSettings):
    """A project at Firebase, `[providers.fcm]`: `credentials` is the key file of a service account that may send.

    `project` is needed only where the account is of another project. With `sandbox`, messages are checked by Firebase
    and go nowhere.
    """

    url: str = "https://fcm.googleapis.com"
    credentials: ExistingFile = Field(description="the path of a service account's key file in JSON")
    project: str | None = Field(default=None, pattern=r"^[a-z0-9:.-]+$", description="a project's id")
    sandbox: bool = False

    @field_validator("credentials")
    @classmethod
    def _credentials_are_a_key_file(cls, path: Path) -> Path:
        service_account.read(path)
        return path


class Provider:
    """Sends to devices of one project at Firebase. It takes no idempotency key: what is in doubt stays so."""

    throttles_by_recipient = True
    """Its quotas are those of a device, too, and it does not say which one was meant."""

    def __init__(self, settings: Settings) -> None:
        account = service_account.read(settings.credentials)
        self._client = Client(settings)
        self._tokens = service_account.AccessTokens(account, _SCOPE, self._client)
        self._path = f"/v1/projects/{settings.project or account.project}/messages:send"
        self._sandbox = settings.sandbox
        self._accepted = False

    async def send(self, message: Push, key: str) -> Receipt:
        """Send to one device; `key` goes along in the data as `outbox_id`, by which an application can tell copies.

        Once Firebase has accepted something, the project is known to be right, and SENDER_ID_MISMATCH is a matter of
        the one token: Rejected, so that it holds nobody up.

        Raises:
            DeliveryError: by the table `CODES`, or as `outbox.channels.http` has it; Rejected before anything is sent
                if title, body and data are larger than `PAYLOAD_LIMIT`.
        """
        answer = await self._post({"message": _message(message, key), "validate_only": self._sandbox})
        self._accepted = True
        return Receipt(answer.text("name") or None)

    async def probe(self) -> None:
        """Check the account and its rights with a message that Firebase checks and does not send.

        Raises:
            DeliveryError: it is refused, or Firebase or the token endpoint cannot be reached.
        """
        await self._post({"message": {"topic": "outbox-probe"}, "validate_only": True})

    async def aclose(self) -> None:
        """Close the connections."""
        await self._tokens.aclose()
        await self._client.aclose()

    async def _post(self, body: Mapping[str, Any]) -> Answer:
        token = await self._tokens.current()
        answer = await self._client.post(self._path, json=body, headers={"authorization": f"Bearer {token}"})
        if answer.is_accepted:
            return answer
        if answer.status == 401:  # noqa: PLR2004 - the next attempt asks for another
            self._tokens.forget(token)
        refused = _refusal(answer)
        if self._accepted and _code(answer) == "SENDER_ID_MISMATCH":
            raise Rejected(refused.detail, code=refused.code)
        raise refused


def _message(push: Push, key: str) -> dict[str, Any]:
    shown = _without_none({"title": push.title, "body": push.body})
    data = {**push.data, "outbox_id": key}
    size = sum(len(text.encode()) for text in (*shown.values(), *data, *data.values()))
    if size > PAYLOAD_LIMIT:
        raise Rejected(f"it has {size:,} bytes of title, body and data; FCM takes {PAYLOAD_LIMIT:,}")
    ttl = None if push.expires_in is None else min(max(int(push.expires_in), 0), _LONGEST_TTL)
    message = {
        "token": push.recipient,
        "notification": shown,
        "data": data,
        "android": _android(push, ttl, visible=bool(shown)),
        "apns": _apns(push, ttl, visible=bool(shown)),
        "webpush": _webpush(push, ttl, visible=bool(shown)),
    }
    return {name: value for name, value in message.items() if value}


def _android(push: Push, ttl: int | None, *, visible: bool) -> dict[str, Any]:
    shown = {
        "sound": push.sound,
        "image": push.image,
        "notification_count": push.badge,
        "tag": push.collapse_key,  # the collapse key is for what waits, the tag for what is on the screen
    }
    block = {
        "priority": "HIGH" if push.urgent else "NORMAL",
        "collapse_key": push.collapse_key,
        "ttl": None if ttl is None else f"{ttl}s",
        "notification": _without_none(shown) or None if visible else None,
    }
    return _without_none(block)


def _apns(push: Push, ttl: int | None, *, visible: bool) -> dict[str, Any]:
    headers = {
        "apns-push-type": "alert" if visible else "background",
        "apns-priority": "10" if push.urgent and visible else "5",  # Apple refuses 10 for what nobody sees
        "apns-expiration": None if ttl is None else str(int(time.time()) + ttl),
        "apns-collapse-id": None if push.collapse_key is None else collapse_id(push.collapse_key),
    }
    aps = {
        "badge": push.badge,
        "sound": push.sound,
        "mutable-content": 1 if visible and push.image else None,  # or the application's extension never loads it
        "content-available": None if visible else 1,
    }
    block = {"headers": _without_none(headers), "payload": {"aps": _without_none(aps)}}
    return {**block, "fcm_options": {"image": push.image}} if push.image else block


def _webpush(push: Push, ttl: int | None, *, visible: bool) -> dict[str, Any]:
    headers = {
        "Urgency": "high" if push.urgent else "normal",
        "TTL": None if ttl is None else str(ttl),
        "Topic": None if push.collapse_key is None else topic(push.collapse_key),
    }
    shown = _without_none({"image": push.image, "tag": push.collapse_key}) if visible else {}
    block = {"headers": _without_none(headers)}
    return {**block, "notification": shown} if shown else block


def _without_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _refusal(answer: Answer) -> DeliveryError:
    code = _code(answer)
    violations = next(_details(answer, "BadRequest", "fieldViolations"), None)
    fields = [str(each.get("field")) for each in violations or () if isinstance(each, dict)]
    if code == "INVALID_ARGUMENT" and "message.token" in fields:
        return Unreachable("it is not a registration token", code=f"{answer.status} {code}")
    # Where it names fields, its words quote their values.
    words = f"in {', '.join(fields)}" if fields else answer.text("error", "message")
    refused = error(answer, code=code, detail=words, codes=CODES)
    if isinstance(refused, Throttled) and refused.retry_after is None:
        refused.retry_after = _QUOTA_PAUSE
    return refused


def _code(answer: Answer) -> str:
    return str(next(_details(answer, "FcmError", "errorCode"), None) or answer.text("error", "status"))


def _details(answer: Answer, kind: str, name: str) -> Iterator[Any]:
    """Yield `name` of all details of one type: https://cloud.google.com/apis/design/errors#error_details."""
    details = answer.find("error", "details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and str(detail.get("@type")).endswith(f".{kind}"):
            yield detail.get(name)
