"""Serves the dashboard, by uvicorn: on loopback alone, unless people sign in."""

from __future__ import annotations

import logging
import signal
import time
from typing import TYPE_CHECKING, Any

import uvicorn

from outbox.errors import ConfigError
from outbox.web.asgi import create_app
from outbox.web.origin import is_loopback

if TYPE_CHECKING:
    from types import FrameType

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from outbox.config import Config
    from outbox.web.asgi import Dashboard

_GRACE = 5  # seconds for what is being answered at a stop
_log = logging.getLogger("outbox.web")
_STRANGERS = (
    "the dashboard shows what people were sent, and would show it at {host} to everybody: let people sign in first. "
    "Make a hash with `outbox web hash-password`, and write it under [web.users.ada] as password_hash, beside role = "
    '"operator"; or configure OpenID Connect: docs/web.md tells how. On 127.0.0.1 nobody has to sign in'
)


def serve(config: Config) -> int:
    """Serve the dashboard until there is a reason to stop; return the exit code.

    Raises:
        ConfigError: it may not listen there, or what `create_app` raises.
    """
    refuse_strangers(config)
    dashboard = create_app(config)
    web = config.web
    settings = uvicorn.Config(
        Logged(dashboard),
        host=web.host,
        port=web.port,
        proxy_headers=bool(web.proxies),
        forwarded_allow_ips=list(web.proxies),
        access_log=False,  # ours says no query: what people look for is in some
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=_GRACE,
        timeout_keep_alive=30,
    )
    server = _Server(settings, dashboard)
    try:
        server.run()
    except SystemExit:  # uvicorn has logged why it cannot listen
        other = "is another program there? --port names another port, and 0 a free one"
        raise ConfigError([f"web.port: cannot listen at {web.host}, port {web.port}: {other}"]) from None
    return 0 if server.started else 1


def refuse_strangers(config: Config) -> None:
    """Refuse to listen where others could come, if anybody who comes would be let in.

    Raises:
        ConfigError: says how to let people sign in.
    """
    if config.web.has_sign_in or is_loopback(config.web.host):
        return
    raise ConfigError([_STRANGERS.format(host=config.web.host)])


class Logged:
    """ASGI middleware: a line for each request, with its path and without its query."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.monotonic(), 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            took = (time.monotonic() - begun) * 1_000
            _log.debug("%s %s %s in %.0f ms", scope["method"], scope["path"], status or "-", took)


class _Server(uvicorn.Server):
    """Lets those go who watch, before it waits for everybody to have gone."""

    def __init__(self, settings: uvicorn.Config, dashboard: Dashboard) -> None:
        super().__init__(settings)
        self._dashboard = dashboard

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Say where it is once it listens."""
        await super().startup(sockets)
        for server in self.servers:
            for socket in server.sockets:
                host, port = socket.getsockname()[:2]
                _log.info("the dashboard is at http://%s:%s/", f"[{host}]" if ":" in host else host, port)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as uvicorn has it
        """Begin to stop; at the second Ctrl-C, wait for nobody. That a signal came is no failure."""
        self._dashboard.stop()
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True
