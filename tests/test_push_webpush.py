"""Web push beyond its contract: the vector of RFC 8291, what a subscription may be, size, and whose fault a 403 is."""

from __future__ import annotations

import json
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from outbox import errors
from outbox.channels import load_provider
from outbox.channels.push import aes128gcm, subscription, webpush
from outbox.channels.push.collapse import collapse_id, topic
from outbox.channels.push.vapid import Vapid
from outbox.errors import ConfigError, Rejected
from outbox.messages import Push
from tests.providers import push_webpush as browser
from tests.providers.counterpart import CANARY, KEY
from tests.providers.server import HttpServer, Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

RECEIVER = aes128gcm.Receiver(browser.BROWSER.public_key(), browser.AUTH)


@asynccontextmanager
async def connected(folder: Path) -> AsyncIterator[tuple[HttpServer, webpush.Provider]]:
    async with connected_to_two(folder) as (server, _, provider):
        yield server, provider


@asynccontextmanager
async def connected_to_two(folder: Path) -> AsyncIterator[tuple[HttpServer, HttpServer, webpush.Provider]]:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    accept = HttpServer(lambda _: Reply(201), tls=context), HttpServer(lambda _: Reply(201), tls=context)
    async with accept[0] as one, accept[1] as other:
        where = {"allow": ["127.0.0.1"], "ports": [urlsplit(server.url).port for server in accept]}
        given = {**browser.COUNTERPART.settings, **where, "ca_file": folder / "ca.pem"}
        provider = webpush.Provider(webpush.Settings.model_validate(given))
        try:
            yield one, other, provider
        finally:
            await provider.aclose()


def test_it_encrypts_as_the_example_of_the_standard() -> None:
    """https://www.rfc-editor.org/rfc/rfc8291#appendix-A."""
    point = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
    public_key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), browser.unb64(point))
    scalar = int.from_bytes(browser.unb64("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"), "big")
    body = aes128gcm.encrypt(
        b"When I grow up, I want to be a watermelon",
        aes128gcm.Receiver(public_key, browser.unb64("BTBZMqHH6r4Tts7J_aSIgg")),
        private_key=ec.derive_private_key(scalar, ec.SECP256R1()),
        salt=browser.unb64("DGv6ra1nlYgDCS1FRnbzlw"),
    )
    assert browser.b64(body) == (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8w"
        "EqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


@given(st.binary(max_size=aes128gcm.PLAINTEXT_LIMIT))
def test_a_browser_reads_whatever_was_encrypted_for_it(plaintext: bytes) -> None:
    assert browser.decrypt(aes128gcm.encrypt(plaintext, RECEIVER)) == plaintext


def test_no_two_messages_share_a_key_or_a_salt() -> None:
    bodies = {aes128gcm.encrypt(b"again", RECEIVER)[:86] for _ in range(50)}
    assert len(bodies) == len({body[:16] for body in bodies}) == len({body[21:] for body in bodies}) == 50


def test_keys_may_be_padded_or_not_and_of_either_alphabet() -> None:
    assert subscription.decoded("-_8") == subscription.decoded("+/8=") == b"\xfb\xff"
    found = json.loads(browser.subscription("https://push.example.net"))
    found["keys"]["auth"] += "=="
    read = subscription.read(json.dumps(found))
    assert (read.endpoint, read.origin) == (found["endpoint"], "https://push.example.net")
    assert browser.ENDPOINT not in repr(read)


@pytest.mark.parametrize(
    ("endpoint", "origin"),
    [
        ("https://push.example.net:443/a", "https://push.example.net"),
        ("https://push.example.net:8443/a?b=c", "https://push.example.net:8443"),
        ("https://[2001:db8::1]/a", "https://[2001:db8::1]"),
        ("https://PUSH.example.net/a", "https://push.example.net"),
    ],
)
def test_the_audience_is_the_origin_of_the_endpoint(endpoint: str, origin: str) -> None:
    given = json.loads(browser.subscription("")) | {"endpoint": endpoint}
    assert subscription.read(json.dumps(given)).origin == origin


@pytest.mark.parametrize(
    "endpoint",
    ["http://push.example.net/secret", "https:///secret", "https://a@b.example/secret", "ftp://b.example/secret",
     "//b.example/secret", "https://b.example:port/secret", "https://[::1/secret", "", 7, None],
)  # fmt: skip
def test_an_endpoint_that_is_no_https_url_is_rejected(endpoint: object) -> None:
    given = json.loads(browser.subscription("")) | {"endpoint": endpoint}
    with pytest.raises(Rejected, match="https://") as caught:
        subscription.read(json.dumps(given))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "recipient",
    ["", "a-token", "[]", "7", "{}", '{"endpoint": "https://a.example"}', "[" * 100_000,
     '{"endpoint": "https://a.example", "keys": []}',
     '{"endpoint": "https://a.example", "keys": {"p256dh": 1, "auth": 2}}',
     '{"endpoint": "https://a.example", "keys": {"p256dh": "!", "auth": "AAAA"}}'],
)  # fmt: skip
def test_what_is_no_subscription_is_rejected(recipient: str) -> None:
    with pytest.raises(Rejected, match="not a push subscription"):
        subscription.read(recipient)


@pytest.mark.parametrize("keys", [{"auth": "AAAA"}, {"p256dh": browser.b64(b"\x04" + bytes(64))}, {"p256dh": "AAAA"}])
def test_keys_that_are_none_are_rejected(keys: dict[str, str]) -> None:
    given = json.loads(browser.subscription("https://push.example.net"))
    given["keys"] |= keys
    with pytest.raises(Rejected, match="a point on P-256"):
        subscription.read(json.dumps(given))


async def test_an_authorization_is_signed_once_for_each_push_service() -> None:
    vapid = Vapid(browser.VAPID_KEY, "mailto:push@example.org")
    assert vapid.authorization("https://a.example") == vapid.authorization("https://a.example")
    assert vapid.authorization("https://a.example") != vapid.authorization("https://b.example")


async def test_without_a_time_to_live_a_message_is_kept_for_long(tmp_path: Path) -> None:
    async with connected(tmp_path) as (server, provider):
        for expires_in in (None, 1e9, 59.9, -1):
            await provider.send(Push(browser.subscription(server.url), "Hi", expires_in=expires_in), KEY)
    assert [request.headers["ttl"] for request in server.requests] == ["2419200", "2419200", "59", "0"]
    assert {request.headers["urgency"] for request in server.requests} == {"normal"}
    assert not any("topic" in request.headers for request in server.requests)
    assert browser.read(server.requests[0]) == {"title": "Hi", "data": {"outbox_id": KEY}}


async def test_what_is_too_large_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    around = len(json.dumps({"body": "", "data": {"outbox_id": KEY}}, separators=(",", ":")))
    room = aes128gcm.PLAINTEXT_LIMIT - around
    async with connected(tmp_path) as (server, provider):
        await provider.send(Push(browser.subscription(server.url), body="x" * room), KEY)
        assert len(server.requests[0].body) == 4_096
        with pytest.raises(Rejected, match="browsers take 3,993") as caught:
            await provider.send(Push(browser.subscription(server.url), body=CANARY + "x" * room), KEY)
    assert len(server.requests) == 1
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("reply", [Reply(403), Reply(401), Reply(302), Reply(400, {"reason": "VapidPkHashMismatch"})])
async def test_once_our_key_was_accepted_a_refusal_of_it_holds_nobody_up(tmp_path: Path, reply: Reply) -> None:
    async with connected(tmp_path) as (server, provider):
        message = Push(browser.subscription(server.url), "Hi")
        server.script.append(reply)
        with pytest.raises(errors.Misconfigured):
            await provider.send(message, KEY)
        await provider.send(message, KEY)
        server.script.append(reply)
        with pytest.raises(errors.Rejected):
            await provider.send(message, KEY)


async def test_a_strangers_push_service_that_refuses_everything_holds_nobody_up(tmp_path: Path) -> None:
    async with connected_to_two(tmp_path) as (server, strangers, provider):
        await provider.send(Push(browser.subscription(server.url), "Hi"), KEY)
        strangers.script.append(Reply(403))
        with pytest.raises(errors.Rejected):
            await provider.send(Push(browser.subscription(strangers.url), "Hi"), KEY)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"private_key": "c2VjcmV0LXNlY3JldA"}, "not a key of 32 bytes"),
        ({"private_key": "not base64!"}, "not base64"),
        ({"private_key": "A" * 43}, "private_key"),
        ({"subject": "push@example.org"}, "subject"),
        ({"subject": "mailto:"}, "subject"),
        ({"url": "https://push.example.net"}, "url"),
        ({"http": ["push.example.net"]}, "http is not a known key"),
    ],
)
def test_settings_that_are_wrong_are_found_by_check(wrong: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        load_provider("push", "webpush", {**browser.COUNTERPART.settings, **wrong})
    assert str(wrong.get("private_key", browser.VAPID_KEY)) not in str(caught.value)


@given(st.text(min_size=1))
def test_every_collapse_key_fits(key: str) -> None:
    assert len(topic(key)) == 32
    assert set(topic(key)) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert len(collapse_id(key).encode()) <= 64
    assert collapse_id(key).isascii()


def test_a_collapse_key_that_fits_is_left_as_it_is() -> None:
    assert collapse_id("order-42") == "order-42"
    assert collapse_id("x" * 64) == "x" * 64
    assert collapse_id("x" * 65) != collapse_id("x" * 66)
    assert collapse_id("größe") != "größe"
