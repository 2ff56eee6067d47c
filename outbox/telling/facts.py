"""What is known of one notification, as labels and words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.messages import PRIORITIES
from outbox.telling.narrative import made_of, throttled
from outbox.telling.words import moment
from outbox.timetable import Timetable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from outbox.config import Config
    from outbox.queue.audit import Entry
    from outbox.queue.gathered import OpenWindow
    from outbox.queue.steps_of import StepState
    from outbox.queue.story import Facts, Story
    from outbox.timetable import Rules

_DEFAULTS = {
    "opt_in": ", for those who want it",
    "opt_out": ", for all who did not say no",
    "transactional": ", for everybody",
}


def rules_for(what: Facts | OpenWindow, config: Config) -> Rules | None:
    """Return when it may be sent, as far as the configuration here says."""
    policy = config.channels.get(what.channel)
    if policy is None:
        return None
    return Timetable(what.channel, policy, config.topics).rules(what.topic, what.priority)


def facts_of(story: Story, rules: Rules | None) -> list[tuple[str, str | None]]:
    """Return what is known of a notification, without what it says, as labels and what they stand for, if anything."""
    facts = story.facts
    names = {level: f"{name} ({level})" for name, level in PRIORITIES.items()}
    asked_later = (facts.run_at - facts.created_at).total_seconds() > 1
    return [
        ("notification", str(facts.id)),
        ("to", f"{facts.recipient}, by {facts.channel}"),
        ("template", facts.template and facts.template + (f", in {facts.locale}" if facts.locale else "")),
        ("topic", facts.topic and facts.topic + _DEFAULTS.get(story.consent.default or "", "")),
        ("preference", _preference(story)),
        ("group key", facts.group_key),
        ("ordering key", facts.ordering_key),
        ("idempotency key", facts.idempotency_key),
        ("priority", names.get(facts.priority, str(facts.priority))),
        ("enqueued", moment(facts.created_at, story.now)),
        ("not before", moment(facts.run_at, story.now) if asked_later else None),
        ("not after", moment(facts.expires_at, story.now) if facts.expires_at else None),
        ("time zone", facts.time_zone),
        ("kept back", f"{rules}, by the clocks of {rules.zone(facts.time_zone)}" if rules is not None else None),
        ("unless read", str(facts.unless_read) if facts.unless_read else None),
        ("unless sent", str(facts.unless_sent) if facts.unless_sent else None),
        ("trace", facts.trace and facts.trace.partition("-")[2][:32]),
        ("suppression", story.suppression),
        ("throttle", throttled(story)),
        ("made of", made_of(story)),
        ("in place of", f"{story.replaces}, its dead letter" if story.replaces else None),
        ("content", _of_the_last(story, "content_digest")),
        ("source", _of_the_last(story, "template_digest")),
    ]


def _preference(story: Story) -> str | None:
    consent = story.consent
    if consent.wanted is None or consent.updated_at is None:
        return None
    said = "wanted" if consent.wanted else "not wanted"
    return f"{said}, by {consent.source}, since {moment(consent.updated_at, story.now)}"


def by_hand_of(deeds: Sequence[Entry], now: datetime) -> list[tuple[str, str | None]]:
    """Return a line for each thing that somebody did to it by hand, the oldest first; the deeds come newest first."""
    lines: list[tuple[str, str | None]] = []
    for deed in reversed(deeds):
        what = f" ({', '.join(deed.details['changed'])})" if deed.details.get("changed") else ""
        because = f": {deed.reason}" if deed.reason else ""
        lines.append(("by hand", f"{deed.action}{what} by {deed.actor}, {moment(deed.at, now)}{because}"))
    return lines


def steps_of_it(story: Story, steps: Sequence[StepState]) -> list[tuple[str, str | None]]:
    """Return a line for each of several ways to tell one person: where each of them is."""
    lines: list[tuple[str, str | None]] = []
    for number, step in enumerate(steps, 1):
        which = "this one" if step.id == story.facts.id else str(step.id)
        due = f", due {moment(step.due_at, story.now)}" if step.due_at else ""
        lines.append((f"step {number}", f"{step.channel}, {which}: {step.state}{due}"))
    return lines


def _of_the_last(story: Story, digest: str) -> str | None:
    """Return the digest of the attempt that had the last word, as `outbox template render` shows it."""
    return getattr(story.last, digest, None)
