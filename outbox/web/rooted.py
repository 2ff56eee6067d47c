"""rooted: where the dashboard is below a path, as `web.url` says, and nothing around it has said so."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class Rooted:
    """ASGI middleware: tells the application its `root_path`, whether a proxy has taken that away from the path or not.

    Whoever mounts the dashboard, or runs its server with a root path, has told it already.
    """

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection, as ASGI has it."""
        if self._root_path and scope["type"] == "http" and not scope.get("root_path"):
            path = scope["path"].removeprefix(self._root_path)
            below = path if path.startswith("/") else "/" if not path else scope["path"]
            scope = {**scope, "root_path": self._root_path, "path": f"{self._root_path}{below}"}
        await self._app(scope, receive, send)
