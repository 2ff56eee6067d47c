"""A receiver of Standard Webhooks that checks signatures with the specification's own library.

Of two attempts, the timestamp and the signatures differ, as the specification has it; the body and the id do not.
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.
"""

from __future__ import annotations

import time
from base64 import b64decode
from datetime import datetime, timedelta, timezone
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from outbox import errors
from outbox.messages import Webhook
from tests.providers.counterpart import CANARY, KEY, Counterpart, Refusal
from tests.providers.server import Reply, Request

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
IN_THE_URL = "a-token-in-the-path"
CREATED_AT = datetime(2026, 5, 17, 14, 30, 15, 250_000, tzinfo=timezone(timedelta(hours=2)))


def accept(request: Request) -> Reply:
    try:
        event = Verifier(SECRET).verify(request.body, request.headers)
    except WebhookVerificationError:
        return Reply(401, b"no such signature")
    assert (request.method, request.target) == ("POST", f"/hooks/{IN_THE_URL}?tenant=7")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"] == "outbox"
    assert request.headers["webhook-id"] == KEY
    assert abs(int(request.headers["webhook-timestamp"]) - time.time()) < 60
    symmetric, asymmetric = request.headers["webhook-signature"].split(" ")
    assert symmetric.startswith("v1,")
    content = f"{KEY}.{request.headers['webhook-timestamp']}.".encode() + request.body
    public = Ed25519PublicKey.from_public_bytes(b64decode(PUBLIC.removeprefix("whpk_")))
    public.verify(b64decode(asymmetric.removeprefix("v1a,")), content)
    assert event == {
        "type": "order.paid",
        "timestamp": "2026-05-17T12:30:15.250000Z",
        "data": {"note": CANARY, "name": "Grüße", "lines": [1, 2.5, None, True]},
    }
    assert request.body.startswith(b'{"type":"order.paid","timestamp":'), "without a space too many"
    return Reply(204)


def settings_at(url: str) -> dict[str, object]:
    return {"allow": ["127.0.0.1"], "ports": [urlsplit(url).port], "http": ["127.0.0.1"]}


def message_at(url: str) -> Webhook:
    data = {"note": CANARY, "name": "Grüße", "lines": [1, 2.5, None, True]}
    return Webhook(f"{url}/hooks/{IN_THE_URL}?tenant=7", "order.paid", data, CREATED_AT)


COUNTERPART = Counterpart(
    settings={"secrets": [SECRET, PRIVATE]},
    settings_at=settings_at,
    probe_at=lambda url: {"probe_urls": [f"{url}/the-capability"]},
    secrets=[SECRET, SECRET.removeprefix("whsec_"), PRIVATE, PRIVATE.removeprefix("whsk_"), IN_THE_URL],
    message=message_at,
    accept=accept,
    refused=Reply(401, b"no such signature"),
    receipt=None,
    refusals=[
        Refusal(Reply(301, b"", {"location": "https://example.org/"}), errors.Rejected, row=301),
        Refusal(Reply(308, b"", {"location": "https://example.org/"}), errors.Rejected, row=308),
        Refusal(Reply(410, b"gone"), errors.Unreachable, row=410),
        Refusal(Reply(429, b"", {"retry-after": "17"}), errors.Throttled, row=429, retry_after=17),
        Refusal(Reply(502), errors.Throttled, row=502),
        Refusal(Reply(504), errors.Throttled, row=504),
        Refusal(Reply(503, b"", {"retry-after": "17"}), errors.Temporary, retry_after=17),
        *(Refusal(Reply(status), errors.Temporary) for status in (302, 303, 307, 400, 401, 403, 404, 405, 408, 409)),
        *(Refusal(Reply(status), errors.Temporary) for status in (413, 415, 418, 422, 425, 451, 500, 501, 503, 599)),
    ],
    statuses={
        **dict.fromkeys((302, 401, 418, 500), errors.Temporary),
        **dict.fromkeys((502, 504), errors.Throttled),
    },
)
