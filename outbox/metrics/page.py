"""page: what collectors tell, for whoever asks, in the format of Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import choose_encoder

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from outbox.port import Page


def page(*collectors: Collector) -> Page:
    """Return an application (WSGI) that tells of them; whoever asks for OpenMetrics is given that, with exemplars."""
    together = CollectorRegistry()
    for collector in collectors:
        together.register(collector)
    application: Page = make_wsgi_app(together)
    return application


def written(collector: Collector, accepted: str) -> tuple[bytes, str]:
    """Return what a collector tells, and its content type, in the format that an `Accept` header asks for."""
    alone = CollectorRegistry()
    alone.register(collector)
    encode, content_type = choose_encoder(accepted)
    return encode(alone), content_type
