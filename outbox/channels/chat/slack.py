"""Chat over an incoming webhook of Slack: the provider named `slack`. https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import Field, SecretStr, field_validator

from outbox.channels.http import Answer, Client, error
from outbox.channels.settings import ConnectionSettings, check_url
from outbox.errors import Ambiguous, DeliveryError, Misconfigured, Rejected
from outbox.messages import Receipt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox.messages import Chat

__all__ = ["CODES", "STATUSES", "Provider", "Settings"]

# The page above, "Handling errors", and https://api.slack.com/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks
CODES: Mapping[str, type[DeliveryError]] = {
    "action_prohibited": Misconfigured,  # an administrator has restricted such messages
    "channel_is_archived": Misconfigured,  # the webhook's own channel takes no messages any more
    "channel_not_found": Misconfigured,  # the webhook's own channel does not exist
    "invalid_payload": Rejected,  # not the JSON that it expects
    "invalid_token": Misconfigured,  # the URL's token is wrong, or was revoked
    "no_active_hooks": Misconfigured,  # the webhook is disabled
    "no_service": Misconfigured,  # the webhook is disabled, removed or wrong
    "no_service_id": Misconfigured,  # the URL's second part is wrong
    "no_team": Misconfigured,  # the URL's first part is wrong
    "no_text": Rejected,  # there is nothing to say
    "posting_to_general_channel_denied": Misconfigured,  # whoever made the webhook may not post to #general
    "rollup_error": Ambiguous,  # something happened on its side
    "team_disabled": Misconfigured,  # the workspace is no more
    "too_many_attachments": Rejected,  # more than 100
    "user_not_found": Misconfigured,  # the webhook's own user does not exist
}
STATUSES: Mapping[int, type[DeliveryError]] = {
    404: Misconfigured,  # in other words than these, or in none: the URL leads nowhere
    410: Misconfigured,  # as above
}
_NOTHING_SAID = b"no_text"
_CODE = re.compile(rb"\s*([a-z_]{1,64})\s*")
_LONGEST = 40_000  # characters, after which Slack cuts: https://api.slack.com/changelog/2018-04-truncating-really-long-messages
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class Settings(ConnectionSettings):
    """An incoming webhook, `[providers.slack]`: its `url`, which is the secret, belongs to one channel in Slack.

    Texts are shown as they are, unless `markup` says that they are in Slack's own: then what is in them can mention
    everybody, links and names included.
    """

    url: SecretStr = Field(description="the webhook's URL, which begins with https://hooks.slack.com/")
    markup: bool = False

    @field_validator("url")
    @classmethod
    def _is_a_url(cls, url: SecretStr) -> SecretStr:
        try:
            check_url(url.get_secret_value())
        except ValueError:
            raise ValueError("it must be the webhook's URL, which begins with https://hooks.slack.com/") from None
        return url


class Provider:
    """Posts to the one channel of its webhook: a message's recipient is for the records only."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.url.get_secret_value()
        self._markup = settings.markup
        self._client = Client(settings)

    async def send(self, message: Chat, key: str) -> Receipt:  # noqa: ARG002 - a webhook takes no id of ours
        """Post one message. Slack gives it no id that a webhook is told.

        Raises:
            DeliveryError: by the tables `CODES` and `STATUSES`, or as `outbox.channels.http` has it; `Rejected` if it
                is so long that Slack would cut it.
        """
        answer = await self._client.post(self._url, json=self._body(message.text))
        if not answer.is_accepted:
            raise _refusal(answer)
        return Receipt()

    async def probe(self) -> None:
        """Check the URL, and post nothing: a message without a text is refused for that, if the webhook is in order.

        Raises:
            DeliveryError: the URL is refused, or Slack cannot be reached.
        """
        answer = await self._client.post(self._url, json={"text": ""})
        if answer.body.strip() != _NOTHING_SAID:
            raise _refusal(answer)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _body(self, text: str) -> dict[str, Any]:
        # https://docs.slack.dev/messaging/formatting-message-text#escaping
        shown = text if self._markup else text.translate(_ESCAPES)
        if len(shown) > _LONGEST:
            raise Rejected(f"it has {len(shown)} characters, and Slack cuts after {_LONGEST}")
        return {"text": shown, "mrkdwn": self._markup}


def _refusal(answer: Answer) -> DeliveryError:
    code = _CODE.fullmatch(answer.body)
    return error(answer, code=code[1].decode() if code else "", codes=CODES, statuses=STATUSES)
