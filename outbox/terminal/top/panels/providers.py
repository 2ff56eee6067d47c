"""Who delivers: how fast, how well, and which of them are held or paused, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.telling.pauses import terms
from outbox.terminal.top.ink import Column, Drawing, Row, ago, rate, span, table, took
from outbox.terminal.top.panels.traffic import failing, share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outbox.queue.fleet import Held
    from outbox.terminal.top.ink import Span
    from outbox.terminal.top.scene import Scene

TITLE = "providers"
_COLUMNS = (
    Column("provider", least=12),
    Column("channel", sacrifice=5),
    Column("state", least=13),
    Column("probe", number=True, sacrifice=6),
    Column("sent/s", number=True, sacrifice=1),
    Column("failed", number=True, sacrifice=2),
    Column("p50", number=True, sacrifice=4),
    Column("p99", number=True, sacrifice=3),
)


def draw(scene: Scene, width: int, height: int = 0) -> Drawing:  # noqa: ARG001 - as every panel
    """Return a row for each provider of each channel."""
    rows = [Row(f"{provider} {channel or ''}", _row(scene, channel, provider)) for channel, provider in pairs(scene)]
    if not rows:
        return Drawing(((("no worker says whom it delivers by", "dim"),),))
    return table(_COLUMNS, rows, width)


def pairs(scene: Scene) -> list[tuple[str | None, str]]:
    """Return which providers there are, by the channels that they delivered for or are held on; else without one."""
    tallies = [tally for worker in scene.workers for tally in (worker.report.tallies if worker.report else ())]
    known = {(tally.channel, tally.provider) for tally in tallies if tally.provider is not None}
    known |= {(held.channel, held.provider) for held in scene.fleet.held()}
    named = {provider for _, provider in known}
    others = {*scene.providers, *(pause.name for pause in scene.pauses if pause.scope == "provider")} - named
    return [*sorted(known), *((None, provider) for provider in sorted(others))]


def holds(scene: Scene, channel: str | None, provider: str) -> Sequence[Held]:
    """Return what workers say that hold it."""
    return [held for held in scene.fleet.held() if held.provider == provider and channel in {None, held.channel}]


def about(scene: Scene, key: str) -> str:
    """Return what there is to say of the row that is chosen."""
    provider, _, channel = key.partition(" ")
    if (pause := scene.paused("provider", provider)) is not None:
        return f"{provider} is paused {terms(pause)}"
    some = holds(scene, channel or None, provider)
    if not some:
        return ""
    since = max((scene.at - held.since).total_seconds() for held in some)
    why = " ".join(part for part in (some[0].error_class, some[0].code) if part)
    workers = f"{len(some)} of {sum(some[0].channel in worker.channels for worker in scene.workers)} workers"
    return f"{provider} is held by {workers} for {ago(since)}: {why}; {_probe(scene, some)}"


def _row(scene: Scene, channel: str | None, provider: str) -> list[Span]:
    half, most = scene.quantiles(channel=channel, provider=provider)
    sent = scene.rates("sent", channel=channel, provider=provider)[0]
    return [
        span(provider, "strong"),
        span(channel or "-", "" if channel else "dim"),
        *_state(scene, channel, provider),
        span(rate(sent), "good" if sent else "dim"),
        span(*share(failing(scene, channel=channel, provider=provider))),
        span(took(half), "" if half is not None else "dim"),
        span(took(most), "" if most is not None else "dim"),
    ]


def _state(scene: Scene, channel: str | None, provider: str) -> tuple[Span, Span]:
    """Return whether anything goes through it, and when it is probed."""
    nothing = span("")
    if scene.paused("provider", provider):
        return span("‖ paused", "warn"), nothing
    some = holds(scene, channel, provider)
    if not some:
        return (span("● ok", "good"), nothing) if channel else (span("· not asked", "dim"), nothing)
    return span(f"▲ held {some[0].code or some[0].error_class}", "bad"), span(_until(scene, some), "bad")


def _until(scene: Scene, some: Sequence[Held]) -> str:
    seconds = min((held.probe_at - scene.at).total_seconds() for held in some)
    return f"in {ago(seconds)}" if seconds > 0 else "now"


def _probe(scene: Scene, some: Sequence[Held]) -> str:
    until = _until(scene, some)
    return f"probed {until}" if until != "now" else "being probed"
