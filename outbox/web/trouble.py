"""What goes wrong, as pages: no traceback is shown, and nothing of a message is logged."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import psycopg
from starlette.exceptions import HTTPException

from outbox.database import describe
from outbox.errors import NotMigrated, OutboxError
from outbox.web.services import services

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

_log = logging.getLogger("outbox.web")
_TITLES: Mapping[int, str] = {
    400: "That cannot be understood",
    403: "That is not allowed",
    404: "There is nothing here",
    405: "That is not how it is asked for",
    413: "That is too much",
    500: "Something is broken",
    503: "The database does not answer",
}
_WORDS: Mapping[int, str] = {
    404: "The address is wrong, or what it was about is kept no longer.",
    405: "This address is there, but not for this kind of request.",
    500: "It is a defect in the dashboard. Its log says which.",
}
_AWAY = "It is away, or busy with something else. Nothing was changed. Try again in a moment."
_SLOW = "What was asked took the database more than 5 s, and was given up. Nothing was changed."
_REFUSED = "The database does not let this dashboard's login do that: docs/roles.md says who may do what."


def page(request: Request, status: int, words: str = "") -> Response:
    """Return a page that says what is wrong."""
    title = _TITLES.get(status, "That did not work")
    words = words or _WORDS.get(status, "")
    return services(request).pages.page(request, "trouble.html", status=status, code=status, title=title, words=words)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these
    said = error.detail if error.detail != _phrase(error.status_code) else ""
    answer = page(request, error.status_code, said)
    answer.headers.update(error.headers or {})
    return answer


async def _database(request: Request, error: Exception) -> Response:
    _log.warning("the database did not answer: %s", describe(error))
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return page(request, 403, _REFUSED)
    return page(request, 503, _SLOW if isinstance(error, psycopg.errors.QueryCanceled) else _AWAY)


async def _ours(request: Request, error: Exception) -> Response:
    return page(request, 503 if isinstance(error, NotMigrated) else 400, f"{error}.")


async def _defect(request: Request, _error: Exception) -> Response:
    return page(request, 500)


def _phrase(status: int) -> str:
    return HTTPException(status).detail


HANDLERS = {HTTPException: _http, psycopg.Error: _database, OutboxError: _ours, Exception: _defect}
