"""Webhooks: what becomes one, how it is signed and for whom, and that its receiver believes no other."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from base64 import b64encode
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from outbox import errors, holds
from outbox.channels import load_provider
from outbox.channels.webhook import compose, standard
from outbox.channels.webhook.signatures import signed, signer
from outbox.config import ChannelConfig
from outbox.errors import ConfigError, Rejected
from outbox.messages import Notification, Webhook
from outbox.render import Templates
from outbox.route import Route
from tests.providers.counterpart import KEY
from tests.providers.server import HttpServer, Reply, Request
from tests.providers.webhook_standard import PRIVATE, PUBLIC, SECRET

if TYPE_CHECKING:
    from pathlib import Path

OTHERS = ["whsec_" + b64encode(bytes([number]) * 24).decode() for number in range(5)]
WHEN = datetime(2026, 5, 17, tzinfo=UTC)

# The specification's example, and the vector of its library's own tests; both sign the same content.
VECTOR = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}')
SIGNATURES = {
    SECRET: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    PRIVATE: "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
}


@pytest.mark.parametrize("secret", SIGNATURES, ids=["v1", "v1a"])
def test_the_vectors_of_the_specification(secret: str) -> None:
    assert signed([signer(secret)], *VECTOR) == SIGNATURES[secret]


def test_a_key_may_come_without_its_public_half_and_a_secret_without_padding() -> None:
    seed = "whsk_" + b64encode(b"s" * 32).decode()
    assert signer(seed.rstrip("="))(b"x") == signer(seed)(b"x")
    assert signer(OTHERS[0].rstrip("="))(b"x") == signer(OTHERS[0])(b"x")


def test_several_secrets_sign_at_once_in_their_order() -> None:
    assert signed(map(signer, SIGNATURES), *VECTOR) == " ".join(SIGNATURES.values())


@pytest.mark.parametrize("known", [0, 1, 2])
def test_while_a_secret_is_replaced_a_receiver_may_know_either(known: int) -> None:
    now = int(time.time())
    signature = signed(map(signer, [OTHERS[0], PRIVATE, OTHERS[1]]), KEY, now, b'{"a":1}')
    headers = {"webhook-id": KEY, "webhook-timestamp": str(now), "webhook-signature": signature}
    if known < 2:
        assert Verifier(OTHERS[known]).verify(b'{"a":1}', headers) == {"a": 1}
    else:
        with pytest.raises(WebhookVerificationError):
            Verifier(OTHERS[known]).verify(b'{"a":1}', headers)


def test_whatever_is_changed_on_the_way_the_receiver_refuses_it() -> None:
    now, body = int(time.time()), b'{"type":"a","data":{"amount":1}}'
    headers = {"webhook-id": KEY, "webhook-timestamp": str(now)}
    good = {**headers, "webhook-signature": signed([signer(SECRET)], KEY, now, body)}

    def signed_at(then: int) -> dict[str, str]:
        signature = signed([signer(SECRET)], KEY, then, body)
        return {"webhook-id": KEY, "webhook-timestamp": str(then), "webhook-signature": signature}

    Verifier(SECRET).verify(body, good)
    tampered: list[tuple[bytes, dict[str, str]]] = [
        *((body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :], good) for at in range(len(body))),
        (body + b" ", good),
        (body, {**good, "webhook-id": KEY + "x"}),
        (body, {**good, "webhook-timestamp": str(now - 1)}),
        (body, {**good, "webhook-signature": signed([signer(OTHERS[0])], KEY, now, body)}),
        (body, {**good, "webhook-signature": good["webhook-signature"].replace("v1,", "v2,")}),
        *((body, signed_at(then)) for then in (now - 302, now + 302, 0)),
    ]
    for changed, with_headers in tampered:
        with pytest.raises(WebhookVerificationError):
            Verifier(SECRET).verify(changed.decode("latin-1"), with_headers)


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        ("", "it must begin with whsec_"),
        ("secret", "it must begin with whsec_"),
        ("whsec-" + "A" * 32, "it must begin with whsec_"),
        (PUBLIC, "it must begin with whsec_"),
        ("whsec_", "24 to 64 bytes"),
        ("whsec_" + b64encode(b"x" * 23).decode(), "24 to 64 bytes"),
        ("whsec_" + b64encode(b"x" * 65).decode(), "24 to 64 bytes"),
        ("whsec_not base64!" + "A" * 32, "must be base64"),
        ("whsk_" + b64encode(b"x" * 31).decode(), "32 or 64 bytes"),
        ("whsk_" + b64encode(b"x" * 64).decode(), "do not belong together"),
    ],
)
def test_a_secret_that_cannot_sign_is_found_without_being_repeated(secret: str, problem: str) -> None:
    for given in ({"secrets": [SECRET, secret]}, {"secrets": [SECRET], "secrets_for": {"a.example": [secret]}}):
        with pytest.raises(ConfigError, match=problem) as caught:
            load_provider("webhook", "standard", given)
        assert len(secret) < 7 or secret not in str(caught.value)


@pytest.mark.parametrize(
    "place",
    ["https://a.example", "a.example/?b", "a.example:443", "", "/a", "u@a.example", "a..example", "127.1", "a.example.",
     "bücher..example/a", "ⓐ.example"],
)  # fmt: skip
def test_secrets_are_for_a_host_or_a_host_and_a_path(place: str) -> None:
    with pytest.raises(ConfigError, match="a host and a path"):
        load_provider("webhook", "standard", {"secrets": [SECRET], "secrets_for": {place: [SECRET]}})
    with pytest.raises(ConfigError, match="secrets"):
        load_provider("webhook", "standard", {"secrets": []})


def test_that_any_host_is_asked_without_tls_cannot_be_said() -> None:
    with pytest.raises(
        ConfigError, match=r'http: it is no switch for all hosts: name those .* \["localhost", "10.0.0.5"\]'
    ):
        load_provider("webhook", "standard", {"secrets": [SECRET], "http": True})


def test_one_place_has_one_list_of_secrets_however_it_is_written() -> None:
    for other in ("BÜCHER.example/a", "xn--bcher-kva.example/a/"):
        places = {"bücher.example/a": [SECRET], other: [OTHERS[0]]}
        with pytest.raises(ConfigError, match="two of its keys are the same place"):
            load_provider("webhook", "standard", {"secrets": [SECRET], "secrets_for": places})


def test_without_cryptography_secrets_sign_and_keys_say_what_to_install() -> None:
    program = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from outbox.channels import load_provider\n"
        f"load_provider('webhook', 'standard', {{'secrets': [{SECRET!r}]}}); print('signs')\n"
        f"load_provider('webhook', 'standard', {{'secrets': [{PRIVATE!r}]}})\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "a whsk_ key needs the package cryptography: install outbox[webhook]" in ended.stderr
    assert ended.stdout == "signs\n"


@pytest.mark.parametrize(
    ("path", "signs"),
    [
        ("/", 1),
        ("/team", 1),
        ("/team/a", 2),
        ("/team/a/b?c", 2),
        ("/team/a/../a/b", 2),
        ("/team/a/deeper/still", 3),
        ("/team/ab", 1),
        ("/TEAM/a", 1),
    ],
)
async def test_the_longest_place_that_a_url_begins_with_has_its_secrets(path: str, signs: int) -> None:
    seen: list[Request] = []

    def take(request: Request) -> Reply:
        seen.append(request)
        return Reply(200)

    async with HttpServer(take) as server:
        port = int(server.url.rpartition(":")[2])
        settings = standard.Settings(
            secrets=[OTHERS[0]],  # type: ignore[arg-type]  # as all below: pydantic makes them
            secrets_for={
                "127.0.0.1": [OTHERS[1]],  # type: ignore[dict-item]
                "127.0.0.1/team/a": [OTHERS[2]],  # type: ignore[dict-item]
                "127.0.0.1/team/a/deeper/": [OTHERS[3]],  # type: ignore[dict-item]
                "127.0.0.1.example.org": [OTHERS[4]],  # type: ignore[dict-item]
                "27.0.0.1": [OTHERS[4]],  # type: ignore[dict-item]
            },
            allow=("127.0.0.1",), ports=(port,), http=("127.0.0.1",),
        )  # fmt: skip
        provider = standard.Provider(settings)
        await provider.send(Webhook(server.url + path, "a", {}), KEY)
        await provider.aclose()
    Verifier(OTHERS[signs]).verify(seen[0].body, seen[0].headers)


@pytest.mark.parametrize("place", ["bücher.example", "BÜCHER.Example/a", "XN--BCHER-KVA.example"])
@pytest.mark.parametrize("host", ["bücher.example", "Bücher.EXAMPLE", "xn--bcher-kva.example"])
async def test_secrets_are_for_a_host_however_it_is_written(
    place: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for = []

    def answer(name: str, *_args: object, **_options: object) -> list[Any]:
        asked_for.append(name)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    async with HttpServer(lambda _: Reply(200)) as server:
        monkeypatch.setattr(socket, "getaddrinfo", answer)
        port = int(server.url.rpartition(":")[2])
        given = {"secrets": OTHERS[:1], "secrets_for": {place: OTHERS[1:2]}, "allow": ["127.0.0.1"], "ports": [port]}
        provider = load_provider("webhook", "standard", {**given, "http": ["bücher.example"]})
        await provider.send(Webhook(f"http://{host}:{port}/a", "a", {}), KEY)
        await provider.aclose()
    Verifier(OTHERS[1]).verify(server.requests[0].body, server.requests[0].headers)
    assert asked_for == ["xn--bcher-kva.example"]


async def test_the_inside_of_the_network_is_refused_by_default_and_no_secret_is_told() -> None:
    provider = standard.Provider(standard.Settings(secrets=[SECRET]))  # type: ignore[arg-type]
    for url in ("https://127.0.0.1/t0ken", "https://localhost/t0ken", "http://example.org/t0ken", "ftp://a", "t0ken"):
        with pytest.raises(Rejected) as caught:
            await provider.send(Webhook(url, "a", {}), KEY)
        assert caught.value.code == "target"
        assert "t0ken" not in str(caught.value)
    await provider.aclose()


@pytest.mark.parametrize("data", [{"a": float("nan")}, {"a": float("inf")}, {"a": "\ud800"}, {"a": object()}])
async def test_what_json_cannot_say_is_rejected(data: dict[str, Any]) -> None:
    provider = standard.Provider(standard.Settings(secrets=[SECRET]))  # type: ignore[arg-type]
    with pytest.raises(Rejected, match="cannot be said in JSON"):
        await provider.send(Webhook("https://example.org/", "a", data), KEY)
    await provider.aclose()


async def test_an_endpoint_that_is_down_keeps_nothing_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holds, "LONG", 0.0)
    provider = standard.Provider(standard.Settings(secrets=[SECRET]))  # type: ignore[arg-type]
    policy = ChannelConfig(providers=("standard",))
    route = Route(
        channel="webhook",
        policy=policy,
        compose=lambda it: it,
        providers={"standard": provider},
        listener=lambda _: None,
    )
    for number in range(100):
        assert route.holds.failed("standard", f"m{number}", errors.Temporary("down")) is None
    assert route.holds.may_try("standard", "another")
    await route.aclose()


def notification(**changes: Any) -> Notification:
    given = {"id": UUID(KEY), "channel": "webhook", "recipient": "https://example.org/", "created_at": WHEN}
    return Notification(**{**given, **changes})


@pytest.mark.parametrize(
    ("given", "event", "data"),
    [
        ({"payload": {"event": "order.paid", "data": {"id": 7}}}, "order.paid", {"id": 7}),
        ({"payload": {"event": "order.paid", "data": {"id": 7}, "more": 1}}, "order.paid", {"id": 7}),
        ({"payload": {"event": "order.paid", "id": 7}}, "order.paid", {"id": 7}),
        ({"payload": {"id": 7}, "topic": "orders", "template": "paid"}, "orders", {"id": 7}),
        ({"payload": {"id": 7}, "template": "order.paid"}, "order.paid", {"id": 7}),
        ({"payload": {"event": "ping"}}, "ping", {}),
    ],
)
def test_a_notification_becomes_an_event(given: dict[str, Any], event: str, data: object, tmp_path: Path) -> None:
    composed = compose(notification(**given), Templates(tmp_path))
    assert composed == Webhook("https://example.org/", event, data, WHEN)  # type: ignore[arg-type]
    assert json.dumps(data) == "{}" or "7" not in repr(composed)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "payload: an event is missing"),
        ({"payload": {"event": ""}}, "payload: an event is missing"),
        ({"payload": {"event": None}}, "payload: an event is missing"),
        ({"payload": {"event": 7}}, "payload: event must be text, not int"),
        ({"payload": {"event": "a", "data": [1]}}, "payload: data must be an object, not list"),
        ({"payload": {"event": "a", "data": None}}, "payload: data must be an object, not NoneType"),
    ],
)
def test_what_is_no_event_is_rejected(given: dict[str, Any], problem: str, tmp_path: Path) -> None:
    with pytest.raises(errors.Rejected, match=problem):
        compose(notification(**given), Templates(tmp_path))
