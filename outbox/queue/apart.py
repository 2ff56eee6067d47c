"""apart: of many that are enqueued at once, those that are not simply inserted.

What has a digest key joins a window, and what supersedes takes back others once all are in. The rest is plain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outbox.errors import IdempotencyConflict, InvalidNotification
from outbox.messages import Enqueued
from outbox.queue.draft import Draft, enqueued
from outbox.queue.window import Window

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from outbox.connections import Parameters, Row

DIGEST_MANY = """
SELECT g.place, e.id, e.created
FROM (SELECT * FROM unnest(
          CAST(:channel AS text[]), CAST(:recipient AS text[]), CAST(:digest_key AS text[]),
          CAST(:digest_window AS text[]), CAST(:payload AS text[]), CAST(:template AS text[]),
          CAST(:priority AS text[]), CAST(:topic AS text[]), CAST(:group_key AS text[]), CAST(:locale AS text[]),
          CAST(:headers AS text[]), CAST(:ordering_key AS text[]), CAST(:digest_max_items AS text[]),
          CAST(:digest_max_wait AS text[]), CAST(:time_zone AS text[]))
      WITH ORDINALITY AS u (channel, recipient, digest_key, digest_window, payload, template, priority, topic,
                            group_key, locale, headers, ordering_key, max_items, max_wait, time_zone, place)
      ORDER BY u.place) g
CROSS JOIN LATERAL outbox.enqueue_digest(
    g.channel, g.recipient, g.digest_key, CAST(g.digest_window AS interval), CAST(g.payload AS jsonb), g.template,
    CAST(g.priority AS integer), g.topic, g.group_key, g.locale, CAST(g.headers AS jsonb), g.ordering_key,
    CAST(g.max_items AS bigint), CAST(g.max_wait AS interval), g.time_zone) e
ORDER BY g.place
"""

# One after another, in the order given: whoever supersedes under several keys waits, and does not deadlock.
SUPERSEDE_MANY = """
SELECT outbox.supersede(g.id)
FROM (SELECT * FROM unnest(CAST(CAST(:ids AS text[]) AS uuid[])) WITH ORDINALITY AS u (id, place) ORDER BY u.place) g
"""

FIELDS = frozenset({"supersedes", "digest_key", "digest_window", "digest_max_items", "digest_max_wait"})
_ESCALATING = frozenset({"to", "steps"})
_WINDOW: Mapping[str, Any] = {"digest_key": None, "digest_window": None, "digest_max_wait": None} | {
    "digest_max_items": 100
}
_CHUNK = 5_000


class Apart:
    """Many notifications, each checked, and which of them are what.

    Raises:
        InvalidNotification: an argument was refused; the field names the position.
    """

    def __init__(self, given: Sequence[Mapping[str, Any]]) -> None:
        self.plain: list[Mapping[str, Any]] = []
        self._places: list[int] = []
        self._windows: dict[int, tuple[Draft, Window]] = {}
        self._superseding: dict[tuple[str, str], list[int]] = {}
        for place, one in enumerate(given):
            self._sort(place, one)

    def _sort(self, place: int, one: Mapping[str, Any]) -> None:
        rest = {name: value for name, value in one.items() if name not in FIELDS}
        draft = Draft.of(rest, place)
        try:
            window = Window.of({**_WINDOW, **one})
        except InvalidNotification as error:
            raise InvalidNotification(f"[{place}].{error.field}", error.problem) from None
        self._mark(place, draft, supersedes=one.get("supersedes"))
        if window is None:
            self._places.append(place)
            self.plain.append(rest)
        else:
            self._windows[place] = (draft, window)

    def _mark(self, place: int, draft: Draft, *, supersedes: Any) -> None:
        """Note which of its group supersede; refuse what would be taken back by one that was given before it."""
        if draft.group_key is None:
            if supersedes:
                problem = "needs a group_key, which all that replace one another have"
                raise InvalidNotification(f"[{place}].supersedes", problem)
            return
        key = (draft.channel, draft.group_key)
        if supersedes:
            self._superseding.setdefault(key, []).append(place)
        elif before := self._superseding.get(key):
            problem = f"is that of [{before[-1]}], which supersedes: it comes last of its group, or in a later call"
            raise InvalidNotification(f"[{place}].group_key", problem)

    def joining(self) -> Generator[tuple[str, Parameters], Sequence[Row], dict[int, Enqueued]]:
        """Yield the statements by which some join windows; return what became of each, by its position.

        In the order of the windows: two that join several wait for each other, and never deadlock.
        """
        order = sorted(
            self._windows,
            key=lambda at: (
                self._windows[at][0].channel,
                self._windows[at][0].recipient,
                self._windows[at][1].digest_key,
            ),
        )
        joined: dict[int, Enqueued] = {}
        for start in range(0, len(order), _CHUNK):
            chunk = order[start : start + _CHUNK]
            rows = yield DIGEST_MANY, dict(_arrays([self._windows[at] for at in chunk]))
            for at, (_, identity, created) in zip(chunk, rows, strict=True):
                joined[at] = enqueued(self._windows[at][0], (identity, created, False, None))
        return joined

    def superseding(
        self, answers: Sequence[Enqueued | IdempotencyConflict]
    ) -> Generator[tuple[str, Parameters], Sequence[Row], None]:
        """Yield the statement that takes back what others supersede; what was there already takes nothing's place.

        Of several of one group, the last that is new takes the place of those before it as well.
        """
        of = dict(zip(self._places, answers, strict=True))
        ids: list[str | None] = []
        for _, places in sorted(self._superseding.items()):
            new = [str(one.id) for place in places if isinstance(one := of[place], Enqueued) and one.created]
            ids += new[-1:]
        if ids:
            yield SUPERSEDE_MANY, {"ids": ids}

    def merged(
        self, answers: Sequence[Enqueued | IdempotencyConflict], joined: Mapping[int, Enqueued]
    ) -> list[Enqueued | IdempotencyConflict]:
        """Return what became of each, in the order given."""
        every: dict[int, Enqueued | IdempotencyConflict] = dict(zip(self._places, answers, strict=True)) | dict(joined)
        return [every[place] for place in range(len(every))]


def _arrays(windows: Sequence[tuple[Draft, Window]]) -> Iterator[tuple[str, list[str | None]]]:
    for names, rows in (
        (Draft._fields, [draft for draft, _ in windows]),
        (Window._fields, [each for _, each in windows]),
    ):
        for name, column in zip(names, zip(*rows, strict=True), strict=True):
            if f":{name} " in DIGEST_MANY:
                yield name, list(column)


def refuse_escalating(used: set[str]) -> None:
    """Refuse what is for another function; raises InvalidNotification."""
    if names := _ESCALATING & used:
        raise InvalidNotification(min(names), "is for escalate() and aescalate(), which tell one person at a time")
