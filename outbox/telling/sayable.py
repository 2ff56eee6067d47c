"""Whether what somebody wants to be sent can be: by its template, or by the handler that is given it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from outbox import oneclick
from outbox.errors import InvalidNotification
from outbox.handlers.declare import first_mistake
from outbox.handlers.serve import handler_of
from outbox.render import Templates
from outbox.templates.configured import source

if TYPE_CHECKING:
    from collections.abc import Callable

    from outbox.config import Config
    from outbox.messages import Notification


def against_who_delivers_it(config: Config) -> Callable[[Notification], object]:
    """Return what tries a notification's payload on its channel's handler, or renders its template, if it has one.

    A template is given what an email's sees beside its payload. A handler that cannot be imported here is not asked.
    What is returned raises `Rejected` where the template cannot say it, and `InvalidNotification` where the payload is
    not of the handler's type.
    """

    def check(notification: Notification) -> None:
        if (handler := handler_of(config, notification.channel)) is not None:
            try:
                handler.read(notification.payload)
            except ValidationError as error:
                raise InvalidNotification(*first_mistake(error, quoting=True)) from None
        if notification.template is None:
            return
        beside = oneclick.sample(config, notification.topic) if notification.channel == "email" else None
        Templates(source(config)).parts(notification, beside)

    return check
