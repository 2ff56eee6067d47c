"""A worker freezes with a notification in hand: its lease runs out, another takes over, its late word is refused."""

from __future__ import annotations

from docsite.pictures.drawing import Arrow, Box, Label, Picture, Point
from outbox.config import WorkerConfig

LEASE = WorkerConfig().lease  # seconds
_RENEWAL = LEASE / 3
_LEFT, _SCALE = 120, 10.4  # where the time begins, and how long a second is
_FIRST, _SECOND, _ROW = 66, 176, 260


def draw() -> Picture:
    """Draw it."""
    frozen = 2 * _RENEWAL + 3
    lapses = 2 * _RENEWAL + LEASE
    late = lapses + 16
    ends = lapses + 6
    first = [
        Box(_x(0), _FIRST, _x(frozen) - _x(0), 40, "claim 1: sending", kind="green"),
        Box(_x(frozen), _FIRST, _x(late) - _x(frozen), 40, "frozen: no renewal comes", kind="red"),
    ]
    second = Box(_x(lapses), _SECOND, _x(ends) - _x(lapses) + 56, 40, "claim 2: sends", kind="green")
    row = [
        Box(_x(0), _ROW, _x(lapses) - _x(0), 28, "leased by worker 1", kind="plain", small=True),
        Box(_x(lapses), _ROW, second.at("right").x - _x(lapses), 28, "by worker 2", kind="plain", small=True),
        Box(second.at("right").x + 6, _ROW, 76, 28, "sent", kind="green", small=True),
    ]
    renewals = [
        Arrow((Point(_x(_RENEWAL * turn), _FIRST + 40), Point(_x(_RENEWAL * turn), _ROW)), kind="good")
        for turn in (1, 2)
    ]
    return Picture(
        "lease",
        "What a lease and a fence are for",
        f"Worker 1 claims a notification for {LEASE:g} seconds, and renews its lease every {_RENEWAL:g} seconds. It "
        "freezes, and no renewal comes. When the lease is over, the notification is due again, and worker 2 claims "
        "it: claim 2. It sends, and settles. When worker 1 wakes, what it has to say carries claim 1: a failure "
        "changes nothing any more; an acceptance is written down, since the person has the message.",
        1040,
        364,
        [*first, second, *row],
        [
            *renewals,
            Arrow((Point(_x(lapses), _ROW), Point(_x(lapses), _SECOND + 40)), kind="good"),
            Arrow((Point(second.at("right").x, _SECOND + 40), Point(second.at("right").x, _ROW)), kind="good"),
            Arrow((Point(_x(late), _FIRST + 40), Point(_x(late), _SECOND - 22)), kind="bad"),
            Arrow((Point(_x(0), 314), Point(1010, 314))),
        ],
        [
            Label(24, 34, "A worker freezes, and wakes too late", kind="big"),
            Label(24, _FIRST + 25, "worker 1", kind="title"),
            Label(24, _SECOND + 25, "worker 2", kind="title"),
            Label(24, _ROW + 19, "the row", kind="title"),
            Label(_x(_RENEWAL) + 8, _FIRST + 62, "renews", kind="small"),
            Label(_x(2 * _RENEWAL) + 8, _FIRST + 62, "renews", kind="small"),
            Label(_x(lapses) - 8, _ROW - 14, "the lease is over: due again", "end", "small"),
            Label(_x(late) + 8, _SECOND - 46, "settles by claim 1: a failure", kind="small"),
            Label(_x(late) + 8, _SECOND - 30, "changes nothing any more", kind="small"),
            Label(second.at("right").x + 8, _ROW - 14, "settles by claim 2", kind="small"),
            *(Label(_x(at), 334, words, "middle", "quiet") for at, words in _hours(lapses)),
        ],
    )


def _x(seconds: float) -> float:
    return round(_LEFT + seconds * _SCALE, 1)


def _hours(lapses: float) -> list[tuple[float, str]]:
    return [(at, f"{at:g} s") for at in (0, _RENEWAL, 2 * _RENEWAL, lapses)]
