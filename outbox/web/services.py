"""What pages are answered with: the configuration, the database, how pages are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.requests import Request

    from outbox.config import Config
    from outbox.web.database import Database
    from outbox.web.live import Live
    from outbox.web.passwords import Passwords
    from outbox.web.rendering import Pages


@dataclass(frozen=True, slots=True)
class Services:
    """One dashboard's."""

    config: Config
    database: Database
    pages: Pages
    live: Live[Any]
    passwords: Passwords
    provider: Any
    """The OpenID provider, a `Provider` of oidc.py, if there is one."""


def services(request: Request) -> Services:
    """Return those of the dashboard that answers this request."""
    found: Services = request.app.state.services
    return found
