"""One look, as a plain frame for pipes, and as JSON for scripts. Needs no textual."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from rich.text import Text

from outbox.queue.deaths import MOST
from outbox.telling.pauses import pause_document
from outbox.terminal.fleet import per_second, state
from outbox.terminal.output import print_json, say, width
from outbox.terminal.setup import is_terminal
from outbox.terminal.top.eyes import Eyes
from outbox.terminal.top.pace import KINDS
from outbox.terminal.top.panels import chart, letters, providers, queue, traffic, warnings, workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from outbox.terminal.top.ink import Line
    from outbox.terminal.top.scene import Scene

_WIDTH = 120
_CHART = 7
_STYLES = {"good": "green", "bad": "bold red", "warn": "yellow", "strong": "bold", "dim": "dim", "mark": "cyan", "": ""}


def show(url: str, wanted: Callable[[str], bool], *, as_json: bool) -> int:
    """Look once, and print what there is to see."""
    with closing(Eyes(url)) as eyes:
        scene = eyes.look().only(wanted)
    if as_json:
        print_json(document(scene))
        return 0
    for line in frame(scene, width() if is_terminal() else _WIDTH):
        say(Text.assemble(*((words, _STYLES[meaning]) for words, meaning in line)))
    return 0


def frame(scene: Scene, wide: int) -> Iterator[Line]:
    """Yield all panels, one below the other."""
    yield ((f"outbox top  {scene.database}  {scene.at:%Y-%m-%d %H:%M:%S %Z}  ", "strong"), (workers.summary(scene), ""))
    for title, lines in (
        (traffic.TITLE, traffic.draw(scene, wide)),
        (chart.title(wide), chart.draw(scene, wide, _CHART) if scene.samples else []),
        (queue.TITLE, queue.draw(scene, wide).lines()),
        (providers.TITLE, providers.draw(scene, wide).lines()),
        (workers.TITLE, workers.draw(scene, wide).lines()),
        (letters.TITLE, letters.draw(scene, wide, height=100).lines()),
    ):
        if lines:
            yield (("", ""),)
            yield ((title.upper(), "mark"),)
            yield from (_ended(line) for line in lines)
    sentences = warnings.told(scene)
    if sentences:
        yield (("", ""),)
    for sentence in sentences:
        yield (("warning", "warn"), (f": {sentence}", ""))


def _ended(line: Line) -> Line:
    """Return it without blanks at its end."""
    kept = list(line)
    while kept and not kept[-1][0].strip():
        kept.pop()
    return (*kept[:-1], (kept[-1][0].rstrip(), kept[-1][1])) if kept else ()


def document(scene: Scene) -> dict[str, Any]:
    """Return all of it as it stands in JSON; rates are a second, lengths of time in seconds."""
    return {
        "at": scene.at,
        "database": scene.database,
        "traffic": _traffic(scene),
        "channels": [_channel(scene, channel) for channel in scene.channels()],
        "providers": [_provider(scene, channel, provider) for channel, provider in providers.pairs(scene)],
        "pauses": [pause_document(pause) for pause in scene.pauses],
        "workers": [_worker(scene, number) for number in range(len(scene.workers))],
        "dead_letters": [
            {
                "channel": each.channel,
                "open": each.open,
                "is_at_least": each.open >= MOST,
                "last_5_minutes": each.lately,
                "last_hour": each.hour,
                "newest_seconds": each.last,
            }
            for each in scene.deaths
        ],
        "newest_dead_letters": [
            {
                "group": each.id,
                "channel": each.channel,
                "provider": each.provider,
                "class": each.error_class,
                "code": each.error_code,
                "template": each.template,
                "count": each.count,
                "newest_seconds": each.last_seconds_ago,
            }
            for each in scene.causes
        ],
        "warnings": warnings.told(scene),
        "late": list(scene.late),
    }


def _traffic(scene: Scene, channel: str | None = None, provider: str | None = None) -> dict[str, Any]:
    half, most = scene.quantiles(channel=channel, provider=provider)
    rates = {kind: scene.rates(kind, channel=channel, provider=provider) for kind in KINDS}
    return {
        **{f"{kind}_per_second": now for kind, (now, _) in rates.items()},
        **{f"{kind}_per_second_in_last_minute": minute for kind, (_, minute) in rates.items()},
        "p50_seconds": half,
        "p99_seconds": most,
    }


def _channel(scene: Scene, channel: str) -> dict[str, Any]:
    return {
        "channel": channel,
        "paused": scene.paused("channel", channel) is not None,
        "workers": sum(channel in worker.channels for worker in scene.workers),
        "in_hand": scene.fleet.in_hand().get(channel, 0),
        "priorities": [
            {
                "priority": each.priority,
                "due": each.due,
                "leased": each.leased,
                "scheduled": each.scheduled,
                "retrying": each.retrying,
                "blocked": each.blocked,
                "oldest_due_seconds": each.oldest_due,
                "is_estimate": each.is_estimate,
            }
            for each in scene.waiting
            if each.channel == channel
        ],
        **_traffic(scene, channel),
    }


def _provider(scene: Scene, channel: str | None, provider: str) -> dict[str, Any]:
    return {
        "provider": provider,
        "channel": channel,
        "paused": scene.paused("provider", provider) is not None,
        "held": [
            {"worker": it.worker, "class": it.error_class, "code": it.code, "since": it.since, "probe_at": it.probe_at}
            for it in providers.holds(scene, channel, provider)
        ],
        **_traffic(scene, channel, provider),
    }


def _worker(scene: Scene, number: int) -> dict[str, Any]:
    worker = scene.workers[number]
    return {
        "id": worker.id,
        "host": worker.host,
        "pid": worker.pid,
        "channels": worker.channels,
        "state": state(worker),
        "in_hand": None if worker.report is None else worker.in_hand,
        "ended_per_second": per_second(worker),
        "seen_seconds": worker.seen,
    }
