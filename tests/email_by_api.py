"""What the tests of email over web APIs share: one message sent, and what the API was asked."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from outbox.channels import load_provider
from tests.providers.counterpart import KEY
from tests.providers.server import HttpServer, Reply

if TYPE_CHECKING:
    from outbox.messages import Email
    from tests.providers.server import Request


async def sent(name: str, message: Email, reply: Reply | None = None) -> Request:
    """Send by the provider `name`, whose API answers so or accepts, and return what that was asked."""
    given = import_module(f"tests.providers.email_{name}").COUNTERPART.settings
    async with HttpServer(lambda _: reply or Reply(200)) as server:
        by = load_provider("email", name, {**given, "url": server.url})
        try:
            await by.send(message, KEY)
        finally:
            await by.aclose()
    (request,) = server.requests
    return request
