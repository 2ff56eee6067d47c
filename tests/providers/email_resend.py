"""Resend's API: https://resend.com/docs/api-reference/emails/send-email, and its errors beside it."""

from __future__ import annotations

from outbox import errors
from tests.providers.counterpart import CANARY, EMAIL, KEY, Counterpart, Refusal
from tests.providers.server import Reply, Request

API_KEY = "re_9Xk2mPq4_AvN7tWcY5bLs8dRf"
RECEIPT = "49a3999c-0ce1-4ea6-ab68-afcd6dc2e794"


def _refused(status: int, name: str, message: str = "what Resend says of it") -> Reply:
    return Reply(status, {"statusCode": status, "name": name, "message": message})


BAD_KEY = _refused(401, "validation_error", "API key is invalid")


def accept(request: Request) -> Reply:
    if request.headers.get("authorization") != f"Bearer {API_KEY}":
        return BAD_KEY
    assert (request.method, request.path) == ("POST", "/emails")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["idempotency-key"] == KEY
    assert request.headers["user-agent"], "a request without one is answered 403"
    assert request.json() == {
        "from": '"Ada\'s Shop" <shop@example.org>',
        "to": "grace@example.net",
        "subject": "Grüße",
        "text": CANARY,
        "html": f"<p>{CANARY}</p>",
        "reply_to": "help@example.org",
        "headers": {"X-Campaign": "spring"},
        "tags": [{"name": "outbox-id", "value": KEY}],
    }
    return Reply(200, {"id": RECEIPT})


def probed(request: Request) -> Reply:
    if request.headers.get("authorization") != f"Bearer {API_KEY}":
        return _refused(400, "validation_error", "API key is invalid")
    assert (request.method, request.path) == ("GET", "/domains")
    return Reply(200, {"object": "list", "has_more": False, "data": []})


def _refusal(status: int, name: str, means: type[errors.DeliveryError], message: str = "as it says") -> Refusal:
    return Refusal(_refused(status, name, message), means, row=name)


COUNTERPART = Counterpart(
    settings={"api_key": API_KEY, "sender": "Ada's Shop <shop@example.org>"},
    secrets=[API_KEY],
    message=EMAIL,
    accept=accept,
    probed=probed,
    refused=BAD_KEY,
    receipt=RECEIPT,
    refusals=[
        _refusal(500, "application_error", errors.Ambiguous),
        _refusal(409, "concurrent_idempotent_requests", errors.Ambiguous),
        _refusal(429, "daily_quota_exceeded", errors.Misconfigured),
        _refusal(500, "internal_server_error", errors.Ambiguous),
        _refusal(403, "invalid_api_key", errors.Misconfigured),
        _refusal(422, "invalid_attachment", errors.Rejected),
        _refusal(422, "invalid_from_address", errors.Misconfigured),
        _refusal(400, "invalid_idempotency_key", errors.Rejected),
        _refusal(409, "invalid_idempotent_request", errors.Ambiguous),
        _refusal(422, "invalid_parameter", errors.Rejected),
        _refusal(405, "method_not_allowed", errors.Misconfigured),
        _refusal(401, "missing_api_key", errors.Misconfigured),
        _refusal(422, "missing_required_field", errors.Rejected),
        _refusal(429, "monthly_quota_exceeded", errors.Misconfigured),
        _refusal(404, "not_found", errors.Misconfigured),
        _refusal(429, "rate_limit_exceeded", errors.Throttled),
        _refusal(401, "restricted_api_key", errors.Misconfigured),
        _refusal(451, "security_error", errors.Rejected),
        _refusal(400, "validation_error", errors.Rejected),
        _refusal(422, "validation_error", errors.Rejected),
        _refusal(400, "validation_error", errors.Misconfigured, "API key is invalid"),
        _refusal(401, "validation_error", errors.Misconfigured, "API key is invalid"),
        _refusal(403, "validation_error", errors.Misconfigured, "The example.org domain is not verified."),
        _refusal(422, "what_nobody_knows", errors.Unrecognised),
        Refusal(
            Reply(429, {"name": "rate_limit_exceeded"}, {"ratelimit-reset": "1", "retry-after": "1"}),
            errors.Throttled,
            retry_after=1,
        ),
    ],
    too_many={"statusCode": 429, "name": "rate_limit_exceeded", "message": "Too many requests."},
)
