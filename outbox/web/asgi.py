"""The dashboard as an ASGI application: by itself, or mounted in yours."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware

from outbox import config as configuration
from outbox.errors import ConfigError
from outbox.metrics.known import Known
from outbox.web import (
    audit,
    channels,
    dead_letter,
    dead_letters,
    group,
    metrics,
    notification,
    oidc,
    overview,
    replay_plan,
    replays,
    schedules,
    search,
    sign_in,
    standing,
    static,
    steering,
    suppressions,
    trouble,
    workers,
)
from outbox.web.database import Database
from outbox.web.gate import Gate
from outbox.web.live import Live
from outbox.web.passwords import Passwords
from outbox.web.rendering import Pages
from outbox.web.rooted import Rooted
from outbox.web.security import Headers
from outbox.web.services import Services
from outbox.web.sessions import Sessions
from outbox.web.signed_out import SignedOut

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

    from outbox.config import Config, WebConfig
    from outbox.web.gate import Identify

PAGES = (
    overview,
    search,
    notification,
    channels,
    steering,
    dead_letters,
    group,
    replay_plan,
    replays,
    dead_letter,
    suppressions,
    schedules,
    workers,
    audit,
    metrics,
    sign_in,
    oidc,
    static,
)


class Dashboard:
    """An ASGI application. `services` are what its pages are answered with.

    Nothing has to be started. Its few connections are made when they are needed; at the end of a lifespan they are
    closed, and where there is none, by `stop` or with the process.
    """

    def __init__(self, config: Config, *, identify: Identify | None = None) -> None:
        if config.web.problems and identify is None:
            raise ConfigError([f"{config.source or 'configuration'}: {problem}" for problem in config.web.problems])
        database, passwords = Database(config.database_url), Passwords(config.web)
        self.services = Services(
            config=config,
            database=database,
            pages=Pages(has_sign_in=config.web.has_sign_in and identify is None),
            live=Live(partial(database.read, standing.look)),
            passwords=passwords,
            signed_out=SignedOut(database),
            provider=_provider(config.web),
            fleet=Known(config.database_url),
        )
        routes = [route for page in PAGES for route in page.ROUTES]
        gate = Middleware(
            Gate,
            config=config.web,
            passwords=passwords,
            signed_out=self.services.signed_out,
            routes=routes,
            identify=identify,
        )
        self._app = Starlette(
            routes=routes,
            middleware=[Middleware(Sessions, config=config.web), gate],
            exception_handlers=trouble.HANDLERS,
            lifespan=self._lifespan,
        )
        self._app.state.services = self.services
        self._whole = Rooted(Headers(self._app), config.web.root_path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection, as ASGI has it."""
        await self._whole(scope, receive, send)

    def stop(self) -> None:
        """Let those go who watch, so that a server that waits for them can stop, and close what is not in use."""
        self.services.live.stop()
        self.services.database.close()

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        yield
        self.stop()


def _provider(config: WebConfig) -> oidc.Provider | None:
    return None if config.oidc_issuer is None or config.problems else oidc.Provider(config)


def create_app(config: Config | None = None, *, identify: Identify | None = None) -> Dashboard:
    """Return the dashboard as an application to mount.

    Args:
        config: without it, the configuration that there is, as `outbox.config.load` finds it.
        identify: what says who somebody is, from a Starlette `Request`: a `User`, or None for somebody who may see
            nothing. It may be a coroutine function. Without it, people sign in as `[web]` says.

    Raises:
        ConfigError: the configuration is wrong, names no database, or lacks what its kind of sign-in needs.
    """
    return Dashboard(configuration.load() if config is None else config, identify=identify)


def app() -> Dashboard:
    """Return the dashboard with the configuration that there is, for a server that takes a factory.

    Raises:
        ConfigError: as `create_app`.
    """
    return create_app()
