"""What pages are answered with: the configuration, the database, how pages are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.requests import Request

    from outbox.config import Config
    from outbox.metrics.known import Known
    from outbox.web.database import Database
    from outbox.web.live import Live
    from outbox.web.passwords import Passwords
    from outbox.web.rendering import Pages
    from outbox.web.signed_out import SignedOut


@dataclass(frozen=True, slots=True)
class Services:
    """One dashboard's."""

    config: Config
    database: Database
    pages: Pages
    live: Live[Any]
    passwords: Passwords
    signed_out: SignedOut
    provider: Any
    """The OpenID provider, a `Provider` of oidc.py, if there is one."""
    fleet: Known
    """What the database knows of all workers."""


def services(request: Request) -> Services:
    """Return those of the dashboard that answers this request."""
    found: Services = request.app.state.services
    return found
