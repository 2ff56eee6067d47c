"""What tests of links to unsubscribe share: a configuration with a topic that offers them, and its tokens."""

from __future__ import annotations

import time
from datetime import date
from typing import Any

from pydantic import SecretStr

from outbox.config import ChannelConfig, Config, DatabaseConfig, TopicConfig, UnsubscribeConfig
from outbox.config.provider_section import ProviderSection
from outbox.messages import OptOut
from outbox.oneclick import Keys, Links, seal

SECRET = "a-secret-of-more-than-thirty-two-letters"
KEYS = Keys([SECRET])
ADA = "ada@example.org"


def configured(database: str | None = None, *, smtp: int | None = None, **given: Any) -> Config:
    """A configuration whose topic `news` offers to unsubscribe; with a provider at a port of this machine."""
    settings = {"url": "https://example.org/unsubscribe", "secret": SECRET, **given}
    server = {"host": "127.0.0.1", "port": smtp, "tls": "none", "sender": "Example <hello@example.org>"}
    return Config(
        database=DatabaseConfig(url=SecretStr(database) if database else None),
        channels={"email": ChannelConfig(providers=("smtp",))},
        providers={"smtp": ProviderSection(server if smtp else {})},
        topics={"news": TopicConfig(unsubscribe=True, title="Weekly <news> & more"), "receipts": TopicConfig()},
        unsubscribe=UnsubscribeConfig(**settings),
    )


def token(recipient: str = ADA, topic: str = "news") -> str:
    """A token of the configuration's, made now."""
    return Links(configured()).token_for("email", recipient, topic, time.time())


def expired_token() -> str:
    """A token that was good on the first day of this century."""
    return seal(OptOut("email", ADA, "news", date(2000, 1, 1)), KEYS)
