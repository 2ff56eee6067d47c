"""The life of a notification: its states, as outbox.status has them, and what leads from one to another."""

from __future__ import annotations

from typing import NamedTuple

from docsite.pictures.drawing import Arrow, Box, Label, Picture, Point

WAITING = ("scheduled", "blocked", "due", "retrying", "deferred")
ENDS = ("sent", "dead", "expired", "suppressed", "cancelled")


class Transition(NamedTuple):
    """A way from one state to another: by which verb of outbox/queue, or by `time`; at a settlement, the outcome."""

    source: str
    target: str
    by: str
    outcome: str = ""


# A test makes each of them happen, and holds the list against the view, the outcomes and the verbs that there are.
TRANSITIONS = (
    Transition("", "due", "enqueue"),
    Transition("", "scheduled", "enqueue"),
    Transition("", "blocked", "enqueue"),
    Transition("scheduled", "due", "time"),
    Transition("blocked", "due", "settle", "sent"),
    Transition("due", "leased", "claim"),
    Transition("leased", "due", "release"),
    Transition("leased", "due", "time"),
    Transition("leased", "retrying", "settle", "retry"),
    Transition("leased", "retrying", "settle", "ambiguous"),
    Transition("leased", "deferred", "settle", "deferred"),
    Transition("retrying", "due", "time"),
    Transition("deferred", "due", "time"),
    Transition("leased", "sent", "settle", "sent"),
    Transition("leased", "dead", "settle", "dead"),
    Transition("leased", "expired", "settle", "expired"),
    Transition("leased", "suppressed", "settle", "suppressed"),
    Transition("leased", "cancelled", "settle", "cancelled"),
    Transition("due", "cancelled", "cancel"),
    Transition("scheduled", "cancelled", "cancel"),
    Transition("blocked", "cancelled", "cancel"),
    Transition("retrying", "cancelled", "cancel"),
    Transition("deferred", "cancelled", "cancel"),
    Transition("dead", "due", "replay"),
)

_MEANINGS = {
    "scheduled": "its time lies ahead",
    "blocked": "stands in a line",
    "due": "waits for a worker",
    "leased": "in a worker's hands",
    "retrying": "failed, comes back",
    "deferred": "was not tried",
    "sent": "the provider has it",
    "dead": "given up: look at it",
    "expired": "too late",
    "suppressed": "must not be contacted",
    "cancelled": "taken back",
}


def draw() -> Picture:
    """Draw them."""
    place = {
        "scheduled": Box(150, 70, 150, 48, kind="blue"),
        "due": Box(150, 170, 150, 48, kind="blue"),
        "blocked": Box(150, 270, 150, 48, kind="blue"),
        "leased": Box(470, 170, 150, 48, kind="green"),
        "retrying": Box(310, 366, 150, 48, kind="amber"),
        "deferred": Box(500, 366, 150, 48, kind="amber"),
    }
    kinds = {"sent": "green", "dead": "red"}
    for row, state in enumerate(ENDS):
        place[state] = Box(800, 54 + 76 * row, 170, 48, kind=kinds.get(state, "plain"))
    boxes = [Box(**{**vars(box), "title": state, "lines": (_MEANINGS[state],)}) for state, box in place.items()]
    return Picture(
        "states",
        "The life of a notification",
        _in_words(),
        1000,
        480,
        boxes,
        [*_arrows(place), *_ends(place)],
        [
            Label(24, 34, "The life of a notification", kind="big"),
            Label(885, 34, "ends", "middle", "quiet"),
            Label(24, 458, f"cancel takes back whatever waits: {', '.join(WAITING)}.", kind="quiet"),
        ],
    )  # fmt: skip


def _arrows(place: dict[str, Box]) -> list[Arrow]:
    due, leased, scheduled, blocked = place["due"], place["leased"], place["scheduled"], place["blocked"]
    retrying, deferred = place["retrying"], place["deferred"]
    begin, left = Point(34, due.at("left").y), due.at("left")
    claim, release = Point(385, due.at("right", 0.42).y - 6), Point(385, due.at("right", 0.8).y + 15)
    return [
        *(
            Arrow((begin, Point(96, left.y), Point(96, to.at("left").y), to.at("left")), kind="strong")
            for to in (scheduled, blocked)
        ),
        Arrow((begin, left), "enqueue", Point(63, left.y - 8), kind="strong"),
        Arrow((scheduled.at("bottom"), due.at("top")), "its time comes", Point(233, 148), "start"),
        Arrow((blocked.at("top"), due.at("bottom")), "the one ahead ends", Point(233, 248), "start"),
        Arrow((due.at("right", 0.42), leased.at("left", 0.42)), "claim", claim, kind="good"),
        Arrow((leased.at("left", 0.8), due.at("right", 0.8)), "release, or the lease ends", release, kind="dashed"),
        Arrow(
            (leased.at("bottom", 0.2), Point(500, 300), Point(400, 300), retrying.at("top", 0.6)),
            "retry, ambiguous",
            Point(446, 292),
        ),
        Arrow((leased.at("bottom", 0.7), deferred.at("top", 0.5)), "deferred", Point(584, 330), "start"),
        *_returns(place),
    ]


def _returns(place: dict[str, Box]) -> list[Arrow]:
    due, retrying, deferred, dead = place["due"], place["retrying"], place["deferred"], place["dead"]
    low, lower = due.at("left", 0.75), due.at("left", 0.58)
    above, into = dead.at("right"), due.at("right", 0.12)
    return [
        Arrow(
            (retrying.at("left"), Point(126, 390), Point(126, low.y), low),
            "after its backoff",
            Point(220, 383),
            kind="dashed",
        ),
        Arrow(
            (deferred.at("bottom"), Point(575, 434), Point(110, 434), Point(110, lower.y), lower),
            "when it may be tried",
            Point(340, 428),
            kind="dashed",
        ),
        Arrow(
            (above, Point(986, above.y), Point(986, 18), Point(330, 18), Point(330, into.y), into),
            "replay",
            Point(640, 30),
            kind="bad",
        ),
    ]


def _ends(place: dict[str, Box]) -> list[Arrow]:
    """The outcomes that end it; those without a colour first, for what they share is drawn over."""
    begin, trunk = place["leased"].at("right"), 700
    kinds = {"sent": "good", "dead": "bad"}
    return [
        Arrow(
            (begin, Point(trunk, begin.y), Point(trunk, place[end].at("left").y), place[end].at("left")),
            end,
            Point(750, place[end].at("left").y - 7),
            kind=kinds.get(end, ""),
        )
        for end in sorted(ENDS, key=lambda end: end in kinds)
    ]


def _in_words() -> str:
    """The whole list, for whoever cannot see the picture."""
    ways = [
        f"{way.source or 'nothing'} to {way.target} by {way.by}{f' ({way.outcome})' if way.outcome else ''}"
        for way in TRANSITIONS
    ]
    return f"States that wait: {', '.join(WAITING)}; in hand: leased; ends: {', '.join(ENDS)}. Ways: {'; '.join(ways)}."
