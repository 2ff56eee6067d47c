"""A small OpenID provider that speaks the protocol: discovery, keys, the code flow with PKCE, signed tokens.

OpenID Connect Core 1.0, https://openid.net/specs/openid-connect-core-1_0.html. It lets in whoever comes, as `claims`.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

CLIENT, CLIENT_SECRET = "the-dashboard", "a secret between the two"


class OpenIdProvider:
    """An ASGI application, `app`; `url` is where it is served. `forge` signs with a key that is not published."""

    def __init__(self) -> None:
        self.url = ""
        self.claims: dict[str, Any] = {"sub": "1", "email": "grace@example.org", "groups": ["on-call"]}
        self.forge = False
        self.overrides: dict[str, Any] = {}
        self.refusals: list[str] = []
        self._key, self._other = (RSAKey.generate_key(2048, {"kid": "1"}, private=True) for _ in range(2))
        self._codes: dict[str, dict[str, str]] = {}
        self.app = Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._discovery),
                Route("/keys", self._keys),
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
            ]
        )

    async def _discovery(self, _request: Request) -> Response:
        paths = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        return JSONResponse(
            {"issuer": self.url, "id_token_signing_alg_values_supported": ["RS256"]}
            | {name: f"{self.url}/{path}" for name, path in paths.items()}
        )

    async def _keys(self, _request: Request) -> Response:
        return JSONResponse({"keys": [self._key.as_dict(private=False)]})

    async def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe()
        self._codes[code] = asked
        back = urlencode({"code": code, "state": asked["state"]})
        return RedirectResponse(f"{asked['redirect_uri']}?{back}", 302)

    async def _token(self, request: Request) -> Response:
        async with request.form() as form:
            given = {name: str(value) for name, value in form.items()}
        asked = self._codes.pop(given.get("code", ""), None)
        basic = base64.b64encode(f"{CLIENT}:{CLIENT_SECRET}".encode()).decode()
        problem = None
        if request.headers.get("authorization") != f"Basic {basic}":
            problem = "invalid_client"
        elif asked is None or not _is_answer(asked, given):
            problem = "invalid_grant"
        if problem or asked is None:
            self.refusals.append(str(problem))
            return JSONResponse({"error": problem}, 400)
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 60, "nonce": asked["nonce"]} | self.claims
        token = jwt.encode(
            {"alg": "RS256", "kid": "1"}, claims | self.overrides, self._other if self.forge else self._key
        )
        return JSONResponse({"access_token": secrets.token_urlsafe(), "token_type": "Bearer", "id_token": token})


def _is_answer(asked: dict[str, str], given: dict[str, str]) -> bool:
    verified = asked["code_challenge"] == _challenge(given.get("code_verifier", ""))
    return verified and asked["redirect_uri"] == given.get("redirect_uri")


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
