"""APNs beyond its contract: one connection that many share and the peer may close, whose fault a token is."""

from __future__ import annotations

import asyncio
import json
import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import jwt
import pytest
import trustme

from outbox import errors
from outbox.channels import load_provider
from outbox.channels.push import apns
from outbox.channels.push.provider_token import ProviderTokens
from outbox.errors import ConfigError
from outbox.messages import Push
from tests.providers import push_apns as apple
from tests.providers.counterpart import CANARY, KEY
from tests.providers.http2 import Http2Server
from tests.providers.server import GoAway, HangUp, Reply, Request, Reset, Silence

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.providers.server import Act

HELLO = Push(apple.TOKEN, body="Hello")


def accepted(request: Request) -> Reply:
    return Reply(200, b"", {"apns-id": request.headers["apns-id"]})


@asynccontextmanager
async def connected(folder: Path, **settings: Any) -> AsyncIterator[tuple[Http2Server, apns.Provider]]:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    async with Http2Server(accepted, tls=context) as server:
        where = {"url": server.url, "ca_file": folder / "ca.pem", "key_file": key_file(folder)}
        given = {**apple.COUNTERPART.settings, **where, **settings}
        provider = apns.Provider(apns.Settings.model_validate(given))
        try:
            yield server, provider
        finally:
            await provider.aclose()


def key_file(folder: Path) -> Path:
    file = folder / "key.p8"
    file.write_text(apple.PEM)
    return file


async def test_many_notifications_share_one_connection(tmp_path: Path) -> None:
    async with connected(tmp_path) as (server, provider):
        keys = [f"0192f0c1-7c00-7b1e-8000-{number:012}" for number in range(150)]
        receipts = await asyncio.gather(*(provider.send(HELLO, key) for key in keys))
    assert [receipt.provider_message_id for receipt in receipts] == keys
    assert server.connections == 1
    assert len({request.headers["authorization"] for request in server.requests}) == 1


@pytest.mark.parametrize("leave", [HangUp(), HangUp(b"\0" * 64), GoAway(last=1_000), GoAway(last=0)], ids=str)
async def test_what_is_in_flight_when_the_peer_leaves_is_ambiguous(tmp_path: Path, leave: Act) -> None:
    async with connected(tmp_path) as (server, provider):
        await provider.send(HELLO, KEY)
        server.script.extend([Silence(), Silence(), leave])
        ends = await asyncio.gather(*(provider.send(HELLO, KEY) for _ in range(3)), return_exceptions=True)
        assert {type(end) for end in ends} == {errors.Ambiguous}
        await provider.send(HELLO, KEY)
    assert server.connections == 2


async def test_a_request_that_the_peer_resets_is_ambiguous_and_the_connection_goes_on(tmp_path: Path) -> None:
    async with connected(tmp_path) as (server, provider):
        server.script.append(Reset())
        with pytest.raises(errors.Ambiguous):
            await provider.send(HELLO, KEY)
        await provider.send(HELLO, KEY)
    assert server.connections == 1


async def test_what_the_peer_says_it_did_not_look_at_is_sent_over_a_new_connection(tmp_path: Path) -> None:
    """https://www.rfc-editor.org/rfc/rfc9113#section-6.8: nothing was done for streams after the last one named."""
    async with connected(tmp_path) as (server, provider):
        await provider.send(HELLO, KEY)
        server.script.append(GoAway(last=1))
        assert (await provider.send(HELLO, KEY)).provider_message_id == KEY
    assert server.connections == 2


async def test_a_connection_that_is_silent_is_not_used_again(tmp_path: Path) -> None:
    async with connected(tmp_path, timeout=1) as (server, provider):
        await provider.send(HELLO, KEY)
        server.script.extend([Silence(), Silence()])
        ends = await asyncio.gather(*(provider.send(HELLO, KEY) for _ in range(2)), return_exceptions=True)
        assert {type(end) for end in ends} == {errors.Ambiguous}
        await provider.send(HELLO, KEY)
    assert server.connections == 2


@pytest.mark.parametrize("reason", ["BadDeviceToken", "DeviceTokenNotForTopic"])
async def test_a_token_is_at_fault_once_our_settings_are_known_to_be_right(tmp_path: Path, reason: str) -> None:
    async with connected(tmp_path) as (server, provider):
        server.script.append(Reply(400, {"reason": reason}))
        with pytest.raises(errors.Misconfigured, match=reason):
            await provider.send(HELLO, KEY)
        await provider.send(HELLO, KEY)
        server.script.extend([Reply(400, {"reason": reason}), Reply(400, {"reason": "BadTopic"})])
        with pytest.raises(errors.Unreachable, match=reason):
            await provider.send(HELLO, KEY)
        with pytest.raises(errors.Misconfigured):
            await provider.send(HELLO, KEY)


async def test_an_unregistered_token_says_since_when(tmp_path: Path) -> None:
    async with connected(tmp_path) as (server, provider):
        for timestamp in (1_454_948_015_990, 10**30, "soon", None):
            server.script.append(Reply(410, {"reason": "Unregistered", "timestamp": timestamp}))
            with pytest.raises(errors.Unreachable) as caught:
                await provider.send(HELLO, KEY)
            said = ", since 2016-02-08 16:13:35 UTC" if timestamp == 1_454_948_015_990 else ""
            assert str(caught.value) == f"410 Unregistered: HTTP 410{said}"


@pytest.mark.parametrize("reason", ["Unregistered", "ExpiredToken"])
async def test_a_token_that_was_registered_since_apple_gave_it_up_is_not_unreachable_but_the_push_is_rejected(
    tmp_path: Path, reason: str
) -> None:
    gone = datetime(2026, 5, 17, 12, 30, 0, 250_000, tzinfo=UTC)
    refusal = Reply(410, {"reason": reason, "timestamp": 1_779_021_000_250})
    millisecond = timedelta(milliseconds=1)
    async with connected(tmp_path) as (server, provider):
        for registered_at, means in [
            (gone + millisecond, errors.Rejected),
            (gone, errors.Unreachable),
            (gone - millisecond, errors.Unreachable),
            (None, errors.Unreachable),
        ]:
            server.script.append(refusal)
            with pytest.raises(errors.DeliveryError, match="since 2026-05-17 12:30:00 UTC") as caught:
                await provider.send(HELLO._replace(registered_at=registered_at), KEY)
            assert type(caught.value) is means
            assert caught.value.code == f"410 {reason}"


async def test_without_apples_moment_no_registration_is_known_to_be_later(tmp_path: Path) -> None:
    async with connected(tmp_path) as (server, provider):
        for timestamp in (None, "soon", 10**30):
            server.script.append(Reply(410, {"reason": "Unregistered", "timestamp": timestamp}))
            with pytest.raises(errors.Unreachable):
                await provider.send(HELLO._replace(registered_at=datetime.now(UTC)), KEY)


async def test_when_a_token_was_registered_is_nobodys_business_but_ours(tmp_path: Path) -> None:
    async with connected(tmp_path) as (server, provider):
        await provider.send(HELLO._replace(registered_at=datetime.now(UTC)), KEY)
    assert set(server.requests[0].json()) == {"outbox_id", "aps"}


async def test_data_alone_goes_to_the_application_and_nothing_is_shown(tmp_path: Path) -> None:
    async with connected(tmp_path) as (server, provider):
        await provider.send(Push(apple.TOKEN, data={"sync": "orders"}, urgent=True, expires_in=-5), KEY)
    (request,) = server.requests
    assert request.json() == {"sync": "orders", "outbox_id": KEY, "aps": {"content-available": 1}}
    assert (request.headers["apns-push-type"], request.headers["apns-priority"]) == ("background", "5")
    assert "apns-collapse-id" not in request.headers


@pytest.mark.parametrize("recipient", ["", "../../secret", "0", "00fg", "00" * 101, "00\n", "é0"])
async def test_a_recipient_that_is_no_token_is_rejected(tmp_path: Path, recipient: str) -> None:
    async with connected(tmp_path) as (server, provider):
        with pytest.raises(errors.Rejected, match="device token"):
            await provider.send(HELLO._replace(recipient=recipient), KEY)
    assert server.requests == []


async def test_what_is_too_large_or_takes_apples_name_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    around = len(json.dumps({"outbox_id": KEY, "aps": {"alert": {"body": ""}}}, separators=(",", ":")))
    room = apns.PAYLOAD_LIMIT - around
    async with connected(tmp_path) as (server, provider):
        await provider.send(HELLO._replace(body="é" * (room // 2)), KEY)
        with pytest.raises(errors.Rejected, match="APNs takes 4,096") as caught:
            await provider.send(HELLO._replace(body=CANARY + "x" * room), KEY)
        with pytest.raises(errors.Rejected, match="aps"):
            await provider.send(HELLO._replace(data={"aps": "x"}), KEY)
    assert len(server.requests) == 1
    assert CANARY not in str(caught.value)


def test_a_provider_token_is_made_every_forty_minutes_whoever_makes_it() -> None:
    now = [1_800_000_000.0]
    tokens, others = (
        ProviderTokens(apple.SIGNING_KEY, "KEY4711ABC", "TEAM4711AB", clock=lambda: now[0]) for _ in range(2)
    )

    def issued_at(token: str) -> Any:
        return jwt.decode(token, options={"verify_signature": False})["iat"]

    moments = []
    for _ in range(24 * 60):
        token = tokens.current()
        assert token == tokens.current()
        assert issued_at(token) == issued_at(others.current())
        assert 0 <= now[0] - issued_at(token) < 3_600
        moments.append(issued_at(token))
        now[0] += 60
    assert {later - earlier for earlier, later in pairwise(moments)} == {0, 2_400}


def test_the_environment_says_where_the_api_is(tmp_path: Path) -> None:
    given = {**apple.COUNTERPART.settings, "key_file": key_file(tmp_path)}
    assert apns.Settings.model_validate(given).url == "https://api.push.apple.com"
    assert apns.Settings.model_validate({**given, "environment": "sandbox"}).url == "https://api.sandbox.push.apple.com"


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"environment": "development"}, "environment"),
        ({"key_id": "short"}, "key_id"),
        ({"team_id": "team4711ab"}, "team_id"),
        ({"topic": "org/example"}, "topic"),
        ({"key_file": "/nowhere.p8"}, "key_file"),
    ],
)
def test_settings_that_are_wrong_are_found_by_check(tmp_path: Path, wrong: dict[str, Any], problem: str) -> None:
    given = {**apple.COUNTERPART.settings, "key_file": str(key_file(tmp_path)), **wrong}
    with pytest.raises(ConfigError, match=problem):
        load_provider("push", "apns", given)


def test_a_key_file_that_is_none_is_found_by_check(tmp_path: Path) -> None:
    (tmp_path / "key.p8").write_text("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")
    with pytest.raises(ConfigError, match="not a signing key") as caught:
        load_provider("push", "apns", {**apple.COUNTERPART.settings, "key_file": str(tmp_path / "key.p8")})
    assert "c2VjcmV0" not in str(caught.value)
