"""A run in words: the search knows states but for the names of workers and claims, which a reader wants to keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.model import steps
from tests.model.state import ABSENT, WORKERS, Hand, Notification
from tests.model.verbs import VERBS, ways

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.model.database import Row
    from tests.model.search import Event, Found
    from tests.model.state import Lease

NAMES = "AB"
_OWNERS = (*NAMES, "a dead worker")

_SAID = {
    "claim": "{worker} claims {which}",
    "claim others": "{worker} claims {which}",
    "claim, too many": "{worker} claims {which}, and gives it back: one suspect is enough",
    "claim slowly": "{worker} claims {which}; the answer is on its way",
    "claim slowly others": "{worker} claims {which}; the answer is on its way",
    "hear": "{worker} hears what it has claimed",
    "hear, too many": "{worker} hears what it has claimed, and gives it back: one suspect is enough",
    "miss": "the answer to {worker}'s claim is lost",
    "write": "{worker} settles {which}: {how}",
    "write slowly": "{worker} settles {which}: {how}; the acknowledgement is on its way",
    "write again": "the acknowledgement is lost, and {worker} settles {which} again",
    "acknowledge": "{worker} hears what became of its settlement",
    "expire": "{worker} is frozen until its clock has passed the deadline",
    "crash": "{worker} crashes",
    "dies": "{worker} dies of it",
}


class _Raw(NamedTuple):
    """A step of one notification, with the claims' own numbers."""

    verb: str
    worker: int | None
    how: str
    after: Notification


def told(found: Found) -> Iterator[str]:
    """Yield the lines of the run that broke a promise: each step, and what there is after it."""
    world = found.world
    both = [Notification(), ABSENT]
    start = found.run[0] if found.run else None
    if start is not None and world.absent not in start[:2]:
        both = [Notification(kills=found.rules.killer), Notification()]
    for number, event in enumerate(found.run, 1):
        did, both = _followed(found, both, event)
        yield f"{number:4}  {_said(did, both)}"
        for which, (one, step) in enumerate(zip(both, did, strict=True), 1):
            if step is not None:
                yield f"        {_named(which, both)}: {shown(one)}"
    yield f"   => {found.broke}"


def _followed(found: Found, both: list[Notification], event: Event) -> tuple[Sequence[_Raw | None], list[Notification]]:
    """Return the step from here that the event stands for, whatever the names are here."""
    world = found.world
    target = world.whole(event.first, event.second)
    wanted = sorted((half.verb, half.how) for half in event.pair if half is not None)
    for did in _tries(both, found.rules):
        after = [one if step is None else step.after for one, step in zip(both, did, strict=True)]
        if sorted((step.verb, step.how) for step in did if step is not None) != wanted:
            continue
        first, second = (world.number(world.known(one)) for one in after)
        if world.whole(first, second) == target:
            return did, after
    raise AssertionError(f"no such step: {wanted}")


def _tries(both: list[Notification], rules: steps.Rules) -> Iterator[Sequence[_Raw | None]]:
    first, second = (list(_raw(one, rules)) for one in both)
    yield from ([step, None] for step in first)
    yield from ([None, step] for step in second)
    for one in first:
        yield from ([one, other] for other in second if one.worker is not None and one.worker == other.worker)


def _raw(one: Notification, rules: steps.Rules) -> Iterator[_Raw]:
    for step in steps.alone(one, rules):
        yield _Raw(step.does, step.worker, "", step.after)
    for worker in WORKERS:
        for verb in VERBS:
            for how, way in ways(verb, worker, one, rules):
                yield _Raw(verb, worker, how, way[-1])


def _said(did: Sequence[_Raw | None], both: list[Notification]) -> str:
    done = [(which, step) for which, step in enumerate(did, 1) if step is not None]
    which = " and ".join(_named(number, both) for number, _ in done)
    _, step = done[0]
    worker = "" if step.worker is None else NAMES[step.worker]
    if step.verb in _SAID:
        how = " and ".join(each.how for _, each in done)
        return _SAID[step.verb].format(worker=worker, which=which, how=how)
    return f"{which} {step.verb} {worker}".rstrip()


def _named(which: int, both: list[Notification]) -> str:
    return "it" if ABSENT in both else f"n{which}"


def shown(one: Notification) -> str:
    """Return all that there is of a notification on one line."""
    parts = [_shown_row(one.tables.row) if one.stage == "committed" or one.tables.row else f"transaction {one.stage}"]
    if one.tables.attempts:
        parts.append("attempts: " + ", ".join(f"{claim} {outcome}" for claim, outcome in one.tables.attempts))
    if one.tables.letter:
        parts.append(f"dead letter: {one.tables.letter}")
    parts += [f"{NAMES[worker]} {text}" for worker in WORKERS if (text := _shown_hand(one.hands[worker]))]
    return " | ".join(parts)


def _shown_row(row: Row | None) -> str:
    if row is None:
        return "not in the queue"
    whose = "nobody's" if row.worker is None else f"{_OWNERS[row.worker]}'s"
    lapsed = "due" if row.worker is None else "lapsed"
    more = [lapsed] * row.due + ["locked"] * row.locked + [f"{row.lost} lost"] * bool(row.lost)
    return ", ".join([f"claim {row.claim} {whose}", f"attempt {row.attempt}", *more])


def _shown_hand(hand: Hand) -> str:
    parts = []
    if hand.coming is not None:
        parts.append(f"will hear of claim {hand.coming.claim}")
    for lease, name in ((hand.held, "has"), (hand.former, "had")):
        if lease is not None:
            parts.append(f"{name} claim {_shown_lease(lease)}")
    return " and ".join(parts)


def _shown_lease(lease: Lease) -> str:
    phase: str = lease.phase
    if lease.outcome is not None:
        phase = f"{phase}: {lease.outcome.name}"
    if lease.written not in {None, lease.claim}:
        phase = f"{phase} under {lease.written}"
    return f"{lease.claim} ({phase}{'' if lease.trusted else ', past its deadline'})"
