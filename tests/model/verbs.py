"""The verbs of a worker: what one statement, answer or accident does to one notification, and when it may."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from tests.model import steps
from tests.model.state import Hand, Notification

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.model.steps import Rules

Do: TypeAlias = "Callable[[Notification, int, Rules], Notification | None]"

# What is answered late, or never, is a mishap. An answer at once is one step with its statement.
VERBS: dict[str, tuple[Do, ...]] = {
    "claim": (steps.claim, steps.hear),
    "claim others": (steps.claim_others, steps.hear),
    "claim, too many": (steps.claim, steps.hear, steps.give_back),
    "claim slowly": (steps.claim,),
    "claim slowly others": (steps.claim_others,),
    "hear": (steps.hear,),
    "hear, too many": (steps.hear, steps.give_back),
    "miss": (steps.miss,),
    "write": (steps.write, steps.acknowledge),
    "write slowly": (steps.write,),
    "write again": (steps.unheard, steps.write, steps.acknowledge),
    "acknowledge": (steps.acknowledge,),
    "expire": (steps.expire,),
    "crash": (steps.crash,),
    "dies": (steps.crash,),
}
MISHAPS = frozenset({"expire", "crash", "claim slowly", "claim slowly others", "write slowly"})
UNFAIR = MISHAPS | {"miss", "write again"}
TAKES = frozenset({"claim", "hear"})
_ENDS = frozenset({"write", "write slowly"})


class Busy(NamedTuple):
    """What a worker is about with one notification."""

    coming: bool
    writing: bool
    suspect: bool
    anything: bool
    dying: bool
    """It sends what kills it."""


def busy(one: Notification, worker: int) -> Busy:
    """Return what this worker is about with it."""
    hand, row = one.hands[worker], one.tables.row
    if hand == Hand() and (row is None or row.worker != worker):
        return _IDLE
    leases = hand.leases()
    return Busy(
        coming=hand.coming is not None,
        writing=any(lease.phase == "writing" for lease in leases),
        suspect=any(lease.suspect for lease in leases),
        anything=True,
        dying=one.kills and any(lease.phase == "sending" for lease in leases),
    )


_IDLE = Busy(coming=False, writing=False, suspect=False, anything=False, dying=False)


def ways(verb: str, worker: int, one: Notification, rules: Rules) -> Iterator[tuple[str, list[Notification]]]:
    """Yield each way in which it may happen: in a word, and every state on the way."""
    ends = steps.endings(one, worker, slow=verb in MISHAPS) if verb in _ENDS else [("", one)]
    for how, start in ends:
        way = [start]
        for do in VERBS[verb]:
            after = do(way[-1], worker, rules)
            if after is None:
                break
            way.append(after)
        else:
            yield how, way


def verbs_alone(here: Busy, beside: Busy) -> Iterator[str]:
    """Yield what may happen to one of two. A worker has one claim under way at a time, and one settlement."""
    if here.coming and not beside.coming:
        yield from ("hear", "miss")
    elif not here.coming and not beside.coming:
        others = " others" if here.suspect or beside.suspect else ""
        yield from ("claim" + others, "claim slowly" + others)
    if here.writing and not beside.writing:
        yield from ("acknowledge", "write again")
    elif not here.writing and not beside.writing:
        yield from ("write", "write slowly")
    if here.anything:
        yield "expire"
        if not beside.anything:
            yield "crash"
            if here.dying:
                yield "dies"


def verbs_shared(here: Busy, *, is_beside_a_killer: bool) -> Iterator[str]:
    """Yield what may happen to both of two at once. Two statements, each answered at once, are no other than one."""
    if here.coming:
        yield from ("hear", "miss")
    elif not here.suspect:
        yield from ("claim", "claim slowly")
    yield from ("acknowledge", "write again") if here.writing else ("write slowly",)
    yield from ("expire", "crash")
    if here.dying or (here.anything and is_beside_a_killer):
        yield "dies"
