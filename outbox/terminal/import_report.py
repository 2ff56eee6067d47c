"""What `outbox import` found, would do and did, in words and as JSON. What anything says is not shown."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from outbox.masks import mask
from outbox.telling.words import counted
from outbox.terminal.output import Column, done, note, print_json, print_table, say
from outbox.terminal.setup import FAILED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from outbox.importing.source import Periodic, Standing
    from outbox.importing.transfer import Tally

_COLUMNS = (
    Column("task"),
    Column("queue", "whole"),
    Column("waiting", "number"),
    Column("running", "number"),
    Column("failed", "number"),
    Column("becomes"),
)
_SHOWN = 30


@dataclass
class Found:
    """All there is to tell of one import."""

    name: str
    standings: Sequence[Standing]
    tally: Tally
    periodics: Sequence[Periodic]
    unmapped: Sequence[Standing]

    @property
    def exit_code(self) -> int:
        """Return 1 where something stays that nobody said should."""
        held = self.name == "post-office" and self.count("running")
        return FAILED if self.unmapped or self.tally.left or held else 0

    def count(self, state: str) -> int:
        """Return how many are in a state."""
        return sum(each.count for each in self.standings if each.state == state)


def foretell(found: Found, *, as_json: bool) -> None:
    """Print what would become of what."""
    if as_json:
        would = _document(found) | {"samples": [_sample(*each) for each in found.tally.samples.items()]}
        print_json({"standings": [asdict(each) for each in found.standings], "would": would})
        return
    if not found.standings:
        note(f"{found.name} holds nothing")
    else:
        print_table(_COLUMNS, _rows(found))
        say()
    say(f"would import {found.tally.imported.total():,}")
    _tell_left(found)
    for task, given in found.tally.samples.items():
        sample = _sample(task, given)
        template = f", template {sample['template']}" if sample["template"] else ""
        payload = ", ".join(sample["payload"]) or "nothing"
        say(f"  such as {task}: {sample['channel']} to {sample['recipient']}{template}, with {payload}")
    _tell_periodics(found)


def tell(found: Found, *, as_json: bool) -> None:
    """Print what was done."""
    if as_json:
        print_json(_document(found))
        return
    done(f"imported {found.tally.imported.total():,} from {found.name}")
    if existing := found.tally.existing.total():
        say(f"  {existing:,} were notifications already, by their idempotency keys")
    _tell_left(found)
    _tell_periodics(found)


def _tell_left(found: Found) -> None:
    for (task, why), count in found.tally.left.most_common(_SHOWN):
        say(f"  {count:,} of {task} stay: {why}")
    if len(found.tally.left) > _SHOWN:
        say(f"  and others for {counted(len(found.tally.left) - _SHOWN, 'more reason')}")
    for standing in found.unmapped:
        say(f"  {standing.count:,} of {standing.task} stay: the mapping does not have it")
    if running := found.count("running"):
        emails = "may be in a sender's hands, and stay: see --senders-stopped"
        say(f"  {running:,} {emails if found.name == 'post-office' else 'run this moment, and are left alone'}")


def _tell_periodics(found: Found) -> None:
    if not found.periodics:
        return
    note("started again and again there; here they are schedules, of a query each:")
    for each in found.periodics:
        cron = each.cron or "CRON, as in your code"
        name = each.task.rpartition(".")[2].replace("_", "-")
        note(f'  outbox schedule add {name} "{cron}" --channel … --sql "SELECT … AS recipient"   # {each.task}')


def _rows(found: Found) -> list[list[str]]:
    counts: dict[tuple[str, str], Counter[str]] = {}
    for each in found.standings:
        counts.setdefault((each.task, each.queue), Counter())[each.state] += each.count
    samples = found.tally.samples
    return [
        [
            task,
            queue,
            *(f"{states[state]:,}" for state in ("waiting", "running", "failed")),
            _becomes(samples.get(task)),
        ]
        for (task, queue), states in counts.items()
        if states.keys() - {"ended"}
    ]


def _becomes(given: Mapping[str, Any] | None) -> str:
    if given is None:
        return "-"
    return f"{given['channel']}{', ' + given['template'] if given.get('template') else ''}"


def _sample(task: str, given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "task": task,
        "channel": given["channel"],
        "recipient": given["recipient"] if given["recipient"] == given["channel"] else mask(given["recipient"]),
        "template": given.get("template"),
        "payload": sorted(given["payload"]),
        "run_at": given.get("run_at"),
        "idempotency_key": given["idempotency_key"],
    }


def _document(found: Found) -> dict[str, Any]:
    left = [{"task": task, "why": why, "count": count} for (task, why), count in found.tally.left.items()]
    unmapped = [{"task": each.task, "queue": each.queue, "count": each.count} for each in found.unmapped]
    return {
        "source": found.name,
        "imported": found.tally.imported.total(),
        "existing": found.tally.existing.total(),
        "by_task": dict(found.tally.imported),
        "left": left,
        "unmapped": unmapped,
        "running": found.count("running"),
        "periodic": [{"task": each.task, "cron": each.cron} for each in found.periodics],
    }
