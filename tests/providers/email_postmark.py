"""Postmark's API: https://postmarkapp.com/developer/api/email-api, and its error codes in the overview."""

from __future__ import annotations

from outbox import errors
from tests.providers.counterpart import CANARY, EMAIL, KEY, Counterpart, Refusal
from tests.providers.server import Reply, Request

TOKEN = "9f1d3c6e-2a7b-4e0d-8c55-postmarktoken"
BAD_TOKEN = Reply(401, {"ErrorCode": 10, "Message": "Request does not contain a valid Server token."})


def accept(request: Request) -> Reply:
    if request.headers.get("x-postmark-server-token") != TOKEN:
        return BAD_TOKEN
    assert (request.method, request.path) == ("POST", "/email")
    assert request.headers["accept"] == request.headers["content-type"] == "application/json"
    body = request.json()
    assert body.pop("Headers") == [
        {"Name": "X-Campaign", "Value": "spring"},
        {"Name": "Message-ID", "Value": f"<{KEY}@example.org>"},
        {"Name": "X-PM-KeepID", "Value": "true"},
    ]
    assert body == {
        "From": '"Ada\'s Shop" <shop@example.org>',
        "To": "grace@example.net",
        "Subject": "Grüße",
        "TextBody": CANARY,
        "HtmlBody": f"<p>{CANARY}</p>",
        "ReplyTo": "help@example.org",
        "Metadata": {"outbox-id": KEY},
        "MessageStream": "outbound",
    }
    return Reply(200, {"To": "grace@example.net", "MessageID": "b7bc2f4a", "ErrorCode": 0, "Message": "OK"})


def probed(request: Request) -> Reply:
    if request.headers.get("x-postmark-server-token") != TOKEN:
        return BAD_TOKEN
    assert (request.method, request.path) == ("GET", "/server")
    return Reply(200, {"ID": 1, "Name": "Staging"})


def _refusal(code: int, means: type[errors.DeliveryError], *, status: int = 422) -> Refusal:
    return Refusal(Reply(status, {"ErrorCode": code, "Message": "what Postmark says of it"}), means, row=str(code))


COUNTERPART = Counterpart(
    settings={"token": TOKEN, "sender": "Ada's Shop <shop@example.org>"},
    secrets=[TOKEN],
    message=EMAIL,
    accept=accept,
    probed=probed,
    refused=BAD_TOKEN,
    receipt="b7bc2f4a",
    refusals=[
        _refusal(10, errors.Misconfigured, status=401),
        _refusal(100, errors.Temporary, status=503),
        _refusal(300, errors.Rejected),
        _refusal(400, errors.Misconfigured),
        _refusal(401, errors.Misconfigured),
        _refusal(402, errors.Rejected),
        _refusal(403, errors.Rejected),
        _refusal(405, errors.Misconfigured),
        _refusal(406, errors.Unreachable),
        _refusal(409, errors.Rejected),
        _refusal(410, errors.Rejected),
        _refusal(411, errors.Rejected),
        _refusal(412, errors.Misconfigured),
        _refusal(413, errors.Misconfigured),
        _refusal(429, errors.Throttled),
        _refusal(1235, errors.Misconfigured),
        _refusal(9999, errors.Unrecognised),
        Refusal(Reply(406, b"<h1>oh</h1>"), errors.Unrecognised),
    ],
    too_many={"ErrorCode": 429, "Message": "Rate limit exceeded"},
)
