"""Signing in by an OpenID provider: the code flow with PKCE (OpenID Connect Core 1.0, section 3.1; RFC 7636)."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any

import httpx
from itsdangerous import BadSignature, URLSafeTimedSerializer
from joserfc.errors import JoseError
from starlette.exceptions import HTTPException
from starlette.routing import Route

from outbox.errors import clean
from outbox.web.rendering import path_to
from outbox.web.services import services
from outbox.web.sessions import session_of
from outbox.web.sign_in import welcome
from outbox.web.users import LONGEST_NAME, User

with warnings.catch_warnings():
    import authlib.deprecate  # which has its warnings always shown, and so comes before what hides them

    warnings.simplefilter("ignore", authlib.deprecate.AuthlibDeprecationWarning)  # it would rather have httpx2
    from authlib.common.errors import AuthlibBaseError
    from authlib.integrations.starlette_client import OAuth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from outbox.config import WebConfig

_log = logging.getLogger("outbox.web")
# What the provider refuses, what it signs wrongly, what it leaves out, and where it does not answer.
_TROUBLE = (AuthlibBaseError, JoseError, httpx.HTTPError, LookupError, ValueError, RuntimeError)
_COOKIE = "outbox-oidc"
_MINUTES = 10
_NOBODY = "The provider knows you, and nothing that it says of you lets you in here: web.oidc_viewers names who may."
_FAILED = "The provider did not let you in, or took more than ten minutes. Try again."
_AWAY = "The provider does not answer. Try again in a moment, or sign in with a password."


class Provider:
    """The OpenID provider of a configuration, and what a browser carries while it is away there."""

    def __init__(self, config: WebConfig) -> None:
        assert config.oidc_issuer is not None  # noqa: S101 - `problems` has been asked
        assert config.oidc_client_secret is not None  # noqa: S101 - as above
        self.config = config
        self.client = OAuth().register(
            "outbox",
            client_id=config.oidc_client_id,
            client_secret=config.oidc_client_secret.get_secret_value(),
            server_metadata_url=f"{config.oidc_issuer}/.well-known/openid-configuration",
            client_kwargs={"scope": " ".join(config.oidc_scopes), "code_challenge_method": "S256", "timeout": 10},
        )
        secrets = [secret.get_secret_value() for secret in config.secret]
        self._serializer = URLSafeTimedSerializer(secrets[::-1], salt="outbox.web oidc")

    def pack(self, request: Request, response: Response, *, secure: bool) -> None:
        """Let the browser carry what was kept of it, to be read when it comes back."""
        response.set_cookie(
            _COOKIE,
            str(self._serializer.dumps(request.scope["session"])),
            max_age=_MINUTES * 60,
            path=path_to(request, "oidc_end"),
            secure=secure,
            httponly=True,
            samesite="lax",  # it comes back from another site
        )

    def unpack(self, request: Request) -> dict[str, Any]:
        """Return what the browser carried, or nothing."""
        try:
            found = self._serializer.loads(request.cookies.get(_COOKIE, ""), max_age=_MINUTES * 60)
        except BadSignature:
            return {}
        return found if isinstance(found, dict) else {}


async def begin(request: Request) -> Response:
    """Send somebody to the provider."""
    provider = _provider(request)
    request.scope["session"] = {"next": request.query_params.get("next", "")[:500]}
    url = f"{provider.config.url}{request.app.url_path_for('oidc_end')}"
    try:
        answer: Response = await provider.client.authorize_redirect(request, url)
    except _TROUBLE as error:
        raise _unavailable(error) from None
    provider.pack(request, answer, secure=str(provider.config.url).startswith("https://"))
    return answer


async def end(request: Request) -> Response:
    """Let in who comes back from the provider, if it says something of them that lets them in."""
    provider = _provider(request)
    carried = request.scope["session"] = provider.unpack(request)
    wanted = str(carried.get("next", ""))
    try:
        token = await provider.client.authorize_access_token(request)
    except _TROUBLE as error:
        raise _unavailable(error) from None
    claims: Mapping[str, Any] = token.get("userinfo") or {}
    user = user_from(claims, provider.config)
    if user is None:
        _log.warning("somebody from %s may not sign in", provider.config.oidc_issuer)
        raise HTTPException(403, _NOBODY)
    by = {"by": provider.config.oidc_issuer, "name": user.name, "role": user.role}
    session_of(request).sign_in(by)
    answer = welcome(request, user, wanted)
    answer.delete_cookie(_COOKIE, path=path_to(request, "oidc_end"))
    return answer


def user_from(claims: Mapping[str, Any], config: WebConfig) -> User | None:
    """Return who that is by what their provider says, or None if nothing of it lets them in.

    A claim is a text or a list of texts; `*` in the configuration stands for everybody who has a name.
    """
    name = claims.get(config.oidc_name) or claims.get("sub")
    if not isinstance(name, str) or not clean(name):
        return None
    verified = claims.get("email_verified")
    if config.oidc_role == "email" and verified not in {True, "true"}:
        return None
    if config.oidc_name == "email" and verified in {False, "false"}:
        return None
    said = claims.get(config.oidc_role)
    values = {"*", *(str(each) for each in (said if isinstance(said, list) else [said]) if isinstance(each, str))}
    if values.intersection(config.oidc_operators):
        return User(clean(name, LONGEST_NAME), "operator")
    return User(clean(name, LONGEST_NAME), "viewer") if values.intersection(config.oidc_viewers) else None


def _provider(request: Request) -> Provider:
    found: Provider | None = services(request).provider
    if found is None:
        raise HTTPException(404)
    return found


def _unavailable(error: Exception) -> HTTPException:
    """Return what to say; what the library says may have a code or a token in it, so the log has its kind alone."""
    _log.warning("signing in by OpenID Connect failed: %s", type(error).__name__)
    is_away = isinstance(error, httpx.HTTPError)
    return HTTPException(503 if is_away else 400, _AWAY if is_away else _FAILED)


ROUTES = [
    Route("/sign-in/oidc", begin, name="oidc_begin", methods=["GET"]),
    Route("/sign-in/oidc/callback", end, name="oidc_end", methods=["GET"]),
]
PUBLIC = frozenset({"oidc_begin", "oidc_end"})
