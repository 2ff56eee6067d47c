"""Why a notification is where it is, and what happens next: pure functions from its story to plain sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.durations import describe
from outbox.errors import clean
from outbox.telling.words import age, counted, moment

if TYPE_CHECKING:
    from outbox.config import ChannelConfig
    from outbox.queue.story import Death, Story
    from outbox.timetable import Rules

_REASONS = {
    "rejected": "its content was refused",
    "unreachable": "the recipient cannot be reached",
    "exhausted": "every attempt failed",
    "too_old": "it could not be tried for too long",
    "in_doubt": "it may have been delivered, and nobody can know",
    "poison": "its workers vanished too often: it may be what kills them",
}
_QUOTED = 300
_NAMED = 5
_UNDER_WAY = {"gathering", "due", "deferred", "scheduled", "retrying", "leased", "blocked"}
_NOTHING = "nothing: this is its end."


def why_here(story: Story, policy: ChannelConfig | None) -> str:
    """Return why the notification is in the state that it is in."""
    match story.place.state:
        case "due":
            return _why_due(story)
        case "leased":
            return f"{_holder(story)} has it in hand, under a lease until {_due(story)}."
        case "retrying":
            return f"it waits for attempt {_attempt(story, policy)}, due {_due(story)}, because {_last_words(story)}."
        case "deferred":
            return _put_off(story)
        case "scheduled":
            return _why_scheduled(story)
        case "blocked":
            return _why_blocked(story)
        case "sent":
            return _why_sent(story)
        case "dead":
            return _why_dead(story)
        case _:
            return _why_unsent(story)


def what_next(story: Story, policy: ChannelConfig | None, rules: Rules | None = None) -> str:
    """Return what will happen to the notification now, and what a person can do about it.

    `rules` say when it may be sent, if not at any time.
    """
    place, death = story.place, story.death
    if place.state in {"due", "deferred", "scheduled", "retrying"}:
        return _next_claim(story, policy, rules)
    if place.state == "leased":
        return "its outcome. The lease is renewed meanwhile; if the worker vanishes, another takes over when it ends."
    if place.state == "blocked":
        return _after_those_ahead(story)
    if place.state == "dead":
        return _after_death(story)
    if place.state == "sent" and death is not None and death.resolution is None:
        close = f"outbox dead-letters discard {story.facts.id}"
        return f"nothing. It had been given up before the acceptance came in; its dead letter can be closed: {close}"
    if place.state == "suppressed" and story.digest is not None:
        return _in_a_digest(story)
    if place.state == "unaccounted":
        return "nothing. Enqueue it again if it should be sent."
    return _NOTHING


def throttled(story: Story) -> str | None:
    """Return how the throttle of its topic stands for its recipient, if there is one and it has seen any."""
    limit = story.throttle
    if limit is None:
        return None
    words = f"{limit.taken} of {limit.number} in {describe(limit.seconds)} are taken"
    if limit.free_at is not None and limit.taken >= limit.number:
        words += f"; the next place is free {moment(limit.free_at, story.now)}"
    if limit.position is not None:
        return f"{words}; it is number {limit.position} of {limit.waiting} in line"
    return f"{words}; {counted(limit.waiting, 'notification')} in line" if limit.waiting else words


def made_of(story: Story) -> str | None:
    """Return which notifications went into it because a throttle had kept them back."""
    named = ", ".join(story.gathered[:_NAMED]) + (", …" if len(story.gathered) > _NAMED else "")
    return f"{counted(len(story.gathered), 'notification')}: {named}" if story.gathered else None


def _in_a_digest(story: Story) -> str:
    if story.digest_state is None:
        return f"nothing: the digest {story.digest} was taken back before it went out, or is stored no longer."
    if story.digest_state in _UNDER_WAY:
        return f"what it says goes out in another notification, when there is a place: outbox explain {story.digest}"
    state = story.digest_state
    return f"nothing: what it says was in another notification, which is {state}: outbox explain {story.digest}"


def _why_due(story: Story) -> str:
    place, channel = story.place, story.facts.channel
    since = f"it has been due for {age((story.now - (place.due_at or story.now)).total_seconds())}"
    if place.worker is not None:
        since = f"{_holder(story)} had it in hand and vanished; its lease ended {_due(story)}"
    if not place.live_workers:
        return f"{since}, and no live worker serves {channel}."
    ahead = f"{counted(place.ahead, 'notification')} due there go first" if place.ahead else "it is the first in line"
    return f"{since}; {counted(place.live_workers, 'live worker')} for {channel}, and {ahead}."


def _why_scheduled(story: Story) -> str:
    if story.death is not None and story.death.resolution == "replayed":
        return f"it was replayed after it had died, and is due {_due(story)}."
    if story.attempts:
        return _put_off(story)
    return f"it was enqueued to be sent later, {_due(story)}{_unless(story)}."


def _why_blocked(story: Story) -> str:
    place, key = story.place, story.facts.ordering_key
    if place.head is None:
        return f"it is the first in the line of the ordering key {key}; the one before it ended a moment ago."
    ahead = f"{counted(place.ahead, 'notification')} of the ordering key {key} {'is' if place.ahead == 1 else 'are'}"
    return f"{ahead} ahead of it, and it waits until {'that has' if place.ahead == 1 else 'those have'} ended."


def _after_those_ahead(story: Story) -> str:
    if story.place.head is None:
        return "it is made due within seconds, by any live worker."
    return f"its turn, once those ahead have ended. The first of them: outbox explain {story.place.head}"


def _put_off(story: Story) -> str:
    return f"it was put off until {_due(story)}, without using an attempt, because {_last_words(story)}."


def _why_sent(story: Story) -> str:
    last = story.last
    if last is None:
        return "it was accepted."
    name = f", which calls it {last.provider_message_id}" if last.provider_message_id else ""
    after = describe((last.finished_at - story.facts.created_at).total_seconds())
    return f"{last.provider or 'its provider'} accepted it at {_ended(story)}, {after} after it was enqueued{name}."


def _why_unsent(story: Story) -> str:
    match story.place.state:
        case "suppressed" if story.last is not None and story.last.worker is None:
            return f"it was not sent: {_last_words(story)}. It still waited when that was added, {_ended(story)}."
        case "expired" | "suppressed":
            return f"it was not sent: {_last_words(story)}."
        case "cancelled" if story.last is not None and story.last.error_class == "needless":
            return f"it was not needed any more, {_ended(story)}: {_last_words(story)}."
        case "cancelled":
            by = f": it was {story.last.error}" if story.last is not None and story.last.error else ""
            return f"somebody took it back before it was sent, {_ended(story)}{by}."
        case _:
            return "its row in outbox.queue is gone, and no attempt says why: it was removed by hand."


def _why_dead(story: Story) -> str:
    death = story.death
    if death is None:
        return f"it was given up at {_ended(story)}, because {_last_words(story)}."
    why = _REASONS.get(death.reason, death.reason)
    words = _last_words(story)
    return f"it was given up at {moment(death.died_at, story.now)}, because {why} ({words})."


def _after_death(story: Story) -> str:
    death, identity = story.death, story.facts.id
    if death is None:
        return "nothing: its dead letter is gone, so it cannot be replayed."
    if (latest := story.successor) is not None:
        instead = f"another was enqueued in its place, which is {latest.state or 'gone'}: outbox explain {latest.id}"
        return f"nothing: somebody replayed its dead letter at {_resolved(death, story)}, and {instead}"
    if death.resolution is not None:
        because = f", because of this: {clean(death.discard_reason, _QUOTED)}" if death.discard_reason else ""
        return f"nothing: somebody {death.resolution} its dead letter at {_resolved(death, story)}{because}."
    return (
        f"nothing by itself. Once the cause is mended: outbox dead-letters replay {identity}"
        f" (or close it: outbox dead-letters discard {identity})"
    )


def _next_claim(story: Story, policy: ChannelConfig | None, rules: Rules | None) -> str:
    place, facts = story.place, story.facts
    due = f"{_due(story)}{_there(story, rules)}"
    when = "the next claim takes it" if place.state == "due" else f"it is taken when it is due ({due})"
    if not place.live_workers:
        when = f"start a worker, for none is live: outbox worker --channel {facts.channel}. Then {when}"
    if story.last is not None and story.last.outcome == "sent":
        return f"{when}, and ends it, unsent: it was sent already, by claim {story.last.claim}."
    if story.needless is not None:
        return f"{when}, and ends it as cancelled, unsent: {story.needless}."
    if policy is not None and (place.lost or 0) >= policy.max_lost:
        return f"{when}, and makes it a dead letter: its workers vanished {place.lost} times."
    if facts.expires_at is not None and facts.expires_at <= max(place.due_at or story.now, story.now):
        return f"{when}, and ends it as expired, unsent: it will be, or is, past {moment(facts.expires_at, story.now)}."
    if story.suppression is not None:
        return f"{when}, and ends it as suppressed, unsent: {story.suppression}."
    if policy is not None and place.attempts >= policy.max_attempts:
        return f"{when}, and makes it a dead letter, unsent: it has had all of its attempts."
    return f"{when}{_kept_back(story, rules) or _tried(story, policy)}"


def _kept_back(story: Story, rules: Rules | None) -> str | None:
    """Return what the next claim does with it if nothing may be sent by then."""
    expires_at, due_at = story.facts.expires_at, max(story.place.due_at or story.now, story.now)
    closed = rules.closed(due_at, story.facts.time_zone) if rules is not None else None
    if closed is None:
        return None
    if expires_at is not None and expires_at <= closed.until:
        return f", and ends it as expired, unsent: {closed.words}, and it expires before that."
    return f", and puts it off: {closed.words}."


def _tried(story: Story, policy: ChannelConfig | None) -> str:
    """Return for which attempt the next claim takes it."""
    if policy is None:
        return f", for attempt {story.place.attempts + 1}."
    if story.place.attempts + 1 == policy.max_attempts:
        return ", for the last attempt; if it fails, it becomes a dead letter."
    return f"; if it fails, it is tried again, until attempt {policy.max_attempts} makes it a dead letter."


def _unless(story: Story) -> str:
    read, sent = story.facts.unless_read, story.facts.unless_sent
    conditions = [f"{read} was read"] * (read is not None) + [f"{sent} was sent"] * (sent is not None)
    return f", unless {' or '.join(conditions)} by then" if conditions else ""


def _attempt(story: Story, policy: ChannelConfig | None) -> str:
    return f"{story.place.attempts + 1}" + (f" of {policy.max_attempts}" if policy else "")


def _holder(story: Story) -> str:
    place = story.place
    where = f" on {place.host} (pid {place.pid})" if place.host else ", which is not registered any more,"
    return f"worker {place.worker}{where}"


def _due(story: Story) -> str:
    return moment(story.place.due_at, story.now) if story.place.due_at else "now"


def _there(story: Story, rules: Rules | None) -> str:
    """Return when it is due by the clocks that decide whether it may be sent, if any do."""
    if rules is None or story.place.due_at is None:
        return ""
    zone = rules.zone(story.facts.time_zone)
    return f"; {story.place.due_at.astimezone(zone):%H:%M} in {zone}"


def _ended(story: Story) -> str:
    return moment(story.last.finished_at, story.now) if story.last else "a time nobody recorded"


def _resolved(death: Death, story: Story) -> str:
    return moment(death.resolved_at, story.now) if death.resolved_at else "a time nobody recorded"


def _last_words(story: Story) -> str:
    last = story.last
    if last is None:
        return "no attempt is on record"
    said = clean(" ".join(part for part in (last.error_code, last.error) if part), _QUOTED)
    if last.outcome == "lost":
        return "its worker vanished while it had it in hand"
    who = f"{last.provider} said " if last.provider and said else ""
    return f"{who}{said}".rstrip(".") or f"the last attempt ended as {last.outcome}"
