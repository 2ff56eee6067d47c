"""What a click on a link to unsubscribe does (RFC 8058): as functions in your transaction, and as an application.

`handle` and `ahandle` act, on any connection that `enqueue` takes; `read` only looks. `App` is an ASGI application that
you mount, and `app()` makes one from the configuration, for a server that is told of a factory.
"""

from outbox.errors import ExpiredToken, InvalidToken
from outbox.messages import OptOut
from outbox.oneclick import Keys, read
from outbox.unsubscribe.act import KeptBack, Unsubscribed, ahandle, aresubscribe, handle, masked, resubscribe
from outbox.unsubscribe.asgi import App, app
from outbox.unsubscribe.words import Words

__all__ = [
    "App",
    "ExpiredToken",
    "InvalidToken",
    "KeptBack",
    "Keys",
    "OptOut",
    "Unsubscribed",
    "Words",
    "ahandle",
    "app",
    "aresubscribe",
    "handle",
    "masked",
    "read",
    "resubscribe",
]
