"""Amazon SES: https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html."""

from __future__ import annotations

import email
import email.policy
from base64 import b64decode

from outbox import errors
from tests.providers import aws
from tests.providers.counterpart import CANARY, EMAIL, KEY, Counterpart, Refusal
from tests.providers.server import Reply, Request

UNVERIFIED = "Email address is not verified. The following identities failed the check in region EU-WEST-1:"
ACCEPTED = "0102018f5d3c-7c1e-4d5b-000000"


def refused(status: int, code: str, message: str) -> Reply:
    return Reply(status, {"message": message}, {"x-amzn-errortype": f"{code}:http://internal.amazon.com/coral/"})


BAD_SECRET = refused(403, "SignatureDoesNotMatch", aws.MISMATCH)


def accept(request: Request) -> Reply:
    if not aws.is_signed(request, "ses"):
        return BAD_SECRET
    assert (request.method, request.target) == ("POST", "/v2/email/outbound-emails")
    assert request.headers["content-type"] == "application/json"
    body = request.json()
    check(b64decode(body.pop("Content").pop("Raw").pop("Data"), validate=True))
    assert body == {
        "Destination": {"ToAddresses": ["grace@example.net"]},
        "EmailTags": [{"Name": "outbox-id", "Value": KEY}],
        "ConfigurationSetName": "shop",
    }
    return Reply(200, {"MessageId": ACCEPTED})


def check(mime: bytes) -> None:
    """SES wants MIME of 7 bits, with lines of at most 1,000 characters, and writes a Message-ID and Date of its own."""
    assert mime.isascii()
    assert max(map(len, mime.split(b"\r\n"))) <= 1_000
    message = email.message_from_bytes(mime, policy=email.policy.default)
    assert not message.defects
    assert (message["from"], message["to"]) == ("Ada's Shop <shop@example.org>", "grace@example.net")
    assert (message["subject"], message["reply-to"]) == ("Grüße", "help@example.org")
    assert (message["x-campaign"], message["message-id"]) == ("spring", f"<{KEY}@example.org>")
    assert [(part.get_content_type(), part.get_content().strip()) for part in message.iter_parts()] == [
        ("text/plain", CANARY),
        ("text/html", f"<p>{CANARY}</p>"),
    ]


def probed(request: Request) -> Reply:
    if not aws.is_signed(request, "ses"):
        return BAD_SECRET
    assert (request.method, request.target, request.body) == ("GET", "/v2/email/account", b"")
    return Reply(200, {"SendingEnabled": True, "ProductionAccessEnabled": True, "EnforcementStatus": "HEALTHY"})


def _refusal(
    code: str, means: type[errors.DeliveryError], message: str = "what SES says of it", status: int = 400
) -> Refusal:
    return Refusal(refused(status, code, message), means, row=code)


COUNTERPART = Counterpart(
    settings={**aws.SETTINGS, "sender": "Ada's Shop <shop@example.org>", "configuration_set": "shop"},
    secrets=aws.SECRETS,
    message=EMAIL,
    accept=accept,
    probed=probed,
    refused=BAD_SECRET,
    receipt=ACCEPTED,
    refusals=[
        *aws.shared_refusals(refused),
        _refusal("TooManyRequestsException", errors.Throttled, "Maximum sending rate exceeded.", 429),
        _refusal("TooManyRequestsException", errors.Misconfigured, "Daily message quota exceeded.", 429),
        _refusal("ThrottlingException", errors.Misconfigured, "Daily message quota exceeded."),
        _refusal("LimitExceededException", errors.Misconfigured),
        _refusal("AccountSuspendedException", errors.Misconfigured),
        _refusal("SendingPausedException", errors.Misconfigured),
        _refusal("MailFromDomainNotVerifiedException", errors.Misconfigured),
        _refusal("NotFoundException", errors.Misconfigured, status=404),
        _refusal("MessageRejected", errors.Rejected),
        _refusal("MessageRejected", errors.Misconfigured, f"{UNVERIFIED} shop@example.org"),
        _refusal("MessageRejected", errors.Misconfigured, f"{UNVERIFIED} shop@example.org, grace@example.net"),
        _refusal("MessageRejected", errors.Rejected, f"{UNVERIFIED} grace@example.net"),
        _refusal("BadRequestException", errors.Rejected),
        Refusal(
            Reply(400, {"__type": "com.amazonaws.sesv2#BadRequestException", "Message": "Illegal address"}),
            errors.Rejected,
        ),
        Refusal(Reply(403, {"message": "Forbidden"}), errors.Misconfigured),
    ],
    too_many={"message": "Maximum sending rate exceeded."},
)
