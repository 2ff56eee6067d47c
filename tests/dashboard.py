"""The dashboard, served by a real uvicorn on loopback, and what a browser keeps of it."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import httpx
import uvicorn

from outbox.config import load
from outbox.web import create_app
from outbox.web.passwords import hash_password
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from outbox.config import Config

PASSWORD = "correct horse battery"
HASH = hash_password(PASSWORD)
SECRET = "a secret of the tests that is long enough"
_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')

USERS = {
    "OUTBOX_WEB_SECRET": SECRET,
    "OUTBOX_WEB_USERS": f"ada operator {HASH}; bob viewer {HASH}",
}
"""What lets an operator and a viewer sign in."""


def configured(url: str, path: Path | None = None, /, **variables: Any) -> Config:
    """A configuration as the dashboard gets it: of a file, if there is one, and of variables."""
    return load(path, environ={"OUTBOX_DATABASE_URL": url} | variables)


@contextmanager
def served(app: Any, *, root_path: str = "", **settings: Any) -> Iterator[str]:
    """Serve an ASGI application on loopback, in a thread; yields where it is."""
    chosen: dict[str, Any] = {"log_config": None, "access_log": False, "timeout_graceful_shutdown": 2} | settings
    config = uvicorn.Config(app, host="127.0.0.1", port=0, root_path=root_path, **chosen)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started, timeout=30)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        if hasattr(app, "stop"):
            app.stop()
        server.should_exit = True
        thread.join(timeout=20)
        assert not thread.is_alive()


@contextmanager
def dashboard(config: Config, **given: Any) -> Iterator[str]:
    """Serve a dashboard; yields where it is."""
    with served(create_app(config, **given)) as url:
        yield url


class Visitor:
    """A browser without a window: it keeps cookies, and fills in forms as the page has them."""

    def __init__(self, url: str, prefix: str = "") -> None:
        self.client = httpx.Client(base_url=f"{url}{prefix}", timeout=30)
        self.token = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def get(self, path: str = "/", **given: Any) -> httpx.Response:
        """Ask for a page, and remember the token of its forms."""
        answer = self.client.get(path, **given)
        found = _TOKEN.search(answer.text)
        self.token = found[1] if found else self.token
        return answer

    def post(self, path: str, **fields: str) -> httpx.Response:
        """Send a form of the page that was seen last."""
        return self.client.post(path, data={"csrf_token": self.token} | fields)

    def sign_in(self, name: str = "ada", password: str = PASSWORD, **fields: str) -> httpx.Response:
        """Sign in, with all that takes."""
        self.get("/sign-in")
        return self.post("/sign-in", name=name, password=password, **fields)

    def become(self, name: str) -> httpx.Response:
        """Sign out, and in as somebody else."""
        self.get("/")
        self.post("/sign-out")
        return self.sign_in(name)


@contextmanager
def visiting(config: Config, **given: Any) -> Iterator[Visitor]:
    """Serve a dashboard, and visit it."""
    with dashboard(config, **given) as url, Visitor(url) as visitor:
        yield visitor
