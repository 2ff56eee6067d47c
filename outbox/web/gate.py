"""The gate: who asks is found out here, and nobody gets past it unknown."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Match

from outbox.web import metrics, oidc, sign_in, static, trouble
from outbox.web.origin import is_local
from outbox.web.rendering import path_to, root_of
from outbox.web.sessions import session_of
from outbox.web.users import LOCAL, User, remember

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Receive, Scope, Send

    from outbox.config import WebConfig
    from outbox.web.passwords import Passwords
    from outbox.web.signed_out import SignedOut

    Identify = Callable[[Request], User | Awaitable[User | None] | None]

_PUBLIC = static.PUBLIC | sign_in.PUBLIC | oidc.PUBLIC
_NOT_HERE = (
    "Nobody signs in here, so this dashboard answers only to this machine itself, by the name localhost. To reach it "
    "from elsewhere, add a user: `outbox web hash-password` tells how."
)


class Gate:
    """ASGI middleware: lets somebody through who is known, and sends others to sign in.

    `identify`, of the application around it, says who somebody is. Without it, people sign in here, or, where the
    configuration has nobody who could, are at this machine.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        config: WebConfig,
        passwords: Passwords,
        signed_out: SignedOut,
        routes: Sequence[BaseRoute],
        identify: Identify | None = None,
    ) -> None:
        self._app = app
        self._config = config
        self._passwords = passwords
        self._signed_out = signed_out
        self._routes = routes
        self._identify = identify

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        name = self._route(scope)
        scope["endpoint_name"] = name
        user = metrics.scraper(request, self._config) if name == metrics.NAME else None
        user = user or await self._who(request)
        if user is not None:
            remember(request, user)
        elif name not in _PUBLIC:
            turned_away = metrics.refused() if name == metrics.NAME else self._turned_away(request)
            await turned_away(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _who(self, request: Request) -> User | None:
        if self._identify is not None:
            found = self._identify(request)
            return await found if inspect.isawaitable(found) else found
        if not self._config.has_sign_in:
            return LOCAL if is_local(request) else None
        session = session_of(request)
        user = self._signed_in(session.claims) if session.claims else None
        return None if user is None or await self._signed_out.has(session) else user

    def _signed_in(self, claims: dict[str, Any]) -> User | None:
        if claims.get("by") == "password":
            return self._passwords.again(str(claims.get("name")), str(claims.get("seal")))
        if claims.get("by") == self._config.oidc_issuer and claims.get("role") in {"viewer", "operator"}:
            return User(str(claims.get("name")), claims["role"])
        return None

    def _turned_away(self, request: Request) -> Response:
        if self._identify is not None:
            return trouble.page(request, 403, "The application around this dashboard says that you may not see it.")
        if not self._config.has_sign_in:
            return trouble.page(request, 403, _NOT_HERE)
        wanted = request.url.path.removeprefix(root_of(request)) if request.method == "GET" else ""
        where = path_to(request, "sign_in") + (f"?{urlencode({'next': wanted})}" if wanted not in {"", "/"} else "")
        if "hx-request" in request.headers:
            return Response(status_code=401, headers={"hx-redirect": where})
        return RedirectResponse(where, 303)

    def _route(self, scope: Scope) -> str | None:
        for route in self._routes:
            if route.matches(scope)[0] is not Match.NONE:
                return str(getattr(route, "name", ""))
        return None
