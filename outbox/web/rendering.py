"""Pages: templates with what every page has. Whatever is put into one is escaped."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from starlette.responses import HTMLResponse, RedirectResponse

from outbox.errors import clean
from outbox.telling.words import age, counted, distance, short
from outbox.web import static
from outbox.web.actions import FIELD
from outbox.web.navigation import ENTRIES
from outbox.web.sessions import session_of
from outbox.web.users import user_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2.runtime import Context
    from starlette.requests import Request
    from starlette.responses import Response

_FOLDER = Path(__file__).parent / "pages"
_THEMES = {"light", "dark"}
_ONE_LINE = 4_096


class Pages:
    """Writes pages; `has_sign_in` says whether there is something to sign out of."""

    def __init__(self, *, has_sign_in: bool) -> None:
        self._has_sign_in = has_sign_in
        self._environment = Environment(
            loader=FileSystemLoader(_FOLDER),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {"asset": _asset, "to": _to, "age": age, "counted": counted, "short": short}
        self._environment.filters |= {"moment": _moment, "iso": _iso, "ago": _ago, "clean": _clean, "number": _number}

    def page(self, request: Request, template: str, /, *, status: int = 200, **shown: Any) -> Response:
        """Return a page as an answer."""
        session = session_of(request)
        said = {"flash": session.take("flash"), "complaint": session.take("complaint")}
        words = self.text(request, template, **said, **shown)
        return HTMLResponse(words, status)

    def text(self, request: Request, template: str, /, **shown: Any) -> str:
        """Return a page, or a part of one, as text."""
        theme = request.cookies.get("outbox-theme", "")
        route = request.scope.get("endpoint_name")
        return self._environment.get_template(template).render(
            request=request,
            user=user_of(request),
            has_sign_in=self._has_sign_in,
            csrf_field=FIELD,
            csrf_token=session_of(request).token,
            csrf_headers=json.dumps({"X-CSRF-Token": session_of(request).token}),
            theme=theme if theme in _THEMES else "",
            entries=ENTRIES,
            here=route,
            now=datetime.now(UTC),
            **{"flash": None, "complaint": None} | shown,
        )


def path_to(request: Request, name: str, /, **parameters: Any) -> str:
    """Return the path of a page, wherever the dashboard is mounted."""
    path = request.app.url_path_for(name, **{key: quote(str(value), safe="/") for key, value in parameters.items()})
    return f"{root_of(request)}{path}"


def root_of(request: Request) -> str:
    """Return where the dashboard is mounted: nothing, or a path without a slash at its end."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def redirect(request: Request, name: str, query: Mapping[str, Any] | None = None, /, **parameters: Any) -> Response:
    """Send the browser on to a page after an action, so that a reload does not repeat it."""
    return RedirectResponse(path_to(request, name, **parameters) + (f"?{urlencode(query)}" if query else ""), 303)


@pass_context
def _to(context: Context, name: str, /, **parameters: Any) -> str:
    return path_to(context["request"], name, **parameters)


@pass_context
def _asset(context: Context, path: str) -> str:
    return path_to(context["request"], "asset", version=static.VERSION, path=path)


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _ago(at: datetime, now: datetime) -> str:
    return distance(at, now)


def _clean(text: str, limit: int = _ONE_LINE) -> str:
    return clean(text, limit)


def _number(value: float | None) -> str:
    return "\N{EN DASH}" if value is None else f"{value:,}"
