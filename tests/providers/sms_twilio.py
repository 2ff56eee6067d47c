"""Twilio's Messages resource, https://www.twilio.com/docs/messaging/api/message-resource, and its error dictionary."""

from __future__ import annotations

from base64 import b64encode

from outbox import errors
from outbox.messages import Sms
from tests.providers.counterpart import CANARY, KEY, Counterpart, Refusal
from tests.providers.server import Reply, Request

ACCOUNT = "AC" + "0123456789abcdef" * 2
TOKEN = "5f0e9c1d-twilio-auth-token"
BASIC = "Basic " + b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
MESSAGES = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"


def _error(code: int, status: int = 400) -> Reply:
    more = f"https://www.twilio.com/docs/errors/{code}"
    return Reply(status, {"code": code, "message": "what Twilio says of it", "more_info": more, "status": status})


BAD_TOKEN = _error(20003, 401)


def accept(request: Request) -> Reply:
    """Every attempt is the same as long as the message has equally long to live."""
    if request.headers.get("authorization") != BASIC:
        return BAD_TOKEN
    assert (request.method, request.path, request.query) == ("POST", MESSAGES, {})
    assert request.headers["accept"] == "application/json"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.form() == {
        "To": "+447700900001",
        "From": "+14155550100",
        "Body": f"Grüße: {CANARY}",
        "StatusCallback": f"https://example.org/sms?tenant=7&outbox-id={KEY}#rc=5",
        "ValidityPeriod": "600",
    }
    return Reply(201, {"sid": "SM00112233445566778899aabbccddeeff", "status": "queued", "error_code": None})


def probed(request: Request) -> Reply:
    if request.headers.get("authorization") != BASIC:
        return BAD_TOKEN
    assert (request.method, request.path) == ("GET", MESSAGES)
    assert request.query == {"DateSent": "2000-01-01", "PageSize": "1"}
    return Reply(200, {"messages": []})


def _refusal(code: int, means: type[errors.DeliveryError], *, status: int = 400) -> Refusal:
    return Refusal(_error(code, status), means, row=str(code))


COUNTERPART = Counterpart(
    settings={
        "account_sid": ACCOUNT,
        "auth_token": TOKEN,
        "sender": "+14155550100",
        "callback_url": "https://example.org/sms?tenant=7#rc=5",
    },
    secrets=[TOKEN, BASIC],
    message=Sms("+447700900001", f"Grüße: {CANARY}", expires_in=600.9),
    accept=accept,
    probed=probed,
    refused=BAD_TOKEN,
    receipt="SM00112233445566778899aabbccddeeff",
    refusals=[
        _refusal(10001, errors.Misconfigured, status=401),
        _refusal(20003, errors.Misconfigured, status=401),
        _refusal(20005, errors.Misconfigured, status=403),
        _refusal(20008, errors.Misconfigured, status=403),
        _refusal(20404, errors.Misconfigured, status=404),
        _refusal(20429, errors.Throttled, status=429),
        _refusal(21211, errors.Unreachable),
        _refusal(21212, errors.Misconfigured),
        _refusal(21266, errors.Rejected),
        _refusal(21408, errors.Rejected, status=403),
        _refusal(21601, errors.Misconfigured),
        _refusal(21602, errors.Rejected),
        _refusal(21603, errors.Misconfigured),
        _refusal(21606, errors.Rejected),
        _refusal(21607, errors.Misconfigured),
        _refusal(21608, errors.Rejected),
        _refusal(21609, errors.Misconfigured),
        _refusal(21610, errors.Unreachable),
        _refusal(21611, errors.Throttled, status=429),
        _refusal(21612, errors.Rejected),
        _refusal(21614, errors.Unreachable),
        _refusal(21617, errors.Rejected),
        _refusal(21619, errors.Rejected),
        _refusal(21635, errors.Unreachable),
        _refusal(21658, errors.Rejected),
        _refusal(21659, errors.Misconfigured),
        _refusal(21660, errors.Misconfigured),
        _refusal(21701, errors.Misconfigured),
        _refusal(21703, errors.Rejected),
        _refusal(21704, errors.Misconfigured),
        _refusal(21705, errors.Misconfigured),
        _refusal(21730, errors.Temporary, status=503),
        _refusal(63038, errors.Misconfigured, status=429),
        _refusal(70051, errors.Misconfigured, status=401),
        _refusal(90010, errors.Misconfigured),
        _refusal(99999, errors.Unrecognised),
    ],
    too_many={"code": 20429, "message": "Too Many Requests", "status": 429},
)
