"""Replaying a group: a few first, then the rest, by steps that the page asks for.

Nothing is kept between two steps but what the database knows: the audit's entry of the first step is the replay's id,
it says when it began and which letters went first. So a page that is closed stops it, whoever opens its address again
goes on with it, and it does not matter which process answers.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.routing import Route

from outbox.queue.audit import list_audit
from outbox.queue.canary import Canary, fare
from outbox.queue.dead_letters import find_dead_letters, page_dead_letters, read_dead_letters
from outbox.queue.judge import judge
from outbox.queue.letter_selection import Selection, subject_of
from outbox.queue.replay import replay
from outbox.web.actions import action, text
from outbox.web.fields import asked, number
from outbox.web.group import BUDGET, CHUNK, members
from outbox.web.rendering import redirect
from outbox.web.replay_plan import MOST_FIRST, MOST_JUDGED, in_the_way
from outbox.web.services import services
from outbox.web.sessions import complain
from outbox.web.users import actor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.datastructures import FormData
    from starlette.requests import Request
    from starlette.responses import Response

    from outbox.queue.audit import Entry
    from outbox.queue.dead_letters import DeadLetter

_MOST_STEPS = 5_000
MOST_COUNTED = 5_000


@dataclass(frozen=True, slots=True)
class How:
    """How a replay goes about it: what its address says."""

    channel: str
    first: int
    """How many went first; 0 where all go at once."""
    share: float
    """Which share of them has to be sent, in percent."""
    rate: float
    """How many become due in a second; 0 where all do at once."""
    skip: int = 0
    """So many of the oldest are left alone, and stay open."""
    insists: bool = False
    """The rest follows, however the first fared."""
    stopped: bool = False

    @classmethod
    def of(cls, given: Callable[[str], str]) -> How:
        """Return what is given by name.

        Raises:
            HTTPException: 400, one of the numbers is none.
        """
        return cls(
            given("channel"),
            int(number(given("first"), "How many go first", least=0, most=MOST_FIRST, default=0)),
            number(given("share"), "The share that has to be sent", least=1, most=100, default=100),
            number(given("rate"), "The rate", least=0, most=100_000, default=0),
            int(number(given("skip"), "skip", least=0, most=10_000_000, default=0)),
            given("insists") == "yes",
            given("stopped") == "yes",
        )

    def query(self, **other: Any) -> dict[str, Any]:
        """Return it as the address has it."""
        values = {"channel": self.channel, "first": self.first, "share": f"{self.share:g}", "rate": f"{self.rate:g}"}
        values |= {"skip": self.skip, "insists": "yes" if self.insists else ""}
        return {name: value for name, value in (values | other).items() if value not in {"", "0", 0}}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a replay has come: `steps` are the audit's entries of it, the first one last."""

    steps: Sequence[Entry]
    canary: Canary | None
    """None where all went at once."""
    passed: bool | None
    """Whether the first few were sent, so that the rest may follow; None while they have not ended."""

    @property
    def begun(self) -> Entry:
        """The entry of its first step."""
        return self.steps[-1]

    @property
    def done(self) -> int:
        """How many were put back."""
        return sum(int(each.details["replayed"]) for each in self.steps)


@dataclass(frozen=True, slots=True)
class Seen:
    """All that the page tells; `rest` are still to follow, five thousand of them at most."""

    progress: Progress
    example: DeadLetter | None
    rest: int
    warnings: Sequence[str]


@action()
async def begin(request: Request, form: FormData) -> Response:
    """Replay the first few, or the first thousand, and go on to the page that does the rest."""
    identity, how = request.path_params["id"], How.of(lambda name: text(form, name, longest=200))
    given: dict[str, Any] = {"who": actor(request), "reason": text(form, "reason") or None}
    entry = await services(request).database.write(_begin, identity, how, **given)
    if entry is None:
        complain(request, "Nothing was replayed: all that is open is left alone, for the reasons below.")
        return redirect(request, "dead_letters_replay", id=identity)
    return redirect(request, "dead_letters_replaying", how.query(), id=identity, entry=entry)


def _begin(conn: Any, id: str, how: How, *, who: str, reason: str | None) -> int | None:  # noqa: A002
    """Replay so many of the oldest that a replay would put back: others would prove nothing."""
    wanted = how.first or CHUNK
    chosen: list[UUID] = []
    for limit in (2 * CHUNK, MOST_JUDGED):  # hardly ever the second, which takes seconds of a large group
        ids, chosen = find_dead_letters(conn, _of(id, how), limit=limit), []
        for start in range(0, len(ids), CHUNK):
            verdicts = judge(conn, ids[start : start + CHUNK])
            chosen += [each.id for each in verdicts if each.verdict in {"replay", "anew"}]
            if len(chosen) >= wanted:
                break
        if len(chosen) >= wanted or len(ids) < limit:
            break
    rate = None if how.first else how.rate or None
    done = replay(conn, chosen[:wanted], rate=rate, actor=who, reason=reason, selected=members(id))
    if not len(done):
        return None
    return list_audit(conn, subject=subject_of(chosen, members(id)), actor=who, actions=["replay"], limit=1)[0].id


async def show(request: Request) -> Response:
    """Show how far it has come: a part of the page asks for this again and again."""
    how, identity, entry = _how(request), request.path_params["id"], request.path_params["entry"]
    seen = await services(request).database.read(look, identity, entry, how)
    if seen is None:
        raise HTTPException(404, "There is no such replay.")
    shown: dict[str, Any] = {"seen": seen, "how": how, "id": identity, "entry": entry, "most": MOST_COUNTED}
    return services(request).pages.page(request, "replay.html", **shown)


def look(conn: Any, id: str, entry: int, how: How) -> Seen | None:  # noqa: A002
    """Return how far a replay has come, and what is still to follow."""
    progress = _progress(conn, id, entry, how)
    if progress is None:
        return None
    letters = page_dead_letters(conn, _of(id, how), limit=1) or _example(conn, progress)
    rest = len(_rest(conn, id, progress, how, limit=MOST_COUNTED + how.skip))
    warnings = in_the_way(conn, how.channel) if progress.passed is None else []
    return Seen(progress, letters[0] if letters else None, max(rest - how.skip, 0), warnings)


def _example(conn: Any, progress: Progress) -> list[DeadLetter]:
    """Return one of those that went first, where none is open any more."""
    ids = [UUID(each) for step in progress.steps for each in step.details.get("ids", [])[:1]]
    return [letter for letter, _ in read_dead_letters(conn, ids[:1])]


def _progress(conn: Any, id: str, entry: int, how: How) -> Progress | None:  # noqa: A002
    every = list_audit(conn, subject=str(members(id)), actions=["replay"], limit=_MOST_STEPS)
    steps = [each for each in every if each.id >= entry]
    if not steps or steps[-1].id != entry:
        return None
    if not how.first:
        return Progress(steps, None, passed=True)
    letters = read_dead_letters(conn, [UUID(each) for each in steps[-1].details.get("ids", [])])
    canary = fare(conn, [letter.replaced_by or letter.id for letter, _ in letters])
    return Progress(steps, canary, canary.verdict(how.share / 100))


def _of(id: str, how: How) -> Selection:  # noqa: A002
    """Return the group's letters: those of its channel, for that there is an index."""
    return Selection(channels=[how.channel] if how.channel else [], groups=[id])


def _rest(conn: Any, id: str, progress: Progress, how: How, *, limit: int) -> list[UUID]:  # noqa: A002
    """Return those that were dead when it began, the oldest first: none that died of it since."""
    mine = Selection(channels=_of(id, how).channels, groups=[id], until=_since(conn, progress.begun))
    return find_dead_letters(conn, mine, limit=limit)


def _since(conn: Any, entry: Entry) -> float:
    """Return the seconds since an entry was written, by the database's clock."""
    ((seconds,),) = conn.execute("SELECT extract(epoch FROM clock_timestamp() - %s)", [entry.at]).fetchall()
    return max(float(seconds), 0.0)


@action()
async def step(request: Request, form: FormData) -> Response:
    """Replay the next thousands, for as long as the budget lasts, and go back to the page."""
    how, identity, entry = _how(request), request.path_params["id"], request.path_params["entry"]
    insists, skip, end = how.insists or text(form, "insists") == "yes", how.skip, time.monotonic() + BUDGET
    while time.monotonic() < end:
        now = How(how.channel, how.first, how.share, how.rate, skip, insists)
        left = await services(request).database.write(_step, identity, entry, now, who=actor(request))
        if left is None:
            break
        skip += left
    query = how.query(skip=skip, insists="yes" if insists else "")
    return redirect(request, "dead_letters_replaying", query, id=identity, entry=entry)


def _step(conn: Any, id: str, entry: int, how: How, *, who: str) -> int | None:  # noqa: A002
    """Replay a thousand; return how many of them were left alone, or None where nothing is to follow."""
    progress = _progress(conn, id, entry, how)
    if progress is None or not (progress.passed or how.insists):
        return None
    ids = _rest(conn, id, progress, how, limit=how.skip + CHUNK)[how.skip :]
    if not ids:
        return None
    given: dict[str, Any] = {
        "rate": how.rate or None,
        "after": _after(conn, progress, how),
        "reason": progress.begun.reason,
    }
    return len(replay(conn, ids, actor=who, selected=members(id), **given).skipped)


def _after(conn: Any, progress: Progress, how: How) -> float:
    """Return in how many seconds the next one is due, so that the rate is kept from step to step."""
    steps = progress.steps[:-1] if how.first else progress.steps
    if not how.rate or not steps:
        return 0.0
    put_back = sum(int(each.details["replayed"]) for each in steps)
    return max(put_back / how.rate - _since(conn, steps[-1]), 0.0)


def _how(request: Request) -> How:
    return How.of(lambda name: asked(request, name))


_GROUP = "/dead-letters/groups/{id:group}/replay"
ROUTES = [
    Route(_GROUP, begin, name="dead_letters_replay_begin", methods=["POST"]),
    Route(f"{_GROUP}s/{{entry:int}}", show, name="dead_letters_replaying", methods=["GET"]),
    Route(f"{_GROUP}s/{{entry:int}}", step, name="dead_letters_replay_step", methods=["POST"]),
]
