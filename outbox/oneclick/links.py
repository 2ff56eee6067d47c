"""links: which emails bring a link to unsubscribe, where it leads, and the two headers that say so."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from outbox.errors import ConfigError
from outbox.messages import OptOut
from outbox.oneclick.token import Keys, last_day, seal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.config import Config
    from outbox.messages import Notification

POST = "List-Unsubscribe=One-Click"
"""The value of List-Unsubscribe-Post, and the body of the request that it asks for. RFC 8058 section 3.1."""
VARIABLE = "unsubscribe_url"
"""What templates know the link by."""
_LONGEST_TOPIC = 200  # bytes; with the longest URL and recipient it is what a line of a header has room for


class Links:
    """The links of a configuration.

    Raises:
        ConfigError: it lacks what they are made of; with every mistake.
    """

    def __init__(self, config: Config) -> None:
        if found := list(problems(config)):
            raise ConfigError(found)
        self._keys = Keys.of(config)
        self._url = config.unsubscribe.url
        self._mailto = quote(config.unsubscribe.mailto or "", safe="@+")
        self._lifetime = config.unsubscribe.lifetime
        self._topics = frozenset(config.unsubscribable)

    @classmethod
    def of(cls, config: Config) -> Links | None:
        """Return those of a configuration, or None where no topic offers them; raises as `Links`."""
        return cls(config) if config.unsubscribable else None

    def token(self, notification: Notification) -> str | None:
        """Return the token for whoever gets a notification, the same at every attempt; None if its topic has none."""
        topic = notification.topic
        if topic is None or topic not in self._topics:
            return None
        made = (notification.id.int >> 80) / 1_000  # a UUIDv7 begins with the milliseconds since 1970
        return self.token_for(notification.channel, notification.recipient, topic, made)

    def token_for(self, channel: str, recipient: str, topic: str, made: float) -> str:
        """Return the token for one person and topic, for what was `made` then, in seconds since 1970."""
        return seal(OptOut(channel, recipient, topic, last_day(self._lifetime, made, time.time())), self._keys)

    def url(self, token: str) -> str:
        """Return where a token leads."""
        return f"{self._url}/{token}"

    def headers(self, token: str) -> dict[str, str]:
        """Return the header fields of an email with a token."""
        wanted = f"<{self._url}/{token}>"
        if self._mailto:
            wanted += f", <mailto:{self._mailto}?subject=unsubscribe%20{token}>"
        return {"List-Unsubscribe": wanted, "List-Unsubscribe-Post": POST}


def problems(config: Config) -> Iterator[str]:
    """Yield what the topics that offer to unsubscribe lack, one sentence each."""
    if not config.unsubscribable:
        return
    place, those = config.source or "configuration", ", ".join(config.unsubscribable)
    if config.unsubscribe.url is None:
        yield (
            f"{place}: unsubscribe.url is missing, and {those} cannot do without: "
            "write where the links lead, such as https://example.org/unsubscribe"
        )
    if not config.unsubscribe.secret:
        yield (
            f"{place}: unsubscribe.secret is missing, and {those} cannot do without: "
            "`outbox unsubscribe secret` makes one, for OUTBOX_UNSUBSCRIBE_SECRET"
        )
    for topic in config.unsubscribable:
        if (size := len(topic.encode())) > _LONGEST_TOPIC:
            yield f"{place}: topics.{topic}: it has {size} bytes; a link to unsubscribe takes {_LONGEST_TOPIC} at most"


def sample(config: Config, topic: str | None) -> dict[str, str]:
    """Return the variables that a template sees beside its payload, made up, to try it with.

    Nothing, if it says which topic it is for and that one offers no link.
    """
    offered = config.unsubscribable if topic is None else (topic,) if topic in config.unsubscribable else ()
    url = config.unsubscribe.url or "https://example.org/unsubscribe"
    return {VARIABLE: f"{url}/sample"} if offered else {}
