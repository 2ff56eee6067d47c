"""Amazon SNS: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html, in its query protocol, which answers XML."""

from __future__ import annotations

from xml.sax.saxutils import escape

from outbox import errors
from outbox.messages import Sms
from tests.providers import aws
from tests.providers.counterpart import CANARY, Counterpart, Refusal
from tests.providers.server import Reply, Request

ACCEPTED = "94f20ce6-13c5-43a0-9a9e-ca52d816e90b"
NAMESPACE = "http://sns.amazonaws.com/doc/2010-03-31/"


def refused(status: int, code: str, message: str) -> Reply:
    body = f"""<ErrorResponse xmlns="{NAMESPACE}">
  <Error>
    <Type>Sender</Type>
    <Code>{code}</Code>
    <Message>{escape(message)}</Message>
  </Error>
  <RequestId>4dd01905-5012-5f99-8663-4b3ecd0dfaef</RequestId>
</ErrorResponse>
"""
    return Reply(status, body.encode(), {"content-type": "text/xml"})


BAD_SECRET = refused(403, "SignatureDoesNotMatch", aws.MISMATCH)


def _done(action: str, result: str) -> Reply:
    body = f"""<{action}Response xmlns="{NAMESPACE}">
  <{action}Result>
    {result}
  </{action}Result>
  <ResponseMetadata>
    <RequestId>f187a3c1-376f-11df-8963-01868b7c937a</RequestId>
  </ResponseMetadata>
</{action}Response>
"""
    return Reply(200, body.encode(), {"content-type": "text/xml"})


def accept(request: Request) -> Reply:
    if not aws.is_signed(request, "sns"):
        return BAD_SECRET
    assert (request.method, request.target) == ("POST", "/")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded; charset=utf-8"
    assert "json" not in request.headers["accept"]
    assert request.form() == {
        "Action": "Publish",
        "Version": "2010-03-31",
        "PhoneNumber": "+447700900001",
        "Message": f"Grüße & mehr: {CANARY}",
        "MessageAttributes.entry.1.Name": "AWS.SNS.SMS.SenderID",
        "MessageAttributes.entry.1.Value.DataType": "String",
        "MessageAttributes.entry.1.Value.StringValue": "Shop",
        "MessageAttributes.entry.2.Name": "AWS.SNS.SMS.SMSType",
        "MessageAttributes.entry.2.Value.DataType": "String",
        "MessageAttributes.entry.2.Value.StringValue": "Transactional",
        "MessageAttributes.entry.3.Name": "AWS.SNS.SMS.MaxPrice",
        "MessageAttributes.entry.3.Value.DataType": "Number",
        "MessageAttributes.entry.3.Value.StringValue": "0.05",
    }
    return _done("Publish", f"<MessageId>{ACCEPTED}</MessageId>")


def probed(request: Request) -> Reply:
    if not aws.is_signed(request, "sns"):
        return BAD_SECRET
    assert (request.method, request.target) == ("POST", "/")
    assert request.form() == {"Action": "GetSMSAttributes", "Version": "2010-03-31"}
    entry = "<entry><key>DefaultSMSType</key><value>Promotional</value></entry>"
    return _done("GetSMSAttributes", f"<attributes>{entry}</attributes>")


def _refusal(
    code: str, means: type[errors.DeliveryError], message: str = "what SNS says of it", status: int = 400
) -> Refusal:
    return Refusal(refused(status, code, message), means, row=code)


COUNTERPART = Counterpart(
    settings={**aws.SETTINGS, "sender_id": "Shop", "sms_type": "Transactional", "max_price": 0.05},
    secrets=aws.SECRETS,
    message=Sms("+447700900001", f"Grüße & mehr: {CANARY}"),
    accept=accept,
    probed=probed,
    refused=BAD_SECRET,
    receipt=ACCEPTED,
    refusals=[
        *aws.shared_refusals(refused),
        _refusal("OptedOut", errors.Unreachable, "Phone number is opted out"),
        _refusal(
            "InvalidParameter",
            errors.Rejected,
            "Invalid parameter: PhoneNumber Reason: +447700900001 is not valid to publish to",
        ),
        _refusal("InvalidParameter", errors.Rejected, "Invalid parameter: Message too long"),
        _refusal("ParameterValueInvalid", errors.Rejected),
        _refusal("InvalidParameterValue", errors.Rejected),
        _refusal("AuthorizationError", errors.Misconfigured, status=403),
        _refusal("InvalidSecurity", errors.Misconfigured, status=403),
        _refusal("InvalidAction", errors.Misconfigured),
        _refusal("NotFound", errors.Misconfigured, status=404),
        _refusal("EndpointDisabled", errors.Misconfigured),
        _refusal("PlatformApplicationDisabled", errors.Misconfigured),
        _refusal("KMSDisabled", errors.Misconfigured),
        _refusal("KMSInvalidState", errors.Misconfigured),
        _refusal("KMSNotFound", errors.Misconfigured),
        _refusal("KMSOptInRequired", errors.Misconfigured, status=403),
        _refusal("KMSAccessDenied", errors.Misconfigured),
        _refusal("KMSThrottling", errors.Throttled),
        _refusal("Throttled", errors.Throttled, "Rate exceeded", 429),
        _refusal("ThrottledException", errors.Throttled, "Rate exceeded"),
        _refusal("InternalError", errors.Ambiguous, status=500),
    ],
)
