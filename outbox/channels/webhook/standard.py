"""Webhooks by the specification Standard Webhooks 1.0.0: the provider named `standard`. https://www.standardwebhooks.com."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, SecretStr, field_validator

from outbox.channels.guard import Guard
from outbox.channels.guarded_settings import TlsOptionalSettings
from outbox.channels.hosts import canonical
from outbox.channels.http import Client, error
from outbox.channels.reachability import look_for
from outbox.channels.webhook.signatures import signed, signer
from outbox.errors import DeliveryError, Rejected, Temporary, Throttled, Unreachable
from outbox.messages import Receipt

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from outbox.channels.webhook.signatures import Signer
    from outbox.messages import Webhook

__all__ = ["STATUSES", "Provider", "Settings"]

# https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#delivery-success-and-failure
STATUSES: Mapping[int, type[DeliveryError]] = {
    301: Rejected,  # it has moved for good: whoever gave us the URL must give us the new one
    308: Rejected,  # as above
    410: Unreachable,  # it wants no more webhooks
    429: Throttled,  # a limit of the receiver's
    502: Throttled,  # its server is under load
    504: Throttled,  # as above
}
# The receiver answers for itself: 401 is its trouble and not ours, and 400 or 500 may be a mistake that it mends today.
# None of them says that it took the webhook; if it did, it knows the next one by its id.
_ANY_OTHER = Temporary

_Secrets = Annotated[tuple[SecretStr, ...], Field(min_length=1)]
_PLACE = re.compile(r"[^\s/?#@:]+(?:/[^\s?#]*)?")


class Settings(TlsOptionalSettings):
    """How webhooks are signed, `[providers.standard]`: with every one of the `secrets`, so that they can be replaced.

    `secrets_for` has others instead for some hosts, or for what begins with a host and a path. A secret is `whsec_` and
    24 to 64 bytes in base64, an ed25519 key `whsk_` and its 32 or 64 bytes.
    """

    secrets: _Secrets = Field(description="a list of secrets that begin with whsec_, or keys that begin with whsk_")
    secrets_for: dict[str, _Secrets] = Field(
        default_factory=dict, description="lists of secrets by host, such as hooks.example.org, or by host and path"
    )

    @field_validator("secrets")
    @classmethod
    def _can_sign(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        _signers(secrets)
        return secrets

    @field_validator("secrets_for")
    @classmethod
    def _can_sign_for(cls, secrets_for: dict[str, tuple[SecretStr, ...]]) -> dict[str, tuple[SecretStr, ...]]:
        try:
            places = {_place(place) for place in secrets_for}
        except ValueError:
            raise ValueError("each key must be a host, such as hooks.example.org, or a host and a path") from None
        if len(places) < len(secrets_for):
            raise ValueError("two of its keys are the same place")
        for secrets in secrets_for.values():
            _signers(secrets)
        return secrets_for


class Provider:
    """Posts webhooks to their receivers' URLs. Every attempt has the same id, by which a receiver drops repeats."""

    fails_by_recipient = True
    """Each recipient is a server of its own: that one is down says nothing of the next."""
    probe_only_reaches = True
    """Whether a receiver takes what is sent, only a message would tell."""

    def __init__(self, settings: Settings) -> None:
        self._guard = Guard(settings, without_tls=settings.http)
        self._probe_urls = [url.get_secret_value() for url in settings.probe_urls]
        self.can_be_probed = bool(self._probe_urls)
        fixed = {"content-type": "application/json", "user-agent": "outbox"}
        self._client = Client(settings, headers=fixed, guard=self._guard)
        self._signers = _signers(settings.secrets)
        by_place = {_place(place): _signers(secrets) for place, secrets in settings.secrets_for.items()}
        self._signers_by_place = sorted(by_place.items(), key=lambda item: len(item[0]), reverse=True)

    async def send(self, message: Webhook, key: str) -> Receipt:
        """Post one event to its receiver; `key` is the `webhook-id`.

        The body is the same at every attempt; the timestamp and the signatures, as the specification has it, are not.

        Raises:
            DeliveryError: by the table `STATUSES`, any other refusal is `Temporary`; `Rejected` also if the URL may not
                be asked for, see `outbox.channels.guard`.
        """
        url = self._guard.check(message.recipient)
        body = _body(message)
        now = int(time.time())
        headers = {
            "webhook-id": key,
            "webhook-timestamp": str(now),
            "webhook-signature": signed(self._signers_for(url), key, now, body),
        }
        answer = await self._client.post(str(url), content=body, headers=headers)
        if not answer.is_accepted:
            raise error(answer, statuses={answer.status: _ANY_OTHER, **STATUSES})
        return Receipt()

    async def probe(self) -> None:
        """Look whether the receivers that `probe_urls` names can be reached, and send nothing.

        Raises:
            DeliveryError: one cannot be reached, or its URL may not be asked for.
        """
        await look_for(self._probe_urls, self._client, self._guard)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()
        self._guard.close()

    def _signers_for(self, url: httpx.URL) -> list[Signer]:
        whole = f"{url.raw_host.decode('ascii')}{url.path}/"
        return next((found for place, found in self._signers_by_place if whole.startswith(place)), self._signers)


def _signers(secrets: tuple[SecretStr, ...]) -> list[Signer]:
    return [signer(secret.get_secret_value()) for secret in secrets]


def _place(place: str) -> str:
    """Return a host and path as they are compared: with a slash at the end, lest a.example match a.example.org.

    Raises:
        ValueError: it is not that.
    """
    if not _PLACE.fullmatch(place):
        raise ValueError("it is no host, and no host and a path")
    host, _, path = place.partition("/")
    return f"{canonical(host)}/{path}".rstrip("/") + "/"


def _body(message: Webhook) -> bytes:
    created_at = message.created_at
    when = {} if created_at is None else {"timestamp": f"{created_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"}
    try:
        text = json.dumps(
            {"type": message.event, **when, "data": message.data},
            ensure_ascii=False,
            allow_nan=False,
            separators=(",", ":"),
        )
        return text.encode()
    except (TypeError, ValueError, RecursionError) as trouble:
        raise Rejected(f"it cannot be said in JSON: {type(trouble).__name__}") from None
