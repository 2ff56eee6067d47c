"""The dashboard: how things stand, one notification's story, and what a person may do about it.

`outbox web` serves it; `create_app` returns it as an ASGI application that you mount, and `app` is the same for a
server that is told of a factory. Needs the extra `web`.
"""

from outbox.web.asgi import Dashboard, app, create_app
from outbox.web.users import User

__all__ = ["Dashboard", "User", "app", "create_app"]
