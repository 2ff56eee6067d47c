"""What a replay would do, and what it left alone: as sentences, and as JSON."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from outbox.telling.words import age, counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from uuid import UUID

    from outbox.queue.judge import Judged

_NAMED = 5
WHY_NOT = {
    "unknown": "no such dead letter",
    "replayed": "replayed before",
    "discarded": "discarded before",
    "queued": "still in the queue",
    "sent": "delivered after all, by a worker that was thought lost",
    "key_taken": "its idempotency key stands for another notification now",
    "too_often": "replayed as often as --max-replays allows, and dead each time (--again replays them all the same)",
    "open": "open as it is",
    "unchanged": "nothing would be different: replay it as it is",
}
LATE = "it is past its expires_at: the next claim ends it as expired, unsent"


class Forecast:
    """What a replay of these would do."""

    def __init__(self, judged: Sequence[Judged]) -> None:
        chosen = [each for each in judged if each.verdict in {"replay", "anew"}]
        self.count = len(chosen)
        self.channels = Counter(each.channel for each in chosen)
        self.reasons = Counter(each.reason for each in chosen)
        self.anew = sum(each.verdict == "anew" for each in chosen)
        self.unsure = sum(each.reason == "in_doubt" for each in chosen)
        self.late = sum(each.is_expired for each in chosen)
        self.skipped = {each.id: each.verdict for each in judged if each.verdict not in {"replay", "anew"}}

    def sentences(self, rate: float | None) -> Iterator[str]:
        """Yield it for people; `rate` is in notifications a second."""
        yield f"would replay {counted(self.count, 'dead letter')}{spread(self.count, rate)}"
        for what, counts in (("channel", self.channels), ("reason", self.reasons)):
            if counts:
                yield f"  by {what}: " + ", ".join(f"{value} {count:,}" for value, count in counts.most_common())
        if self.anew:
            yield (
                f"  {self.anew:,} of them anew, under new ids: "
                "retention has dropped the notifications, the copies remain"
            )
        if self.unsure:
            yield (
                f"  {self.unsure:,} of them may have been delivered already: nobody could know when they were given up"
            )
        if self.late:
            yield f"  {self.late:,} of them are past their expires_at, and would end as expired, unsent"
        for verdict, count in Counter(self.skipped.values()).most_common():
            yield f"would leave {counted(count, 'other')} alone: {WHY_NOT[verdict]}"

    def document(self) -> dict[str, Any]:
        """Return it as it stands in JSON."""
        return {
            "would_replay": self.count,
            "by_channel": self.channels,
            "by_reason": self.reasons,
            "anew": self.anew,
            "ambiguous": self.unsure,
            "expired": self.late,
            "left_alone": left_alone_document(self.skipped),
        }


def spread(count: int, rate: float | None) -> str:
    """Return the end of a sentence about so many that become due one after the other, at `rate` a second."""
    return f", the last of them due in {age((count - 1) / rate)}" if rate and count > 1 else ""


def left_alone(skipped: Mapping[UUID, str]) -> Iterator[str]:
    """Yield which were left alone, and why: a sentence for each reason."""
    for why, count in Counter(skipped.values()).most_common():
        ids = [str(identity) for identity, reason in skipped.items() if reason == why]
        named = ", ".join(ids[:_NAMED]) + (", …" if count > _NAMED else "")
        yield f"left alone, {WHY_NOT[why]}: {named}"


def left_alone_document(skipped: Mapping[UUID, str]) -> list[dict[str, Any]]:
    """Return which were left alone, and why, as it stands in JSON."""
    return [{"id": identity, "why": why} for identity, why in skipped.items()]
