"""SendGrid's API: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send."""

from __future__ import annotations

from outbox import errors
from tests.providers.counterpart import CANARY, EMAIL, KEY, Counterpart, Refusal
from tests.providers.server import Reply, Request

API_KEY = "SG.ngeVfQFYQlKU0ufo8x5d1A.TwL2iGABf9DHoTf"


def _refused(status: int, message: str, field: str | None = None) -> Reply:
    return Reply(status, {"errors": [{"message": message, "field": field, "help": None}]})


BAD_KEY = _refused(401, "The provided authorization grant is invalid, expired, or revoked")


def accept(request: Request) -> Reply:
    if request.headers.get("authorization") != f"Bearer {API_KEY}":
        return BAD_KEY
    assert (request.method, request.path) == ("POST", "/v3/mail/send")
    assert request.headers["content-type"] == "application/json"
    assert request.json() == {
        "personalizations": [{"to": [{"email": "grace@example.net"}]}],
        "from": {"email": "shop@example.org", "name": "Ada's Shop"},
        "reply_to": {"email": "help@example.org"},
        "subject": "Grüße",
        "content": [
            {"type": "text/plain", "value": CANARY},
            {"type": "text/html", "value": f"<p>{CANARY}</p>"},
        ],
        "headers": {"X-Campaign": "spring", "Message-ID": f"<{KEY}@example.org>"},
        "custom_args": {"outbox-id": KEY},
    }
    return Reply(202, headers={"X-Message-Id": "JQtrNr0IRR-slAi2eCUMSg"})


def probed(request: Request) -> Reply:
    if request.headers.get("authorization") != f"Bearer {API_KEY}":
        return BAD_KEY
    assert (request.method, request.path) == ("GET", "/v3/scopes")
    return Reply(200, {"scopes": ["mail.send", "sender_verification_eligible"]})


def _refusal(row: str | int, means: type[errors.DeliveryError], status: int, field: str | None = None) -> Refusal:
    return Refusal(_refused(status, "what SendGrid says of it", field), means, row=row)


COUNTERPART = Counterpart(
    settings={"api_key": API_KEY, "sender": "Ada's Shop <shop@example.org>"},
    secrets=[API_KEY],
    message=EMAIL,
    accept=accept,
    probed=probed,
    refused=BAD_KEY,
    receipt="JQtrNr0IRR-slAi2eCUMSg",
    refusals=[
        _refusal("from", errors.Misconfigured, 400, "from.email"),
        _refusal("from", errors.Misconfigured, 403, "from"),
        _refusal(400, errors.Rejected, 400),
        _refusal(400, errors.Rejected, 400, "personalizations.0.to.0.email"),
        Refusal(_refused(400, "what SendGrid says of it", "401"), errors.Rejected),
        _refusal(401, errors.Misconfigured, 401),
        _refusal(403, errors.Misconfigured, 403),
        _refusal(404, errors.Misconfigured, 404),
        _refusal(405, errors.Misconfigured, 405),
        _refusal(413, errors.Rejected, 413),
        _refusal(429, errors.Throttled, 429),
        Refusal(Reply(429, headers={"X-RateLimit-Reset": "4102444800"}), errors.Throttled, row=429),
        Refusal(_refused(406, "not acceptable"), errors.Unrecognised),
    ],
    too_many={"errors": [{"field": None, "message": "too many requests"}]},
)
