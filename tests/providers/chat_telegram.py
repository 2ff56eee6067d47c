"""Telegram's Bot API: https://core.telegram.org/bots/api#making-requests, as its own server answers.

The server's source is at https://github.com/tdlib/telegram-bot-api.
"""

from __future__ import annotations

from typing import Any

from outbox import errors
from outbox.messages import Chat
from tests.providers.counterpart import CANARY, Counterpart, Refusal
from tests.providers.server import Reply, Request

TOKEN = "123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11"
BAD_TOKEN = Reply(401, {"ok": False, "error_code": 401, "description": "Unauthorized"})


def accept(request: Request) -> Reply:
    if not request.path.startswith(f"/bot{TOKEN}/"):
        return BAD_TOKEN
    assert (request.method, request.path) == ("POST", f"/bot{TOKEN}/sendMessage")
    assert request.headers["content-type"] == "application/json"
    assert request.json() == {"chat_id": -1001234567890, "text": f"<b>Grüße</b> {CANARY}"}
    return Reply(200, {"ok": True, "result": {"message_id": 4711, "chat": {"id": -1001234567890}, "date": 1779020415}})


def probed(request: Request) -> Reply:
    if request.path != f"/bot{TOKEN}/getMe":
        return BAD_TOKEN
    assert request.method == "GET"
    return Reply(200, {"ok": True, "result": {"id": 123456, "is_bot": True, "first_name": "Shop"}})


def _refusal(
    status: int,
    description: str,
    means: type[errors.DeliveryError],
    row: str | int = "",
    *,
    seconds: float | None = None,
    **parameters: Any,
) -> Refusal:
    body: dict[str, Any] = {"ok": False, "error_code": status, "description": description}
    if parameters:
        body["parameters"] = parameters
    return Refusal(Reply(status, body), means, row=row, retry_after=seconds)


GONE = [
    (403, "Forbidden: bot was blocked by the user", "bot was blocked by the user"),
    (403, "Forbidden: user is deactivated", "user is deactivated"),
    (403, "Forbidden: bot was kicked from the group chat", "bot was kicked"),
    (403, "Forbidden: bot was kicked from the supergroup chat", "bot was kicked"),
    (403, "Forbidden: bot was kicked from the channel chat", "bot was kicked"),
    (403, "Forbidden: the group chat was deleted", "group chat was deleted"),
    (400, "Bad Request: group is deactivated", "group is deactivated"),
    (403, "Forbidden: bot can't send messages to bots", "send messages to bots"),
]
REFUSED = [
    (400, "Bad Request: chat not found", "chat not found"),
    (400, "Bad Request: private chat not found", "chat not found"),
    (403, "Forbidden: bot can't initiate conversation with a user", "can't initiate conversation"),
    (403, "Forbidden: bot is not a member of the channel chat", "bot is not a member"),
    (400, "Bad Request: have no rights to send a message", "have no rights to send"),
    (400, "Bad Request: not enough rights to send text messages to the chat", "not enough rights"),
    (400, "Bad Request: CHAT_WRITE_FORBIDDEN", "CHAT_WRITE_FORBIDDEN"),
    (400, "Bad Request: TOPIC_CLOSED", "TOPIC_CLOSED"),
    (400, "Bad Request: PEER_ID_INVALID", "PEER_ID_INVALID"),
    (400, "Bad Request: message is too long", "is too long"),
    (400, "Bad Request: text is too long", "is too long"),
    (400, "Bad Request: message text is empty", "text is empty"),
    (400, f'Bad Request: can\'t parse entities: Unsupported start tag "{CANARY}" at byte 0', "can't parse entities"),
    (400, "Bad Request: text must be encoded in UTF-8", "must be encoded in UTF-8"),
]
UPGRADED = "Bad Request: group chat was upgraded to a supergroup chat"

COUNTERPART = Counterpart(
    settings={"token": TOKEN},
    secrets=[TOKEN, TOKEN.partition(":")[2]],
    message=Chat("-1001234567890", f"<b>Grüße</b> {CANARY}"),
    accept=accept,
    probed=probed,
    refused=BAD_TOKEN,
    receipt="4711",
    refusals=[
        *(_refusal(status, words, errors.Unreachable, row) for status, words, row in GONE),
        *(_refusal(status, words, errors.Rejected, row) for status, words, row in REFUSED),
        _refusal(400, UPGRADED, errors.Unreachable, "upgraded to a supergroup", migrate_to_chat_id=-1001234567890),
        _refusal(401, "Unauthorized", errors.Misconfigured, 401),
        _refusal(401, "Unauthorized: invalid token specified", errors.Misconfigured, 401),
        _refusal(403, "Forbidden: something new", errors.Unrecognised, 403),
        _refusal(404, "Not Found", errors.Misconfigured, 404),
        _refusal(421, "Misdirected Request: unallowed token specified", errors.Misconfigured, 421),
        _refusal(429, "Too Many Requests: retry after 35", errors.Throttled, 429, seconds=35, retry_after=35),
        _refusal(500, "Internal Server Error: restart", errors.Ambiguous),
        _refusal(400, "Bad Request: something new at byte offset 404", errors.Unrecognised),
    ],
    too_many={"ok": False, "error_code": 429, "description": "Too Many Requests: retry after 90"},
)
