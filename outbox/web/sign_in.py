"""Signing in and out."""

from __future__ import annotations

import logging
import math
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse
from starlette.routing import Route

from outbox.web.actions import action, text
from outbox.web.origin import is_loopback, is_secure
from outbox.web.rendering import redirect, root_of
from outbox.web.services import services
from outbox.web.sessions import session_of
from outbox.web.users import actor, user_of

if TYPE_CHECKING:
    from starlette.datastructures import FormData
    from starlette.requests import Request
    from starlette.responses import Response

    from outbox.web.users import User

_log = logging.getLogger("outbox.web")
_PATH = re.compile(r"/(?![/\\])[^\x00-\x20\\]{0,500}")
_WRONG = "That is not a name and a password that are known here."
_IN_THE_CLEAR = (
    "This page was asked for without TLS, and a password would cross the network for anybody to read. Put a proxy "
    "with TLS in front, and say where it is as web.url; docs/web.md tells how."
)


async def show(request: Request) -> Response:
    """Ask who somebody is."""
    if user_of(request) is not None:
        return redirect(request, "overview")
    return _page(request, wanted=request.query_params.get("next", ""))


@action(role=None)
async def sign_in(request: Request, form: FormData) -> Response:
    """Sign somebody in by a name and a password."""
    passwords = services(request).passwords
    name, password, wanted = text(form, "name"), form.get("password", ""), text(form, "next")
    if not passwords.are_there or not isinstance(password, str):
        raise HTTPException(404)
    _refuse_in_the_clear(request)
    address = request.client.host if request.client else ""
    left = passwords.attempts.wait(name, address)
    if left > 0:
        _log.warning("no attempts to sign in are taken from %s for %.0f s", address, left)
        words = f"Too many attempts. Wait {math.ceil(left / 60)} min, and try again."
        answer = _page(request, wanted=wanted, name=name, problem=words, status=429)
        answer.headers["retry-after"] = str(math.ceil(left))
        return answer
    found = await passwords.check(name, password, address)
    if found is None:
        _log.warning("a sign-in from %s failed", address)
        return _page(request, wanted=wanted, name=name, problem=_WRONG, status=422)
    user, seal = found
    session_of(request).sign_in({"by": "password", "name": user.name, "seal": seal})
    return welcome(request, user, wanted)


@action(role=None)
async def sign_out(request: Request, _form: FormData) -> Response:
    """Sign somebody out, so that a copy of their cookie is worth nothing either."""
    session = session_of(request)
    if user_of(request) is not None and session.claims:
        await services(request).signed_out.add(session, actor(request))
    session.end()
    return redirect(request, "sign_in")


def welcome(request: Request, user: User, wanted: str) -> Response:
    """Send somebody who has just signed in to where they wanted to go, if that is here."""
    _log.info("%s has signed in, as %s", user.name, user.role)
    if _PATH.fullmatch(wanted):
        return RedirectResponse(f"{root_of(request)}{wanted}", 303)
    return redirect(request, "overview")


def _page(request: Request, *, wanted: str, name: str = "", problem: str = "", status: int = 200) -> Response:
    config = services(request).config.web
    return services(request).pages.page(
        request,
        "sign_in.html",
        status=status,
        wanted=wanted if _PATH.fullmatch(wanted) else "",
        name=name,
        problem=problem,
        has_passwords=bool(config.users),
        has_oidc=config.oidc_issuer is not None,
    )


def _refuse_in_the_clear(request: Request) -> None:
    config = services(request).config.web
    host = urlsplit(config.url).hostname if config.url else request.url.hostname
    if not is_secure(request, config) and not is_loopback(host or ""):
        raise HTTPException(400, _IN_THE_CLEAR)


ROUTES = [
    Route("/sign-in", show, name="sign_in", methods=["GET"]),
    Route("/sign-in", sign_in, name="sign_in_by_password", methods=["POST"]),
    Route("/sign-out", sign_out, name="sign_out", methods=["POST"]),
]
PUBLIC = frozenset({"sign_in", "sign_in_by_password", "sign_out"})
