"""`outbox unsubscribe` as people see it."""

from __future__ import annotations

import secrets
import sys
import time
from typing import TYPE_CHECKING

from outbox.addresses import check_email
from outbox.errors import ConfigError, ExpiredToken
from outbox.oneclick import Keys, Links, read
from outbox.spelling import nearest
from outbox.terminal.output import print_facts, print_json
from outbox.terminal.setup import FAILED, complain

if TYPE_CHECKING:
    from outbox.config import Config

_BYTES = 32


def secret() -> int:
    """Print a secret of 256 bits."""
    sys.stdout.write(f"{secrets.token_urlsafe(_BYTES)}\n")
    return 0


def link(config: Config, recipient: str, topic: str) -> int:
    """Print the link of one person and topic, good from now on.

    Raises:
        ConfigError: the topic offers none, or that is no address.
    """
    try:
        check_email(recipient)
    except ValueError as error:
        raise ConfigError([f"--recipient: {error}"]) from None
    links = Links(config)
    if topic not in config.unsubscribable:
        offered = list(config.unsubscribable)
        hint = nearest(topic, offered) if offered else "none does yet: write unsubscribe = true for one"
        raise ConfigError([f"--topic: {topic} offers no link; {hint}"])
    url = links.url(links.token_for("email", recipient, topic, time.time()))
    sys.stdout.write(f"{url}\n")  # in one line, however narrow the terminal is
    return 0


def show(config: Config, link: str, *, as_json: bool) -> int:
    """Print what a link, or its token, says; 1 if it has run out.

    Raises:
        InvalidToken: it is none of ours.
    """
    token = link.strip().rpartition("/")[2]
    try:
        opt_out, expired = read(token, Keys.of(config)), False
    except ExpiredToken as error:
        opt_out, expired = error.opt_out, True
    last_day = opt_out.last_day.isoformat()
    facts = {"channel": opt_out.channel, "recipient": opt_out.recipient, "topic": opt_out.topic}
    if as_json:
        print_json({**facts, "last_day": last_day, "expired": expired})
    else:
        print_facts([*facts.items(), ("good until", last_day)])
        if expired:
            complain("it has run out")
    return FAILED if expired else 0
