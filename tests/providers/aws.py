"""Amazon's side of a signature: computed again from what arrived. And the refusals that all its services share."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from outbox import errors
from tests.providers.counterpart import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.providers.server import Reply, Request

REGION = "eu-west-1"
SECRETS = SECRET, TOKEN = "wJalrXUtnFEMI-K7MDENG-secret", "IQoJb3JpZ2luX2VjE-token"
CREDENTIALS = ReadOnlyCredentials("AKIDEXAMPLE", SECRET, TOKEN)
SETTINGS = {"region": REGION, "access_key_id": "AKIDEXAMPLE", "secret_access_key": SECRET, "session_token": TOKEN}
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details.\n\nThe Canonical String for this request "
    f"should have been\n'POST\n/\n\nhost:127.0.0.1\nx-amz-security-token:{TOKEN}\n'"
)
EXPIRED = "Signature expired: 20261129T010000Z is now earlier than 20261129T020000Z (20261129T021500Z - 15 min.)"

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<date>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request, "
    r"SignedHeaders=(?P<headers>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]{64})"
)


def is_signed(request: Request, service: str, by: ReadOnlyCredentials = CREDENTIALS) -> bool:
    """Tell whether a request is signed for the service, with these credentials, over all that must be signed.

    Its date, and so its signature, differ from attempt to attempt; the body does not.
    """
    found = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    assert found is not None
    moment = request.headers["x-amz-date"]
    sent = datetime.strptime(moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - sent) < timedelta(minutes=5)
    assert (found["region"], found["service"], found["date"]) == (REGION, service, moment[:8])
    signed = found["headers"].split(";")
    must = {"host", "x-amz-date"} | ({"content-type"} if request.body else set())
    assert must | ({"x-amz-security-token"} if by.token else set()) <= set(signed)
    if (found["key"], request.headers.get("x-amz-security-token")) != (by.access_key, by.token):
        return False
    again = AWSRequest(
        request.method,
        f"http://{request.headers['host']}{request.target}",
        data=request.body,
        headers={name: request.headers[name] for name in signed},
    )
    again.context["timestamp"] = moment
    auth = SigV4Auth(by, service, REGION)
    return auth.signature(auth.string_to_sign(again, auth.canonical_request(again)), again) == found["signature"]


def shared_refusals(reply: Callable[[int, str, str], Reply]) -> list[Refusal]:
    """Return a refusal for every row of what all services share; `reply` says it as the service does."""
    said = "what Amazon says of it"
    rows: list[tuple[int, str, type[errors.DeliveryError], str]] = [
        (403, "AccessDeniedException", errors.Misconfigured, said),
        (403, "AccessDenied", errors.Misconfigured, said),
        (401, "NotAuthorized", errors.Misconfigured, said),
        (403, "OptInRequired", errors.Misconfigured, said),
        (403, "InvalidClientTokenId", errors.Misconfigured, said),
        (403, "UnrecognizedClientException", errors.Misconfigured, said),
        (403, "SignatureDoesNotMatch", errors.Misconfigured, MISMATCH),
        (403, "InvalidSignatureException", errors.Misconfigured, EXPIRED),
        (400, "IncompleteSignature", errors.Misconfigured, said),
        (403, "MissingAuthenticationToken", errors.Misconfigured, said),
        (403, "MissingAuthenticationTokenException", errors.Misconfigured, said),
        (403, "ExpiredToken", errors.Misconfigured, said),
        (403, "ExpiredTokenException", errors.Misconfigured, said),
        (400, "RequestExpired", errors.Misconfigured, said),
        (404, "UnknownOperationException", errors.Misconfigured, said),
        (400, "ValidationError", errors.Rejected, said),
        (400, "ValidationException", errors.Rejected, said),
        (400, "Throttling", errors.Throttled, "Rate exceeded"),
        (400, "ThrottlingException", errors.Throttled, "Rate exceeded"),
        (500, "InternalFailure", errors.Ambiguous, said),
        (503, "ServiceUnavailable", errors.Temporary, said),
        (400, "SomethingNew", errors.Unrecognised, said),
    ]
    return [Refusal(reply(status, code, message), means, row=code) for status, code, means, message in rows]
