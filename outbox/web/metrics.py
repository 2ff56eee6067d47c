"""The metrics of the whole fleet, for Prometheus: to who is signed in, or brings the token along."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from anyio import to_thread
from starlette.responses import Response
from starlette.routing import Route

from outbox.metrics.page import written
from outbox.web.services import services
from outbox.web.users import User

if TYPE_CHECKING:
    from starlette.requests import Request

    from outbox.config import WebConfig

NAME = "metrics"
_BEARER = "bearer "


async def show(request: Request) -> Response:
    """Tell what the database knows of the fleet, as every worker's metrics do; each of five seconds is read once."""
    accepted = request.headers.get("accept", "")
    words, kind = await to_thread.run_sync(written, services(request).fleet, accepted)
    return Response(words, headers={"content-type": kind})


def scraper(request: Request, config: WebConfig) -> User | None:
    """Return who asks for the metrics if they bring the token of the configuration (RFC 6750, section 2.1)."""
    said = request.headers.get("authorization", "")
    if config.metrics_token is None or not said.lower().startswith(_BEARER):
        return None
    right = config.metrics_token.get_secret_value().encode()
    return User(NAME, "viewer") if hmac.compare_digest(said[len(_BEARER) :].strip().encode(), right) else None


def refused() -> Response:
    """Return what is answered to a program that brings no token: it can sign in nowhere."""
    return Response("bring web.metrics_token along, or sign in\n", 401, {"www-authenticate": "Bearer"}, "text/plain")


ROUTES = [Route("/metrics", show, name=NAME, methods=["GET"])]
