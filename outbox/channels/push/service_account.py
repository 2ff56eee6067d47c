"""Access tokens for Google's APIs, of a service account: https://developers.google.com/identity/protocols/oauth2/service-account."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from outbox.channels.http import error
from outbox.errors import Ambiguous, DeliveryError, Misconfigured, NotSent, Temporary, Unrecognised

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from outbox.channels.http import Answer, Client

RENEWED_BEFORE = 300.0
"""Seconds before its end from which on a token is renewed, while it is still used."""
_LIFETIME = 3_600  # seconds: the longest that may be asked for
_PAUSE = 10.0  # seconds until the next try, where a renewal failed and the token still lives


class ServiceAccount(NamedTuple):
    """What its key file says."""

    project: str
    email: str
    key_id: str
    key: RSAPrivateKey
    token_uri: str


def read(path: Path) -> ServiceAccount:
    """Read a service account's key file, as the Google Cloud console gives it out.

    Raises:
        ValueError: it is no such file; says why, and shows nothing of it.
    """
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        given = None
    if not isinstance(given, dict) or given.get("type") != "service_account":
        raise ValueError(f"{path}: it is not a service account's key file in JSON")
    names = "project_id", "client_email", "private_key_id", "private_key", "token_uri"
    if missing := [name for name in names if not isinstance(given.get(name), str)]:
        raise ValueError(f"{path}: {', '.join(missing)} is missing")
    try:
        key = load_pem_private_key(given["private_key"].encode(), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError(f"{path}: its private_key is not an RSA key in PEM")  # noqa: TRY004 - as pydantic wants it
    return ServiceAccount(given["project_id"], given["client_email"], given["private_key_id"], key, given["token_uri"])


class AccessTokens:
    """The account's access token: fetched when it is first needed, kept, and renewed in good time.

    There is one fetch at a time, however many wait for it. While the old token lives, nobody waits for the new one, and
    a renewal that fails is tried again.
    """

    def __init__(
        self, account: ServiceAccount, scope: str, client: Client, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._account = account
        self._scope = scope
        self._client = client
        self._clock = clock
        self._token = ""
        self._renew_at = self._ends_at = 0.0
        self._fetching: asyncio.Task[None] | None = None

    async def current(self) -> str:
        """Return a token that is valid now.

        Raises:
            Misconfigured: the request for one was refused.
            Temporary: there was no answer to it, so that no message went out either.
            NotSent: it was cancelled, and no message went out.
        """
        now = self._clock()
        if self._fetching is None and now >= min(self._renew_at, self._ends_at):
            self._fetching = asyncio.create_task(self._fetch())
            self._fetching.add_done_callback(self._fetched)
        if self._fetching is not None and now >= self._ends_at:
            try:
                await asyncio.shield(self._fetching)
            except asyncio.CancelledError:
                raise NotSent from None
        return self._token

    def forget(self, token: str) -> None:
        """Do not use this token again: it was refused."""
        if token == self._token:
            self._renew_at = self._ends_at = 0.0

    async def aclose(self) -> None:
        """Give up a fetch that is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            with contextlib.suppress(asyncio.CancelledError, DeliveryError):
                await self._fetching

    async def _fetch(self) -> None:
        asked_at = self._clock()
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": self._assertion()}
        try:
            answer = await self._client.post(self._account.token_uri, form=form)
        except Ambiguous as trouble:
            raise Temporary(f"no access token: {trouble.detail}") from None
        lifetime = answer.find("expires_in")
        if not answer.is_accepted or not answer.text("access_token") or not isinstance(lifetime, int):
            raise _refusal(answer)
        self._token = answer.text("access_token")
        self._ends_at = asked_at + lifetime
        self._renew_at = self._ends_at - min(RENEWED_BEFORE, lifetime / 2)

    def _fetched(self, task: asyncio.Task[None]) -> None:
        self._fetching = None
        if not task.cancelled() and task.exception() is not None:
            self._renew_at = self._clock() + _PAUSE

    def _assertion(self) -> str:
        now = int(time.time())
        account = self._account
        claims = {"iss": account.email, "scope": self._scope, "aud": account.token_uri, "iat": now}
        return jwt.encode(
            {**claims, "exp": now + _LIFETIME}, account.key, algorithm="RS256", headers={"kid": account.key_id}
        )


def _refusal(answer: Answer) -> DeliveryError:
    code, words = answer.text("error"), f"no access token: {answer.text('error_description') or 'it was refused'}"
    if answer.is_accepted:
        return Temporary("no access token: an answer without one", code=str(answer.status))
    refused = error(answer, code=code, detail=words)
    if isinstance(refused, Unrecognised):
        return Misconfigured(refused.detail, code=refused.code)
    if isinstance(refused, Ambiguous):
        return Temporary(refused.detail, code=refused.code)
    return refused
