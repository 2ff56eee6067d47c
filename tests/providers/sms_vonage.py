"""Vonage's SMS API, https://developer.vonage.com/en/api/sms, which answers 200 to what it refuses."""

from __future__ import annotations

from base64 import b64encode

from outbox import errors
from outbox.messages import Sms
from tests.providers.counterpart import CANARY, KEY, Counterpart, Refusal
from tests.providers.server import Reply, Request

SECRET = "8c1d-vonage-api-secret"
BASIC = "Basic " + b64encode(f"abcd1234:{SECRET}".encode()).decode()
UNAUTHORISED = Reply(401, {"error-code": "401", "error-code-label": "authentication failed"})


def accept(request: Request) -> Reply:
    """Every attempt is the same as long as the message has equally long to live."""
    if request.headers.get("authorization") != BASIC:
        return UNAUTHORISED
    assert (request.method, request.target) == ("POST", "/sms/json")
    assert request.headers["accept"] == "application/json"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.form() == {
        "from": "Acme",
        "to": "447700900001",
        "text": f"Grüße: {CANARY}",
        "type": "text",
        "client-ref": KEY,
        "ttl": "600500",
    }
    return answered("0")


def answered(*statuses: str) -> Reply:
    """Answer 200, with one message for each part."""
    parts = [
        {"to": "447700900001", "message-id": f"0C00{number}", "status": status, "client-ref": KEY}
        if status == "0"
        else {"status": status, "error-text": "what Vonage says of it"}
        for number, status in enumerate(statuses)
    ]
    return Reply(200, {"message-count": str(len(parts)), "messages": parts})


def probed(request: Request) -> Reply:
    if request.headers.get("authorization") != BASIC:
        return UNAUTHORISED
    assert (request.method, request.target) == ("GET", "/account/get-balance")
    return Reply(200, {"value": 10.17, "autoReload": False})


def _refusal(status: str, means: type[errors.DeliveryError]) -> Refusal:
    return Refusal(answered(status), means, row=status)


COUNTERPART = Counterpart(
    settings={"api_key": "abcd1234", "api_secret": SECRET, "sender": "Acme"},
    secrets=[SECRET, BASIC],
    message=Sms("+447700900001", f"Grüße: {CANARY}", expires_in=600.5),
    accept=accept,
    probed=probed,
    refused=UNAUTHORISED,
    receipt="0C000",
    refusals=[
        _refusal("1", errors.Throttled),
        _refusal("2", errors.Rejected),
        _refusal("3", errors.Rejected),
        _refusal("4", errors.Misconfigured),
        _refusal("5", errors.Temporary),
        _refusal("6", errors.Rejected),
        _refusal("7", errors.Unreachable),
        _refusal("8", errors.Misconfigured),
        _refusal("9", errors.Misconfigured),
        _refusal("10", errors.Throttled),
        _refusal("11", errors.Misconfigured),
        _refusal("12", errors.Rejected),
        _refusal("14", errors.Misconfigured),
        _refusal("15", errors.Rejected),
        _refusal("29", errors.Rejected),
        _refusal("32", errors.Misconfigured),
        _refusal("33", errors.Unreachable),
        _refusal("99", errors.Unrecognised),
        Refusal(answered("1", "1"), errors.Throttled),
    ],
)
