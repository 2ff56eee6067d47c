"""Chat over Telegram's Bot API: the provider named `telegram`. https://core.telegram.org/bots/api#sendmessage."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, SecretStr, field_validator

from outbox.channels.http import Answer, Client, error
from outbox.channels.settings import HttpSettings
from outbox.errors import DeliveryError, Misconfigured, Rejected, Throttled, Unreachable, Unrecognised
from outbox.messages import Receipt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox.messages import Chat

__all__ = ["CODES", "STATUSES", "Provider", "Settings"]

# Telegram documents no list. These are the words of its own server, https://github.com/tdlib/telegram-bot-api, in
# telegram-bot-api/Client.cpp and ClientManager.cpp, and those that https://github.com/TelegramBotAPI/errors collects:
# each a part of the `description`.
CODES: Mapping[str, type[DeliveryError]] = {
    "bot was blocked by the user": Unreachable,  # until the person unblocks it
    "user is deactivated": Unreachable,  # the account was deleted
    "chat not found": Rejected,  # no such chat, or one that this bot was never in, such as another bot's
    "bot was kicked": Unreachable,  # from the group, supergroup or channel
    "group chat was deleted": Unreachable,  # as it says
    "group is deactivated": Unreachable,  # the same, in older words
    "upgraded to a supergroup": Unreachable,  # the chat has another id since, which is told
    "send messages to bots": Unreachable,  # the recipient is a bot
    "can't initiate conversation": Rejected,  # the person has not begun it, and may still
    "bot is not a member": Rejected,  # of the group or channel; it may be let in again
    "have no rights to send": Rejected,  # nor the right to write in it
    "not enough rights": Rejected,  # as above
    "CHAT_WRITE_FORBIDDEN": Rejected,  # as above
    "TOPIC_CLOSED": Rejected,  # nobody may write in this topic
    "PEER_ID_INVALID": Rejected,  # an id that the bot has not met
    "is too long": Rejected,  # more than 4096 characters
    "text is empty": Rejected,  # there is nothing to say
    "can't parse entities": Rejected,  # the text breaks the rules of its parse_mode
    "must be encoded in UTF-8": Rejected,  # as it says
}
STATUSES: Mapping[int, type[DeliveryError]] = {
    401: Misconfigured,  # the token is wrong, or was revoked
    403: Unrecognised,  # in words that are not here: it is about this chat, for our token would be a 401
    404: Misconfigured,  # there is no bot of this token, or `url` is wrong
    421: Misconfigured,  # this server takes no such token
    429: Throttled,  # too many messages: for this chat, or in all
}
_LONGEST = 4_096  # characters of a text
_TOKEN = re.compile(r"[0-9]{1,20}:[A-Za-z0-9_-]{1,100}")
_CHAT_ID = re.compile(r"-?[0-9]{1,18}")


class Settings(HttpSettings):
    """A bot, `[providers.telegram]`: `token` is what BotFather gave for it.

    - `parse_mode` is how texts are formatted; without it they are shown as they are.
    - `silent` messages make no sound.
    """

    url: str = "https://api.telegram.org"
    token: SecretStr = Field(description="the bot's token, such as 123456:ABC-DEF")
    parse_mode: Literal["HTML", "MarkdownV2"] | None = None
    silent: bool = False

    @field_validator("token")
    @classmethod
    def _is_a_token(cls, token: SecretStr) -> SecretStr:
        if not _TOKEN.fullmatch(token.get_secret_value()):
            raise ValueError("it must be a bot's token, such as 123456:ABC-DEF")
        return token


class Provider:
    """Sends as one bot. Telegram takes no idempotency key and no id of ours: what is in doubt stays so."""

    throttles_by_recipient = True
    """Its limits are those of a chat, too, and it does not say which one was meant."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.sender = f"telegram {settings.token.get_secret_value().partition(':')[0]}"
        """Whom a person blocks, and in whose chats it is: another bot of ours is another matter."""
        self._bot = f"/bot{settings.token.get_secret_value()}"
        self._client = Client(settings)

    async def send(self, message: Chat, key: str) -> Receipt:  # noqa: ARG002 - the Bot API takes no id of ours
        """Send one text to a chat: its id as a number, or the @name of a group or channel.

        Raises:
            DeliveryError: by the tables `CODES` and `STATUSES`, or as `outbox.channels.http` has it; `Rejected` if the
                text is too long.
        """
        answer = await self._client.post(f"{self._bot}/sendMessage", json=self._body(message))
        if not answer.is_accepted:
            raise _refusal(answer, self.sender)
        return Receipt(answer.text("result", "message_id") or None)

    async def probe(self) -> None:
        """Check the token, and send nothing.

        Raises:
            DeliveryError: it is refused, or Telegram cannot be reached.
        """
        answer = await self._client.get(f"{self._bot}/getMe")
        if not answer.is_accepted:
            raise _refusal(answer)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _body(self, message: Chat) -> dict[str, Any]:
        mode = self._settings.parse_mode
        if mode is None and len(message.text) > _LONGEST:  # with it, only what is left after parsing counts
            raise Rejected(f"it has {len(message.text)} characters, and Telegram takes {_LONGEST}")
        to = message.recipient
        body: dict[str, Any] = {"chat_id": int(to) if _CHAT_ID.fullmatch(to) else to, "text": message.text}
        if mode:
            body["parse_mode"] = mode
        if self._settings.silent:
            body["disable_notification"] = True
        return body


def _refusal(answer: Answer, sender: str = "") -> DeliveryError:
    description = answer.text("description")
    row = next((known for known in CODES if known in description), "")
    # What cannot be parsed is quoted, so a description is told only where it is none that is known.
    words = row or description
    if moved_to := answer.text("parameters", "migrate_to_chat_id"):
        words = f"{words}: the chat is now {moved_to}"
    means = error(answer, code=row, detail=words, codes=CODES, statuses=STATUSES)
    seconds = answer.find("parameters", "retry_after")
    if isinstance(means, Unreachable):
        return Unreachable(means.detail, code=means.code, sender=sender)
    if isinstance(means, Throttled) and isinstance(seconds, int):
        return Throttled(means.detail, code=means.code, retry_after=seconds)
    return means
