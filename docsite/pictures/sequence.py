"""One notification, from the enqueue to the settlement: who says what to whom, in their order."""

from __future__ import annotations

from typing import NamedTuple

from docsite.pictures.drawing import Arrow, Box, Label, Picture, Point

ACTORS = ("Your application", "PostgreSQL", "Worker", "Provider")


class Message(NamedTuple):
    """One line of the sequence: from whom to whom, by their numbers; to oneself is a deed."""

    source: int
    target: int
    words: str
    kind: str = ""
    below: str = ""


MESSAGES = (
    Message(0, 1, "INSERT INTO users …", "strong"),
    Message(0, 1, "enqueue: INSERT INTO outbox.notifications …", "strong", "triggers put it into outbox.queue"),
    Message(0, 1, "COMMIT", "strong", "both are there, or neither"),
    Message(1, 2, "NOTIFY, if a worker sleeps", "dashed"),
    Message(2, 1, "claim: UPDATE … FOR UPDATE SKIP LOCKED", "good", "commits: a lease, and its number"),
    Message(1, 2, "what to send, and to whom", ""),
    Message(2, 2, "consent, render"),
    Message(2, 3, "send, with an idempotency key", "good", "no transaction is open"),
    Message(3, 2, "accepted, with an id", ""),
    Message(2, 1, "settle: many outcomes in one statement", "good", "fenced by the claim's number; commits"),
)
_FIRST, _STEP = 106, 44
_LANES = (130, 410, 690, 910)


def draw() -> Picture:
    """Draw them."""
    bottom = _FIRST + _STEP * len(MESSAGES)
    heads = [
        Box(x - 70, 50, 140, 32, name, kind=kind)
        for x, name, kind in zip(_LANES, ACTORS, ("blue", "blue", "green", "amber"), strict=True)
    ]
    grounds = [_around(0, 2, 0, "blue"), _around(4, 9, 2, "green")]
    threads = [Arrow((Point(x, 82), Point(x, bottom)), kind="thread", head=False) for x in _LANES]
    arrows = []
    labels = [Label(24, 32, "From the enqueue to the settlement", kind="big")]
    for row, message in enumerate(MESSAGES):
        y = _FIRST + _STEP * row + 14
        begin, end = _LANES[message.source], _LANES[message.target]
        if begin == end:
            labels.append(Label(begin + 14, y, message.words, kind="small"))
            continue
        side = 5 if end > begin else -5
        arrows.append(
            Arrow(
                (Point(begin + side, y), Point(end - side, y)),
                message.words,
                Point((begin + end) / 2, y - 6),
                kind=message.kind,
            )
        )
        labels.append(Label((begin + end) / 2, y + 14, message.below, "middle", "quiet"))
    return Picture(
        "sequence",
        "From the enqueue to the settlement",
        "; ".join(
            f"{ACTORS[one.source]} to {ACTORS[one.target]}: {one.words}{f' ({one.below})' if one.below else ''}"
            for one in MESSAGES
        ),
        1040,
        bottom + 24,
        [*heads, *grounds],
        [*threads, *arrows],
        [label for label in labels if label.words],
    )


def _around(first: int, last: int, lane: int, kind: str) -> Box:
    """The time for which somebody is at it."""
    top = _FIRST + _STEP * first + 6
    return Box(_LANES[lane] - 5, top, 10, _STEP * (last - first) + 20, kind=kind, radius=3)
