"""port: serves what machines ask a process for, metrics and health, from threads that its work does not see."""

from __future__ import annotations

import socket
import socketserver
import threading
from typing import TYPE_CHECKING, TypeAlias
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from outbox.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any
    from wsgiref.types import WSGIApplication

Page: TypeAlias = "WSGIApplication"
_PATIENCE = 5.0  # seconds for a request to come in


class _Handler(WSGIRequestHandler):
    timeout = _PATIENCE

    def log_message(self, *_: Any) -> None:
        """Say nothing: somebody asks every few seconds."""


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 32

    def server_bind(self) -> None:
        """Listen, without asking a name server what this machine is called, as the standard library's does."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def handle_error(self, *_: Any) -> None:
        """Let go of whoever has gone away, or sent what is no request."""


def serve(pages: Mapping[str, Page], *, host: str, port: int, key: str) -> int:
    """Serve each of the pages at its path until the process ends; return the port, a free one if asked for 0.

    The page at the path `""` has every path that no other has.

    Raises:
        ConfigError: nobody can listen there; it names the `key` of the configuration that says where.
    """

    def find(environ: dict[str, Any], start: Any) -> Any:
        found = pages.get(environ.get("PATH_INFO", "")) or pages.get("", _nothing)
        return found(environ, start)

    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        server = type("_", (_Server,), {"address_family": family})(address[:2], _Handler)
    except (OSError, OverflowError, UnicodeError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise ConfigError([f"{key}: cannot listen at {host}, port {port}: {words}"]) from None
    server.set_app(find)
    threading.Thread(target=server.serve_forever, name=f"outbox {key}", daemon=True).start()
    return int(server.server_port)


def _nothing(_: dict[str, Any], start: Any) -> list[bytes]:
    start("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
    return [b"there is nothing here\n"]
