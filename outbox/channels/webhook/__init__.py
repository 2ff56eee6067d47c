"""The webhook channel: what a notification becomes before a provider posts it to somebody's endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from outbox.errors import Rejected
from outbox.messages import Webhook

if TYPE_CHECKING:
    from outbox.messages import Notification
    from outbox.render import Templates


def compose(notification: Notification, _templates: Templates) -> Webhook:
    """Return the event that a notification asks for: its payload's `event` and `data`.

    Without an `event`, it is the notification's topic, or else its template's name; no template is rendered. Without
    `data`, it is the whole payload, but for `event`.

    Raises:
        Rejected: there is no name for the event, or either is of the wrong kind; says which.
    """
    payload = notification.payload
    event = payload.get("event", notification.topic or notification.template)
    if not event:
        raise Rejected("payload: an event is missing, and there is no topic and no template to take for it")
    if not isinstance(event, str):
        raise Rejected(f"payload: event must be text, not {type(event).__name__}")
    data = payload.get("data", {name: value for name, value in payload.items() if name != "event"})
    if not isinstance(data, Mapping):
        raise Rejected(f"payload: data must be an object, not {type(data).__name__}")
    return Webhook(notification.recipient, event, data, notification.created_at)
