"""APNs: https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns.

Every attempt has the same body and the same apns-id; the moment of apns-expiration is that of the attempt.
"""

from __future__ import annotations

import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from outbox import errors
from outbox.messages import Push
from tests.providers.counterpart import CANARY, KEY, Counterpart, Refusal
from tests.providers.http2 import Http2Server
from tests.providers.server import Reply, Request

TOKEN = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0"
SIGNING_KEY = ec.generate_private_key(ec.SECP256R1())
PEM = SIGNING_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
REFUSED = Reply(403, {"reason": "InvalidProviderToken"})


def _is_ours(request: Request) -> bool:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return False
    head = jwt.get_unverified_header(token)
    claims = jwt.decode(token, SIGNING_KEY.public_key(), algorithms=["ES256"], options={"verify_iat": False})
    assert (head["alg"], head["kid"]) == ("ES256", "KEY4711ABC")
    assert set(claims) == {"iss", "iat"}
    assert 0 <= time.time() - claims["iat"] < 3_600, "Apple refuses one that is older"
    return bool(claims["iss"] == "TEAM4711AB")


def accept(request: Request) -> Reply:
    if not _is_ours(request):
        return REFUSED
    assert (request.method, request.path) == ("POST", f"/3/device/{TOKEN}")
    assert request.headers["apns-id"] == KEY
    assert request.headers["apns-topic"] == "org.example.shop"
    assert request.headers["apns-push-type"] == "alert"
    assert request.headers["apns-priority"] == "10"
    assert request.headers["apns-collapse-id"] == "order-42"
    assert abs(int(request.headers["apns-expiration"]) - time.time() - 3_600) < 60
    assert request.json() == {
        "aps": {"alert": {"title": "Grüße", "body": CANARY}, "badge": 3, "sound": "bell.caf", "mutable-content": 1},
        "image": "https://cdn.example.org/parcel.png",
        "order": "42",
        "outbox_id": KEY,
    }
    return Reply(200, b"", {"apns-id": request.headers["apns-id"]})


def probed(request: Request) -> Reply:
    if not _is_ours(request):
        return REFUSED
    assert (request.method, request.path) == ("POST", f"/3/device/{'00' * 32}")
    assert request.headers["apns-topic"] == "org.example.shop"
    assert request.headers["apns-push-type"] == "background"
    assert (request.headers["apns-priority"], request.headers["apns-expiration"]) == ("5", "0")
    assert request.json() == {"aps": {"content-available": 1}}
    return Reply(400, {"reason": "BadDeviceToken"})


def _refusal(status: int, reason: str, means: type[errors.DeliveryError]) -> Refusal:
    return Refusal(Reply(status, {"reason": reason}), means, row=reason)


COUNTERPART = Counterpart(
    settings={
        "topic": "org.example.shop",
        "key_file": "AuthKey_KEY4711ABC.p8",
        "key_id": "KEY4711ABC",
        "team_id": "TEAM4711AB",
    },
    files=lambda _: {"AuthKey_KEY4711ABC.p8": PEM},
    secrets=PEM.splitlines()[1:-1],
    message=Push(
        TOKEN,
        "Grüße",
        CANARY,
        {"order": "42"},
        badge=3,
        sound="bell.caf",
        image="https://cdn.example.org/parcel.png",
        collapse_key="order-42",
        expires_in=3_600,
        urgent=True,
    ),
    accept=accept,
    probed=probed,
    server=Http2Server,
    tls=True,
    refused=REFUSED,
    receipt=KEY,
    refusals=[
        *(
            _refusal(400, reason, errors.Rejected)
            for reason in (
                "BadCollapseId", "BadExpirationDate", "BadMessageId", "BadPriority", "DuplicateHeaders",
                "InvalidPushType", "MissingDeviceToken", "PayloadEmpty",
            )
        ),
        *(
            _refusal(400, reason, errors.Misconfigured)
            for reason in ("BadDeviceToken", "BadTopic", "DeviceTokenNotForTopic", "MissingTopic", "TopicDisallowed")
        ),
        *(
            _refusal(403, reason, errors.Misconfigured)
            for reason in (
                "BadCertificate", "BadCertificateEnvironment", "BadEnvironmentKeyInToken", "ExpiredProviderToken",
                "Forbidden", "InvalidProviderToken", "MissingProviderToken", "UnrelatedKeyIdInToken",
            )
        ),
        _refusal(400, "IdleTimeout", errors.Temporary),
        _refusal(404, "BadPath", errors.Misconfigured),
        _refusal(405, "MethodNotAllowed", errors.Misconfigured),
        _refusal(410, "ExpiredToken", errors.Unreachable),
        Refusal(
            Reply(410, {"reason": "Unregistered", "timestamp": 1_454_948_015_990}), errors.Unreachable, "Unregistered"
        ),
        _refusal(413, "PayloadTooLarge", errors.Rejected),
        _refusal(429, "TooManyProviderTokenUpdates", errors.Misconfigured),
        _refusal(429, "TooManyRequests", errors.Throttled),
        _refusal(500, "InternalServerError", errors.Ambiguous),
        _refusal(503, "ServiceUnavailable", errors.Temporary),
        _refusal(503, "Shutdown", errors.Temporary),
        _refusal(400, "SomethingNew", errors.Unrecognised),
    ],
    too_many={"reason": "TooManyRequests"},
)  # fmt: skip
