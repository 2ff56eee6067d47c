"""Sessions: what a browser carries for us, signed, so that it can read it and not change it. Nothing is kept here.

The cookie is HttpOnly and SameSite=Lax: a link in a message of the pager's leads to a page and not to the sign-in. Over
HTTPS it is Secure, and its name has the prefix `__Host-` (RFC 6265bis, section 4.1.3.2).
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any, Protocol

from itsdangerous import BadSignature, URLSafeSerializer
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection

from outbox.web.origin import is_secure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from outbox.config import WebConfig

_KEY = "outbox.session"
_SALT = "outbox.web session"
_TOKEN_BYTES = 32
_LONGEST_FLASH = 500


class Session:
    """What is known of a browser; `changed` makes it a new cookie. `id` is what its forms have to bring along.

    One that is new makes no cookie before something is kept in it, or a page has a form: an asset that is kept by a
    proxy for everybody must not bring a session along.
    """

    def __init__(self, data: dict[str, Any] | None = None) -> None:
        self._is_new = data is None
        self._data = _nobody() if data is None else data
        self.changed = False

    @property
    def token(self) -> str:
        """What a form of ours brings along, and nobody else's can."""
        self.changed = self.changed or self._is_new
        return self.id

    @property
    def id(self) -> str:
        """Which session it is, from the sign-in to the sign-out."""
        return str(self._data["id"])

    @property
    def claims(self) -> dict[str, Any]:
        """Who signed in with it, and how; empty where nobody has."""
        found = self._data.get("user")
        return found if isinstance(found, dict) else {}

    def sign_in(self, claims: dict[str, Any]) -> None:
        """Begin anew as somebody, so that what was known of the browser before is worth nothing."""
        self._data = _nobody() | {"user": {**claims, "at": int(time.time())}}
        self.changed = True

    def end(self) -> None:
        """Begin anew as nobody."""
        self._data = _nobody()
        self.changed = True

    def put(self, key: str, value: Any) -> None:
        """Keep something for the next request."""
        self._data[key] = value
        self.changed = True

    def take(self, key: str) -> Any:
        """Return what was kept, and keep it no longer."""
        if key not in self._data:
            return None
        self.changed = True
        return self._data.pop(key)

    @property
    def data(self) -> dict[str, Any]:
        """What the cookie holds."""
        return self._data


class Clock(Protocol):
    """What `time.time` is."""

    def __call__(self) -> float:
        """Return the seconds since 1970."""


class Sessions:
    """ASGI middleware: reads the cookie before, and writes it after, if it has changed."""

    def __init__(self, app: ASGIApp, *, config: WebConfig, clock: Clock = time.time) -> None:
        self._app = app
        self._config = config
        self._clock = clock
        self._serializer = URLSafeSerializer(_keys(config), salt=_SALT)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        secure = is_secure(connection, self._config)
        name = _name(connection, secure=secure)
        session = self._read(connection.cookies.get(name))
        scope[_KEY] = session

        async def signing(message: Message) -> None:
            if message["type"] == "http.response.start" and session.changed:
                text = self._serializer.dumps({**session.data, "made": int(self._clock())})
                MutableHeaders(scope=message).append("set-cookie", self._cookie(name, str(text), secure=secure))
            await send(message)

        await self._app(scope, receive, signing)

    def _read(self, cookie: str | None) -> Session:
        """Return the session that a cookie holds, unless it is none of ours, or too old."""
        try:
            data = self._serializer.loads(cookie) if cookie else None
        except BadSignature:
            data = None
        if not isinstance(data, dict) or not isinstance(data.get("id"), str):
            return Session()
        session = Session(data)
        began = session.claims.get("at") or data.get("made")
        fresh = isinstance(began, int) and self._clock() - began < self._config.session
        return session if fresh else Session()

    def _cookie(self, name: str, value: str, *, secure: bool) -> str:
        age = int(self._config.session)
        return f"{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}"


def session_of(request: Request) -> Session:
    """Return the session of the browser that asks."""
    session: Session = request.scope[_KEY]
    return session


def flash(request: Request, words: str) -> None:
    """Say something on the next page that the browser shows."""
    session_of(request).put("flash", words[:_LONGEST_FLASH])


def complain(request: Request, words: str) -> None:
    """Say on the next page that the browser shows why something was not done."""
    session_of(request).put("complaint", words[:_LONGEST_FLASH])


def _nobody() -> dict[str, Any]:
    return {"id": secrets.token_urlsafe(_TOKEN_BYTES)}


def _keys(config: WebConfig) -> Sequence[str]:
    """Return the secrets as itsdangerous takes them, the one that signs at the end; a passing one if there is none."""
    given = [secret.get_secret_value() for secret in config.secret]
    return given[::-1] or [secrets.token_urlsafe(_TOKEN_BYTES)]


def _name(connection: HTTPConnection, *, secure: bool) -> str:
    """Return the cookie's name: cookies know no ports, and there may be two dashboards on one machine."""
    return "__Host-outbox" if secure else f"outbox-{connection.url.port or 80}"
