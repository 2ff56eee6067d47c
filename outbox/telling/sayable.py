"""Whether a template can say what somebody wants it to say, before it is enqueued."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox import oneclick
from outbox.render import Templates
from outbox.templates.configured import source

if TYPE_CHECKING:
    from collections.abc import Callable

    from outbox.config import Config
    from outbox.messages import Notification


def against_the_template(config: Config) -> Callable[[Notification], object]:
    """Return what renders a notification's template, if it has one, with what an email's sees beside its payload.

    What is returned raises `Rejected` where the template cannot say it.
    """

    def check(notification: Notification) -> None:
        if notification.template is None:
            return
        beside = oneclick.sample(config, notification.topic) if notification.channel == "email" else None
        Templates(source(config)).parts(notification, beside)

    return check
