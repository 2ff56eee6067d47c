"""Actions: what a form of ours may do. Every one wants the token of its session, and a role."""

from __future__ import annotations

import hmac
from functools import wraps
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from outbox.web.origin import is_from_elsewhere
from outbox.web.sessions import session_of
from outbox.web.users import user_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.datastructures import FormData
    from starlette.requests import Request
    from starlette.responses import Response

    from outbox.config import WebConfig

    Endpoint = Callable[[Request], Awaitable[Response]]
    Action = Callable[[Request, FormData], Awaitable[Response]]

FIELD = "csrf_token"
HEADER = "x-csrf-token"
_LONGEST = 1_048_576  # bytes
_FIELDS = 1_000


def action(*, role: str | None = "operator") -> Callable[[Action], Endpoint]:
    """Make an endpoint of what is done with a form: by an operator unless `role` says otherwise, None by anybody.

    An answer of 403 says that the form was not ours, or that they may not.
    """

    def decorate(act: Action) -> Endpoint:
        @wraps(act)
        async def endpoint(request: Request) -> Response:
            form = await _read(request)
            _refuse_what_is_not_ours(request, form)
            user = user_of(request)
            if role is not None and (user is None or (role == "operator" and not user.is_operator)):
                raise HTTPException(403, "Only operators may do this. You are signed in as a viewer.")
            return await act(request, form)

        endpoint.is_action = True  # type: ignore[attr-defined]
        return endpoint

    return decorate


def text(form: FormData, name: str, *, longest: int = 1_000) -> str:
    """Return a field without the space around it; an empty text if there is none.

    Raises:
        HTTPException: 400, it is longer than it may be, or no text.
    """
    value = form.get(name, "")
    if not isinstance(value, str) or len(value) > longest or "\0" in value:
        raise HTTPException(400, f"The field {name} has at most {longest:,} characters, none of which is a NUL.")
    return value.strip()


async def _read(request: Request) -> FormData:
    length = request.headers.get("content-length", "")
    chunked = "transfer-encoding" in request.headers  # which a server reads by, whatever length is said
    if chunked or not length.isdecimal() or len(length) > len(str(_LONGEST)) or int(length) > _LONGEST:
        raise HTTPException(413, "A form has at most 1 MiB, and says how long it is.")
    return await request.form(max_fields=_FIELDS, max_files=1)


def _refuse_what_is_not_ours(request: Request, form: FormData) -> None:
    given = form.get(FIELD) or request.headers.get(HEADER, "")
    ours = isinstance(given, str) and hmac.compare_digest(given.encode(), session_of(request).token.encode())
    config: WebConfig = request.app.state.services.config.web
    if is_from_elsewhere(request, config) or not ours:
        raise HTTPException(403, "This form is too old, or none of ours. Go back, load the page again, and repeat it.")
