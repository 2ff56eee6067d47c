"""An incoming webhook of Slack: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks.

It answers with words, not JSON, and with the statuses of
https://api.slack.com/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks.
"""

from __future__ import annotations

from outbox import errors
from outbox.messages import Chat
from tests.providers.counterpart import CANARY, Counterpart, Refusal
from tests.providers.server import Reply, Request

PATH = "/services/T00000000/B00000000/XXXXsecretXXXX"
REFUSED = Reply(403, b"invalid_token")


def accept(request: Request) -> Reply:
    if request.target != PATH:
        return REFUSED
    assert request.method == "POST"
    assert request.headers["content-type"] == "application/json"
    assert request.json() == {"text": f"&lt;!channel&gt; Grüße &amp; {CANARY}", "mrkdwn": False}
    return Reply(200, b"ok")


def probed(request: Request) -> Reply:
    if request.target != PATH:
        return REFUSED
    assert (request.method, request.json()) == ("POST", {"text": ""})
    return Reply(400, b"no_text")


def _refusal(code: str, status: int, means: type[errors.DeliveryError]) -> Refusal:
    return Refusal(Reply(status, code.encode()), means, row=code)


COUNTERPART = Counterpart(
    settings={"url": f"https://hooks.slack.com{PATH}"},
    settings_at=lambda url: {"url": url + PATH},
    secrets=[PATH, "XXXXsecretXXXX"],
    message=Chat("#operations", f"<!channel> Grüße & {CANARY}"),
    accept=accept,
    probed=probed,
    refused=REFUSED,
    receipt=None,
    refusals=[
        _refusal("action_prohibited", 403, errors.Misconfigured),
        _refusal("channel_is_archived", 410, errors.Misconfigured),
        _refusal("channel_not_found", 404, errors.Misconfigured),
        _refusal("invalid_payload", 400, errors.Rejected),
        _refusal("invalid_token", 403, errors.Misconfigured),
        _refusal("no_active_hooks", 404, errors.Misconfigured),
        _refusal("no_service", 404, errors.Misconfigured),
        _refusal("no_service_id", 404, errors.Misconfigured),
        _refusal("no_team", 404, errors.Misconfigured),
        _refusal("no_text", 400, errors.Rejected),
        _refusal("posting_to_general_channel_denied", 403, errors.Misconfigured),
        _refusal("rollup_error", 500, errors.Ambiguous),
        _refusal("team_disabled", 403, errors.Misconfigured),
        _refusal("too_many_attachments", 400, errors.Rejected),
        _refusal("user_not_found", 400, errors.Misconfigured),
        Refusal(Reply(404, b"no_service\n"), errors.Misconfigured),
        Refusal(Reply(400, b"something_new"), errors.Unrecognised),
        Refusal(Reply(404, b"<html>"), errors.Misconfigured, row=404),
        Refusal(Reply(410, b""), errors.Misconfigured, row=410),
        Refusal(Reply(429, b"rate_limited", {"Retry-After": "30"}), errors.Throttled, retry_after=30),
    ],
    too_many=b"rate_limited",
)
