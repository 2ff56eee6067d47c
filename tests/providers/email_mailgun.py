"""Mailgun's API: https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages."""

from __future__ import annotations

from base64 import b64encode

from outbox import errors
from tests.providers.counterpart import CANARY, EMAIL, KEY, Counterpart, Refusal
from tests.providers.server import Reply, Request

API_KEY = "key-3ax6xnjp29jd6fds4gc373sgvjxteol0"
BASIC = b64encode(f"api:{API_KEY}".encode()).decode()
BAD_KEY = Reply(401, b"Forbidden")


def accept(request: Request) -> Reply:
    if request.headers.get("authorization") != f"Basic {BASIC}":
        return BAD_KEY
    assert (request.method, request.path) == ("POST", "/v3/mg.example.org/messages")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.form() == {
        "from": '"Ada\'s Shop" <shop@example.org>',
        "to": "grace@example.net",
        "subject": "Grüße",
        "text": CANARY,
        "html": f"<p>{CANARY}</p>",
        "h:Reply-To": "help@example.org",
        "h:X-Campaign": "spring",
        "h:Message-Id": f"<{KEY}@example.org>",
        "v:outbox-id": KEY,
    }
    return Reply(200, {"id": f"<{KEY}@example.org>", "message": "Queued. Thank you."})


def probed(request: Request) -> Reply:
    if request.headers.get("authorization") != f"Basic {BASIC}":
        return BAD_KEY
    assert (request.method, request.path) == ("POST", "/v3/mg.example.org/messages")
    assert request.form() == {"o:testmode": "yes"}
    return Reply(400, {"message": "from parameter is missing"})


def _refusal(status: int, means: type[errors.DeliveryError]) -> Refusal:
    return Refusal(Reply(status, {"message": "what Mailgun says of it"}), means, row=status)


COUNTERPART = Counterpart(
    settings={"api_key": API_KEY, "domain": "mg.example.org", "sender": "Ada's Shop <shop@example.org>"},
    secrets=[API_KEY, BASIC],
    message=EMAIL,
    accept=accept,
    probed=probed,
    refused=BAD_KEY,
    receipt=f"{KEY}@example.org",
    refusals=[
        _refusal(400, errors.Rejected),
        _refusal(401, errors.Misconfigured),
        _refusal(403, errors.Misconfigured),
        _refusal(404, errors.Temporary),
        _refusal(413, errors.Rejected),
        _refusal(429, errors.Throttled),
        Refusal(Reply(404, b"404 page not found"), errors.Misconfigured),
        Refusal(Reply(200, b"Mailgun Magnificent API"), errors.Misconfigured),
        Refusal(Reply(409, {"message": "what nobody knows"}), errors.Unrecognised),
    ],
    too_many={"message": "Too many requests"},
)
