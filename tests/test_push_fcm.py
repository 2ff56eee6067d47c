"""FCM beyond its contract: access tokens, expiry, size, and what is left out where there is nothing to say."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from outbox import errors
from outbox.channels import load_provider
from outbox.channels.http import Client
from outbox.channels.push import fcm, service_account
from outbox.channels.settings import HttpSettings
from outbox.errors import ConfigError
from outbox.messages import Push
from tests.providers import push_fcm
from tests.providers.counterpart import CANARY, KEY
from tests.providers.server import HangUp, HttpServer, Reply, Request
from tests.waiting import await_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from tests.providers.server import Act

HELLO = Push("a-token", body="Hello")


class Google:
    """FCM and the token endpoint in one server; `tokens` counts what the latter gave out."""

    def __init__(self, answers: Sequence[Reply] = ()) -> None:
        self.answers = list(answers)
        self.tokens = self.refused = 0
        self.refuse: Act | None = None

    def __call__(self, request: Request) -> Act:
        if request.path != "/token":
            assert request.headers["authorization"].startswith("Bearer token ")
            return self.answers.pop(0) if self.answers else push_fcm.SENT
        if self.refuse is not None:
            self.refused += 1
            return self.refuse
        self.tokens += 1
        return Reply(200, {"access_token": f"token {self.tokens}", "expires_in": 3_599})


@asynccontextmanager
async def connected(folder: Path, google: Google, **settings: Any) -> AsyncIterator[tuple[HttpServer, fcm.Provider]]:
    async with HttpServer(google) as server:
        (folder / "key.json").write_text(push_fcm.key_file(server.url))
        given = {"credentials": folder / "key.json", "url": server.url, **settings}
        provider = fcm.Provider(fcm.Settings.model_validate(given))
        try:
            yield server, provider
        finally:
            await provider.aclose()


async def test_one_access_token_serves_all_who_wait_for_it(tmp_path: Path) -> None:
    google = Google()
    async with connected(tmp_path, google) as (server, provider):
        await asyncio.gather(*(provider.send(HELLO, KEY) for _ in range(20)))
    assert google.tokens == 1
    assert sum(request.path == "/token" for request in server.requests) == 1


class Clock:
    """A clock that goes by hand."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def access_tokens(folder: Path, google: Google, clock: Clock) -> AsyncIterator[service_account.AccessTokens]:
    async with HttpServer(google) as server:
        (folder / "key.json").write_text(push_fcm.key_file(server.url))
        account = service_account.read(folder / "key.json")
        client = Client(HttpSettings(url=server.url))
        tokens = service_account.AccessTokens(account, "a scope", client, clock=clock)
        try:
            yield tokens
        finally:
            await tokens.aclose()
            await client.aclose()


async def test_a_token_is_renewed_before_its_end_while_it_is_still_used(tmp_path: Path) -> None:
    google, clock = Google(), Clock()
    async with access_tokens(tmp_path, google, clock) as tokens:
        assert await tokens.current() == "token 1"
        clock.now += 3_599 - 301
        assert await tokens.current() == "token 1"
        assert google.tokens == 1
        clock.now += 2
        assert await tokens.current() == "token 1"
        await await_until(lambda: google.tokens == 2)
        await asyncio.sleep(0.1)
        assert await tokens.current() == "token 2"


async def test_a_renewal_that_fails_hurts_nobody_while_the_token_lives(tmp_path: Path) -> None:
    google, clock = Google(), Clock()
    async with access_tokens(tmp_path, google, clock) as tokens:
        await tokens.current()
        google.refuse = Reply(503)
        clock.now += 3_300
        for _ in range(3):
            assert await tokens.current() == "token 1"
            await asyncio.sleep(0.05)
        assert google.refused == 1, "the next try has time"
        clock.now += 300
        with pytest.raises(errors.Temporary):
            await tokens.current()
        google.refuse = None
        assert await tokens.current() == "token 2"


@pytest.mark.parametrize(
    ("act", "means"),
    [
        (Reply(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}), errors.Misconfigured),
        (Reply(401, {"error": "invalid_client"}), errors.Misconfigured),
        (Reply(404), errors.Misconfigured),
        (Reply(429), errors.Throttled),
        (Reply(500), errors.Temporary),
        (Reply(200, b"<html>"), errors.Temporary),
        (Reply(200, {"access_token": "t"}), errors.Temporary),
        (HangUp(), errors.Temporary),
    ],
    ids=str,
)
async def test_without_an_access_token_nothing_goes_out(
    tmp_path: Path, act: Act, means: type[errors.DeliveryError]
) -> None:
    google = Google()
    google.refuse = act
    async with connected(tmp_path, google) as (server, provider):
        with pytest.raises(errors.DeliveryError, match="no access token") as caught:
            await provider.send(HELLO, KEY)
    assert type(caught.value) is means
    assert {request.path for request in server.requests} == {"/token"}


async def test_an_access_token_that_is_refused_is_not_used_again(tmp_path: Path) -> None:
    google = Google()
    async with connected(tmp_path, google) as (server, provider):
        await provider.send(HELLO, KEY)
        server.script.append(push_fcm.UNAUTHENTICATED)
        with pytest.raises(errors.Misconfigured):
            await provider.send(HELLO, KEY)
        await provider.send(HELLO, KEY)
    assert google.tokens == 2


async def test_a_token_of_another_project_holds_nobody_up_once_ours_is_known_to_be_right(tmp_path: Path) -> None:
    mismatch = push_fcm.refusal(403, "PERMISSION_DENIED", error_code="SENDER_ID_MISMATCH")
    answers = [mismatch, push_fcm.SENT, mismatch, push_fcm.UNAUTHENTICATED]
    async with connected(tmp_path, Google(answers)) as (_, provider):
        for means in (errors.Misconfigured, None, errors.Rejected, errors.Misconfigured):
            if means is None:
                await provider.send(HELLO, KEY)
                continue
            with pytest.raises(errors.DeliveryError) as caught:
                await provider.send(HELLO, KEY)
            assert type(caught.value) is means


async def test_what_expires_says_so_to_each_platform(tmp_path: Path) -> None:
    async with connected(tmp_path, Google()) as (server, provider):
        await provider.send(HELLO._replace(expires_in=60.9), KEY)
        await provider.send(HELLO._replace(expires_in=90 * 86_400), KEY)
        await provider.send(HELLO._replace(expires_in=-1), KEY)
    sent = [request.json()["message"] for request in server.requests if request.path != "/token"]
    assert [message["android"]["ttl"] for message in sent] == ["60s", "2419200s", "0s"]
    assert [message["webpush"]["headers"]["TTL"] for message in sent] == ["60", "2419200", "0"]
    assert int(sent[0]["apns"]["headers"]["apns-expiration"]) == pytest.approx(time.time() + 60, abs=5)


async def test_data_alone_goes_to_the_application_and_nothing_is_shown(tmp_path: Path) -> None:
    async with connected(tmp_path, Google()) as (server, provider):
        await provider.send(Push("a-token", data={"sync": "orders"}, image="https://x.example/i.png", urgent=True), KEY)
    message = server.requests[-1].json()["message"]
    assert "notification" not in {**message, **message["android"], **message["webpush"]}
    assert message["android"] == {"priority": "HIGH"}
    assert message["apns"]["headers"] == {"apns-push-type": "background", "apns-priority": "5"}
    assert message["apns"]["payload"] == {"aps": {"content-available": 1}}


async def test_what_nobody_asked_for_is_left_out(tmp_path: Path) -> None:
    async with connected(tmp_path, Google(), sandbox=True, project="other") as (server, provider):
        await provider.send(HELLO, KEY)
    assert server.requests[-1].path == "/v1/projects/other/messages:send"
    assert server.requests[-1].json() == {
        "validate_only": True,
        "message": {
            "token": "a-token",
            "notification": {"body": "Hello"},
            "data": {"outbox_id": KEY},
            "android": {"priority": "NORMAL"},
            "apns": {"headers": {"apns-push-type": "alert", "apns-priority": "5"}, "payload": {"aps": {}}},
            "webpush": {"headers": {"Urgency": "normal"}},
        },
    }


async def test_what_is_too_large_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    room = fcm.PAYLOAD_LIMIT - len("outbox_id") - len(KEY)
    async with connected(tmp_path, Google()) as (server, provider):
        await provider.send(HELLO._replace(body="é" * (room // 2)), KEY)
        sent = len(server.requests)
        with pytest.raises(errors.Rejected, match="FCM takes 4,096") as caught:
            await provider.send(HELLO._replace(body=CANARY + "é" * (room // 2)), KEY)
    assert len(server.requests) == sent
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"type": "authorized_user"}, "not a service account's key file"),
        ({"client_email": None, "token_uri": 1}, "client_email, token_uri is missing"),
        (
            {"private_key": "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"},
            "not an RSA key in PEM",
        ),
    ],
)
def test_a_key_file_that_is_wrong_is_found_by_check(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    given = json.loads(push_fcm.key_file("https://oauth2.example.org")) | change
    (tmp_path / "key.json").write_text(json.dumps(given))
    with pytest.raises(ConfigError, match=problem) as caught:
        load_provider("push", "fcm", {"credentials": str(tmp_path / "key.json")})
    assert "c2VjcmV0" not in str(caught.value)


def test_a_key_file_that_is_none_is_found_by_check(tmp_path: Path) -> None:
    (tmp_path / "key.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not a service account's key file"):
        load_provider("push", "fcm", {"credentials": str(tmp_path / "key.json")})
    with pytest.raises(ConfigError, match="credentials"):
        load_provider("push", "fcm", {"credentials": str(tmp_path / "nowhere.json")})


def test_an_account_never_prints_its_key(tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text(push_fcm.key_file("https://oauth2.example.org"))
    shown = repr(service_account.read(tmp_path / "key.json"))
    assert not any(line in shown for line in push_fcm.PEM.splitlines())
