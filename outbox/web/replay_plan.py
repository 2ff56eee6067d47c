"""Before a group is replayed: what that would do, in numbers, and what would keep it waiting."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from outbox.queue.dead_letters import find_dead_letters
from outbox.queue.inspect import live_workers
from outbox.queue.judge import judge
from outbox.queue.letter_selection import Selection
from outbox.queue.paused import list_pauses
from outbox.telling.forecast import WHY_NOT, Forecast
from outbox.telling.pauses import sentence
from outbox.web.group import BUDGET, CHUNK, find
from outbox.web.rendering import redirect
from outbox.web.services import services
from outbox.web.sessions import complain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from outbox.queue.letter_groups import Group

MOST_FIRST = 100
MOST_JUDGED = 10_000
_TOO_OFTEN = "replayed three times and dead each time; outbox dead-letters replay --again replays them all the same"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a replay would do with a group; `looked_at` of its letters were judged, if not all of them."""

    group: Group
    forecast: Forecast
    looked_at: int
    warnings: Sequence[str]

    @property
    def left_alone(self) -> Sequence[tuple[str, int]]:
        """Why some would be left alone, and how many."""
        return left_alone(self.forecast.skipped.values())


def left_alone(verdicts: Iterable[str]) -> list[tuple[str, int]]:
    """Return why letters were left alone, and how many of them, the most first."""
    words = Counter(_TOO_OFTEN if verdict == "too_often" else WHY_NOT[verdict] for verdict in verdicts)
    return words.most_common()


def plan(conn: Any, id: str) -> Plan | None:  # noqa: A002 - as the page calls it
    """Return what a replay would do, or None where nothing of the group is open."""
    group, judged, end = find(conn, id), [], time.monotonic() + BUDGET
    if group is None:
        return None
    ids = find_dead_letters(conn, Selection(channels=[group.channel], groups=[id]), limit=MOST_JUDGED)
    for start in range(0, len(ids), CHUNK):
        if time.monotonic() > end:
            break
        judged += judge(conn, ids[start : start + CHUNK])
    return Plan(group, Forecast(judged), len(judged), in_the_way(conn, group.channel))


def in_the_way(conn: Any, channel: str) -> list[str]:
    """Return what would keep a replay waiting."""
    said = [f"{sentence(each)}." for each in list_pauses(conn) if (each.scope, each.name) == ("channel", channel)]
    if not live_workers(conn, [channel]):
        said.append(f"No live worker serves {channel}: what is replayed waits until one does.")
    return said


async def ask(request: Request) -> Response:
    """Show what a replay would do, and ask how."""
    found = await services(request).database.read(plan, request.path_params["id"])
    if found is None:
        complain(request, "None of this group is open any more.")
        return redirect(request, "dead_letters")
    return services(request).pages.page(request, "group_replay.html", plan=found, most=MOST_FIRST)


ROUTES = [Route("/dead-letters/groups/{id:group}/replay", ask, name="dead_letters_replay", methods=["GET"])]
