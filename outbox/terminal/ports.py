"""ports: what a worker, or a supervisor of some, serves to machines: its metrics, and its health."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from outbox import logs
from outbox.events import MetricsServed
from outbox.routine_events import HealthServed
from outbox.worker.vitals import Vitals

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from outbox.config import Config, WorkerConfig
    from outbox.events import Listener
    from outbox.port import Page
    from outbox.worker.vitals import Pulse


class OfSupervisor(NamedTuple):
    """What a supervisor has besides: its listeners, and what its processes inherit."""

    listeners: Sequence[Listener]
    attach: Callable[[int], socket.socket] | None
    pulse: Pulse | None


def open_for_worker(
    config: Config, names: Sequence[str], *, is_member: bool, attached: int | None
) -> tuple[Listener | None, Vitals | None]:
    """Serve what is asked for of one worker process; return who counts its events, and who watches its health.

    A member of a supervisor's has no port: it answers its supervisor, at the other end of `attached`.
    """
    settings = config.worker
    if not asks(settings) or (is_member and attached is None):
        return None, None
    answers: dict[str, Callable[[], Any]] = {}
    metrics_pages: dict[str, Page] = {}
    health_pages: dict[str, Page] = {}
    counts, vitals = None, None
    if settings.metrics_port is not None:
        from outbox import metrics  # noqa: PLC0415 - who has no use for it does not load it

        counts = metrics.Counts({name: config.channels[name].providers for name in names if name in config.channels})
        answers[metrics.QUESTION] = metrics.teller(counts.registry)
        metrics_pages[""] = metrics.page(counts.registry, metrics.Known(config.database_url))
    if settings.health_port is not None:
        from outbox import health  # noqa: PLC0415 - as above

        vitals = Vitals(settings.lease)
        answers[health.QUESTION] = health.teller(vitals)
        health_pages = health.pages(vitals)
    if attached is None:
        _serve(settings, metrics_pages, health_pages)
    else:
        from outbox.members import answer  # noqa: PLC0415 - as above

        answer(answers, attached)
    return counts, vitals


def open_for_supervisor(config: Config) -> OfSupervisor:
    """Serve what is asked for of a supervisor, which tells of its processes."""
    settings = config.worker
    if not asks(settings):
        return OfSupervisor((), None, None)
    from outbox.members import Members  # noqa: PLC0415 - as above

    members = Members()
    attach, pulse = members.attach, None
    listeners: list[Listener] = []
    metrics_pages: dict[str, Page] = {}
    health_pages: dict[str, Page] = {}
    if settings.metrics_port is not None:
        from outbox import metrics  # noqa: PLC0415 - as above

        counts = metrics.Counts({})
        listeners.append(counts)
        of_members = metrics.OfMembers(counts.registry, members)
        metrics_pages[""] = metrics.page(of_members, metrics.Known(config.database_url))
    if settings.health_port is not None:
        from outbox import health  # noqa: PLC0415 - as above

        household = health.Household(members, settings.processes)
        household.begin()
        listeners.append(household)
        attach, pulse = household.attach, household.pulse
        health_pages = health.pages(household)
    _serve(settings, metrics_pages, health_pages)
    return OfSupervisor(listeners, attach, pulse)


def asks(settings: WorkerConfig) -> bool:
    """Tell whether anything is to be served."""
    return settings.metrics_port is not None or settings.health_port is not None


def _serve(settings: WorkerConfig, metrics_pages: dict[str, Page], health_pages: dict[str, Page]) -> None:
    """Open one port, or two; of a port that is asked for twice, the metrics say at which address."""
    from outbox.port import serve  # noqa: PLC0415 - as above

    together = settings.metrics_port == settings.health_port and bool(settings.metrics_port)
    if metrics_pages:
        host = settings.metrics_host
        pages = {**metrics_pages, **(health_pages if together else {})}
        port = serve(pages, host=host, port=settings.metrics_port or 0, key="worker.metrics_port")
        logs.log(MetricsServed(host, port))
        if together:
            logs.log(HealthServed(host, port))
    if health_pages and not together:
        host = settings.health_host
        port = serve(health_pages, host=host, port=settings.health_port or 0, key="worker.health_port")
        logs.log(HealthServed(host, port))
