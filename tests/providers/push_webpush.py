"""A browser and its push service: https://www.rfc-editor.org/rfc/rfc8030, with RFC 8291 and RFC 8292.

Every attempt has a key and a salt of its own, so that the bodies differ; what the browser reads in them does not.
"""

from __future__ import annotations

import base64
import hmac
import json
import time
from typing import Any
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from outbox import errors
from outbox.messages import Push
from tests.providers.counterpart import CANARY, KEY, Counterpart, Refusal
from tests.providers.server import Reply, Request

ENDPOINT = "/wpush/v2/gAAAAABk-the-capability"
AUTH = b"sixteen bytes ok"
VAPID_KEY = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
VAPID_PUBLIC = "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8"
BROWSER = ec.generate_private_key(ec.SECP256R1())
POINT = BROWSER.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
LOCATION = "https://push.example.net/message/qDIYHNcfAIPP_5ITvURr-d6BGt"
REFUSED = Reply(401, {"code": 401, "errno": 109, "error": "Unauthorized", "message": "Request did not validate"})


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def subscription(url: str) -> str:
    """What a browser hands to the application: `JSON.stringify(subscription)`."""
    keys = {"p256dh": b64(POINT), "auth": b64(AUTH)}
    return json.dumps({"endpoint": url + ENDPOINT, "expirationTime": None, "keys": keys})


def decrypt(body: bytes) -> bytes:
    """Do what a browser does, step by step as RFC 8291 and RFC 8188 have it, on HMAC alone."""
    salt, size, length = body[:16], int.from_bytes(body[16:20], "big"), body[20]
    point, record = body[21 : 21 + length], body[21 + length :]
    assert len(record) <= size
    assert len(body) <= 4_096, "what every push service has to take"
    sender = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    pseudo_random = hmac.digest(AUTH, BROWSER.exchange(ec.ECDH(), sender), "sha256")
    keying = hmac.digest(pseudo_random, b"WebPush: info\0" + POINT + point + b"\1", "sha256")
    pseudo_random = hmac.digest(salt, keying, "sha256")
    key = hmac.digest(pseudo_random, b"Content-Encoding: aes128gcm\0\1", "sha256")[:16]
    nonce = hmac.digest(pseudo_random, b"Content-Encoding: nonce\0\1", "sha256")[:12]
    plaintext, delimiter, padding = AESGCM(key).decrypt(nonce, record, None).rpartition(b"\x02")
    assert delimiter
    assert not padding.strip(b"\0")
    return plaintext


def read(request: Request) -> Any:
    return json.loads(decrypt(request.body))


def _is_ours(request: Request) -> bool:
    """Whether the request is signed by the application server that the browser subscribed to."""
    scheme, _, parameters = request.headers.get("authorization", "").partition(" ")
    given = dict(parameter.strip().partition("=")[::2] for parameter in parameters.split(","))
    if scheme.lower() != "vapid" or given.get("k") != VAPID_PUBLIC:
        return False
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), unb64(given["k"]))
    origin = f"https://{request.headers['host']}"
    claims = jwt.decode(given["t"], key, algorithms=["ES256"], audience=origin)
    assert claims["sub"] == "mailto:push@example.org"
    assert 3_600 < claims["exp"] - time.time() <= 86_400, "RFC 8292, section 2"
    return True


def accept(request: Request) -> Reply:
    if not _is_ours(request):
        return REFUSED
    assert (request.method, request.path) == ("POST", ENDPOINT)
    assert request.headers["content-encoding"] == "aes128gcm"
    assert request.headers["content-type"] == "application/octet-stream"
    assert request.headers["ttl"] == "3600"
    assert request.headers["urgency"] == "high"
    assert request.headers["topic"] == "O_ixV8Qjju_lrkpm7Kgca4h9Tc7bWN1n"
    assert read(request) == {
        "title": "Grüße",
        "body": CANARY,
        "image": "https://cdn.example.org/parcel.png",
        "tag": "order-42",
        "app_badge": 3,
        "data": {"order": "42", "outbox_id": KEY},
    }
    return Reply(201, b"", {"Location": LOCATION})


def message(url: str) -> Push:
    return Push(
        subscription(url),
        "Grüße",
        CANARY,
        {"order": "42"},
        badge=3,
        image="https://cdn.example.org/parcel.png",
        collapse_key="order-42",
        expires_in=3_600.9,
        urgent=True,
    )


COUNTERPART = Counterpart(
    settings={"private_key": VAPID_KEY, "subject": "mailto:push@example.org"},
    probe_at=lambda url: {"probe_urls": [f"{url}/the-capability"]},
    secrets=[VAPID_KEY, ENDPOINT, b64(AUTH)],
    message=message,
    accept=accept,
    same=read,
    tls=True,
    settings_at=lambda url: {"allow": ["127.0.0.1"], "ports": [urlsplit(url).port]},
    refused=REFUSED,
    receipt=LOCATION,
    refusals=[
        Refusal(Reply(400, {"code": 400, "errno": 110, "message": "Invalid Data"}), errors.Rejected, 400),
        Refusal(REFUSED, errors.Misconfigured, 401),
        Refusal(Reply(403, b"the VAPID credentials do not correspond"), errors.Misconfigured, 403),
        Refusal(Reply(404), errors.Unreachable, 404),
        Refusal(Reply(406, b"", {"X-WNS-Status": "channelThrottled"}), errors.Throttled, 406),
        Refusal(Reply(410, {"code": 410, "errno": 106}), errors.Unreachable, 410),
        Refusal(Reply(410, {"reason": "Unregistered"}), errors.Unreachable),
        Refusal(Reply(400, {"reason": "410"}), errors.Rejected),
        Refusal(Reply(413, {"code": 413, "errno": 104}), errors.Rejected, 413),
        Refusal(Reply(429, {"code": 429, "errno": 201}, {"Retry-After": "120"}), errors.Throttled, 429, 120),
        Refusal(Reply(403, {"reason": "BadJwtToken"}), errors.Misconfigured, "BadJwtToken"),
        Refusal(Reply(400, {"reason": "VapidPkHashMismatch"}), errors.Misconfigured, "VapidPkHashMismatch"),
    ],
)
