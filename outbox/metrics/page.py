"""page: serves a registry to whoever asks, in the format of Prometheus, from a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import start_http_server

from outbox.errors import ConfigError

if TYPE_CHECKING:
    from prometheus_client.registry import Collector


def serve(registry: Collector, *, host: str, port: int) -> int:
    """Serve `registry` at `/metrics` until the process ends; return the port, which is a free one if asked for 0.

    Raises:
        ConfigError: nobody can listen there.
    """
    try:
        server, _ = start_http_server(port, host, registry)
    except (OSError, OverflowError, UnicodeError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise ConfigError([f"worker.metrics_port: cannot listen at {host}, port {port}: {words}"]) from None
    return server.server_port
