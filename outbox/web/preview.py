"""What a notification says, as it would be rendered now: for operators, and in a frame that can do nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from outbox.channels import compose_for
from outbox.errors import ConfigError, OutboxError
from outbox.messages import Email
from outbox.render import Templates
from outbox.templates.configured import source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from outbox.config import Config
    from outbox.messages import Notification
    from outbox.queue.story import Story

FRAME_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
"""Of the HTML: nothing is run, and nothing is fetched, so that looking at it tells nobody that it was read."""
_HIDDEN = {"recipient", "html", "digests", "attachments", "links", "data", "headers", "expires_in", "registered_at"}


class Preview(NamedTuple):
    """What it says: texts by what they are; `same` tells whether that is what was sent, None where nobody knows.

    `html` is the HTML of an email. `problem` says why there is no more to show.
    """

    texts: Sequence[tuple[str, str]] = ()
    html: str | None = None
    payload: str = ""
    headers: str | None = None
    same: bool | None = None
    problem: str | None = None


def preview(notification: Notification, config: Config, story: Story | None = None) -> Preview:
    """Render a notification, with the templates that there are here."""
    payload = _pretty(notification.payload)
    headers = _pretty(notification.headers) if notification.headers else None
    try:
        message = compose_for(notification.channel, config)(notification, Templates(source(config)))
    except ConfigError as error:
        return Preview(payload=payload, headers=headers, problem="; ".join(error.problems))
    except OutboxError as error:
        return Preview(payload=payload, headers=headers, problem=str(error))
    except OSError as error:
        return Preview(payload=payload, headers=headers, problem=f"the templates cannot be read: {error.strerror}")
    html = message.html if isinstance(message, Email) else None
    return Preview(_texts(message), html, payload, headers, _is_same(message, story))


def _texts(message: Any) -> list[tuple[str, str]]:
    fields: Mapping[str, Any] = message._asdict() if hasattr(message, "_asdict") else {}
    return [(name, value) for name, value in fields.items() if name not in _HIDDEN and isinstance(value, str) and value]


def _is_same(message: Any, story: Story | None) -> bool | None:
    digests, last = getattr(message, "digests", None), story.last if story is not None else None
    if digests is None or last is None or last.content_digest is None:
        return None
    return bool(digests.content.hex() == last.content_digest)


def _pretty(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
