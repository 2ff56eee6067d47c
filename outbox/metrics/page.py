"""page: serves what collectors tell to whoever asks, in the format of Prometheus, from a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.exposition import choose_encoder

from outbox.errors import ConfigError

if TYPE_CHECKING:
    from prometheus_client.registry import Collector


def serve(*collectors: Collector, host: str, port: int) -> int:
    """Serve them at `/metrics` until the process ends; return the port, which is a free one if asked for 0.

    Whoever asks for OpenMetrics is given that, with exemplars.

    Raises:
        ConfigError: nobody can listen there.
    """
    together = CollectorRegistry()
    for collector in collectors:
        together.register(collector)
    try:
        server, _ = start_http_server(port, host, together)
    except (OSError, OverflowError, UnicodeError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise ConfigError([f"worker.metrics_port: cannot listen at {host}, port {port}: {words}"]) from None
    return server.server_port


def written(collector: Collector, accepted: str) -> tuple[bytes, str]:
    """Return what a collector tells, and its content type, in the format that an `Accept` header asks for."""
    alone = CollectorRegistry()
    alone.register(collector)
    encode, content_type = choose_encoder(accepted)
    return encode(alone), content_type
