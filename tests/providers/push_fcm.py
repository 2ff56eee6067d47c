"""Firebase Cloud Messaging: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send.

Access tokens come from https://developers.google.com/identity/protocols/oauth2/service-account, played by the same
server. Where a message expires, apns-expiration is a moment, so that attempts of different seconds differ in it.
"""

from __future__ import annotations

import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from outbox import errors
from outbox.messages import Push
from tests.providers.counterpart import CANARY, KEY, Counterpart, Refusal
from tests.providers.server import Reply, Request

TOKEN = "bk3RNwTe3H0:CI2k_HHwgIpoDKCIZvvDMExUdFQ3P1"
ACCESS_TOKEN = "ya29.access-token-of-the-test"
EMAIL = "sender@shop.iam.gserviceaccount.com"
ACCOUNT_KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
PEM = ACCOUNT_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
SENT = Reply(200, {"name": "projects/shop/messages/0:1500415314455276"})


def key_file(url: str) -> str:
    return json.dumps(
        {
            "type": "service_account",
            "project_id": "shop",
            "private_key_id": "9f1d3c6e",
            "private_key": PEM,
            "client_email": EMAIL,
            "token_uri": f"{url}/token",
        }
    )


def token(request: Request) -> Reply | None:
    """Answer a request for an access token, if it is one."""
    if request.path != "/token":
        return None
    assert request.method == "POST"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    form = request.form()
    assert form.pop("grant_type") == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assertion = form.pop("assertion")
    assert form == {}
    assert jwt.get_unverified_header(assertion) == {"alg": "RS256", "typ": "JWT", "kid": "9f1d3c6e"}
    own = f"http://{request.headers['host']}/token", f"https://{request.headers['host']}/token"
    claims = jwt.decode(assertion, ACCOUNT_KEY.public_key(), algorithms=["RS256"], audience=own)
    assert set(claims) == {"iss", "scope", "aud", "iat", "exp"}
    assert claims["iss"] == EMAIL
    assert claims["scope"] == "https://www.googleapis.com/auth/firebase.messaging"
    assert claims["exp"] - claims["iat"] == 3_600
    return Reply(200, {"access_token": ACCESS_TOKEN, "expires_in": 3_599, "token_type": "Bearer"})


def refusal(status: int, code: str, *details: dict[str, Any], error_code: str = "") -> Reply:
    fcm = {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": error_code}
    both = [*details, fcm] if error_code else list(details)
    words = {"code": status, "message": "what Firebase says of it", "status": code}
    return Reply(status, {"error": {**words, "details": both} if both else words})


def violation(field: str) -> dict[str, Any]:
    kind = "type.googleapis.com/google.rpc.BadRequest"
    return {"@type": kind, "fieldViolations": [{"field": field, "description": f"Invalid value: {CANARY}"}]}


UNAUTHENTICATED = refusal(401, "UNAUTHENTICATED")


def _authorised(request: Request) -> bool:
    return request.headers.get("authorization") == f"Bearer {ACCESS_TOKEN}"


def accept(request: Request) -> Reply:
    if not _authorised(request):
        return UNAUTHENTICATED
    assert (request.method, request.path) == ("POST", "/v1/projects/shop/messages:send")
    assert request.headers["content-type"] == "application/json"
    image = "https://cdn.example.org/parcel.png"
    assert request.json() == {
        "validate_only": False,
        "message": {
            "token": TOKEN,
            "notification": {"title": "Grüße", "body": CANARY},
            "data": {"order": "42", "outbox_id": KEY},
            "android": {
                "priority": "HIGH",
                "collapse_key": "order-42",
                "notification": {
                    "sound": "bell",
                    "image": image,
                    "notification_count": 3,
                    "tag": "order-42",
                },
            },
            "apns": {
                "headers": {"apns-push-type": "alert", "apns-priority": "10", "apns-collapse-id": "order-42"},
                "payload": {"aps": {"badge": 3, "sound": "bell", "mutable-content": 1}},
                "fcm_options": {"image": image},
            },
            "webpush": {
                "headers": {"Urgency": "high", "Topic": "O_ixV8Qjju_lrkpm7Kgca4h9Tc7bWN1n"},
                "notification": {"image": image, "tag": "order-42"},
            },
        },
    }
    return SENT


def probed(request: Request) -> Reply:
    if not _authorised(request):
        return UNAUTHENTICATED
    assert (request.method, request.path) == ("POST", "/v1/projects/shop/messages:send")
    assert request.json() == {"message": {"topic": "outbox-probe"}, "validate_only": True}
    return Reply(200, {"name": "projects/shop/messages/fake_message_id"})


COUNTERPART = Counterpart(
    settings={"credentials": "service-account.json"},
    files=lambda url: {"service-account.json": key_file(url)},
    secrets=[ACCESS_TOKEN, *PEM.splitlines()[1:-1]],
    message=Push(
        TOKEN,
        "Grüße",
        CANARY,
        {"order": "42"},
        badge=3,
        sound="bell",
        image="https://cdn.example.org/parcel.png",
        collapse_key="order-42",
        urgent=True,
    ),
    accept=accept,
    aside=token,
    probed=probed,
    refused=UNAUTHENTICATED,
    receipt="projects/shop/messages/0:1500415314455276",
    refusals=[
        Refusal(refusal(404, "NOT_FOUND", error_code="UNREGISTERED"), errors.Unreachable, "UNREGISTERED"),
        Refusal(
            refusal(400, "INVALID_ARGUMENT", violation("message.token"), error_code="INVALID_ARGUMENT"),
            errors.Unreachable,
            "INVALID_ARGUMENT",
        ),
        Refusal(refusal(400, "INVALID_ARGUMENT", violation("message.data[0].value")), errors.Rejected),
        Refusal(refusal(400, "INVALID_ARGUMENT", error_code="INVALID_ARGUMENT"), errors.Rejected),
        Refusal(refusal(400, "INVALID_ARGUMENT"), errors.Rejected),
        Refusal(
            refusal(403, "PERMISSION_DENIED", error_code="SENDER_ID_MISMATCH"),
            errors.Misconfigured,
            "SENDER_ID_MISMATCH",
        ),
        Refusal(
            refusal(429, "RESOURCE_EXHAUSTED", error_code="QUOTA_EXCEEDED"), errors.Throttled, "QUOTA_EXCEEDED", 60
        ),
        Refusal(refusal(429, "RESOURCE_EXHAUSTED"), errors.Throttled, "RESOURCE_EXHAUSTED", 60),
        Refusal(
            Reply(503, refusal(503, "UNAVAILABLE", error_code="UNAVAILABLE").body, {"Retry-After": "30"}),
            errors.Temporary,
            "UNAVAILABLE",
            30,
        ),
        Refusal(refusal(500, "INTERNAL", error_code="INTERNAL"), errors.Ambiguous, "INTERNAL"),
        Refusal(
            refusal(401, "UNAUTHENTICATED", error_code="THIRD_PARTY_AUTH_ERROR"),
            errors.Misconfigured,
            "THIRD_PARTY_AUTH_ERROR",
        ),
        Refusal(UNAUTHENTICATED, errors.Misconfigured, "UNAUTHENTICATED"),
        Refusal(refusal(403, "PERMISSION_DENIED"), errors.Misconfigured, "PERMISSION_DENIED"),
        Refusal(refusal(404, "NOT_FOUND"), errors.Misconfigured),
    ],
    too_many=refusal(429, "RESOURCE_EXHAUSTED", error_code="QUOTA_EXCEEDED").body,
)
