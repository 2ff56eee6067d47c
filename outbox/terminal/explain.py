"""`outbox explain`: one notification's story on one screen."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.text import Text

from outbox.errors import clean
from outbox.messages import PRIORITIES
from outbox.queue.dead_letters import show_dead_letter
from outbox.queue.gathered import find_window
from outbox.queue.paused import list_pauses
from outbox.queue.steps_of import steps_of
from outbox.queue.story import tell
from outbox.terminal.attempts import attempt_document, print_attempts
from outbox.terminal.gathering import print_window
from outbox.terminal.narrative import made_of, throttled, what_next, why_here
from outbox.terminal.output import moment, print_facts, print_json, say
from outbox.terminal.pauses import in_the_way, next_when_resumed, pause_document, sentence, why_waiting
from outbox.terminal.session import reading
from outbox.terminal.setup import FAILED, complain
from outbox.timetable import Timetable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from outbox.config import ChannelConfig, Config
    from outbox.queue.gathered import OpenWindow
    from outbox.queue.paused import Pause
    from outbox.queue.steps_of import StepState
    from outbox.queue.story import Facts, Story
    from outbox.timetable import Rules

_LONGEST = 4_096
_DEFAULTS = {
    "opt_in": ", for those who want it",
    "opt_out": ", for all who did not say no",
    "transactional": ", for everybody",
}


def explain(url: str, id: UUID, config: Config, *, as_json: bool) -> int:  # noqa: A002 - the name of the column
    """Print what was enqueued (not its payload), every attempt, why it is where it is, and what happens next."""
    with reading(url) as conn:
        story = tell(conn, id, config.transactional)
        steps, pauses = steps_of(conn, id), list_pauses(conn)
        window = None if story is not None else find_window(conn, id, config.transactional)
        remains = story is None and show_dead_letter(conn, id) is not None
    if window is not None:
        print_window(window, id, _rules(window, config), as_json=as_json)
        return 0
    if story is None:
        hint = f"; retention has dropped it, its dead letter remains: outbox dead-letters show {id}" if remains else ""
        complain(f"there is no notification {id} in this database{hint}")
        return FAILED
    policy = config.channels.get(story.facts.channel)
    rules = _rules(story.facts, config)
    pauses = [pause for pause in pauses if _concerns(pause, story.facts.channel, policy)]
    blocking = in_the_way(pauses, story.facts.channel, None if policy is None else policy.providers)
    why = why_waiting(why_here(story, policy), story.place.state, blocking)
    following = next_when_resumed(what_next(story, policy, rules), story.place.state, blocking)
    if as_json:
        print_json(_document(story, rules, why, following, steps) | {"pauses": [*map(pause_document, pauses)]})
        return 0
    beside: list[tuple[str, str | None]] = [("paused", sentence(pause)) for pause in pauses if pause not in blocking]
    print_facts(_facts(story, rules) + _steps(story, steps) + beside)
    say()
    if story.attempts:
        print_attempts(story.attempts)
        say()
    say(Text.assemble(("now   ", "dim"), (story.place.state, "bold"), f": {clean(why, _LONGEST)}"))
    say(Text.assemble(("next  ", "dim"), clean(following, _LONGEST)))
    return 0


def _concerns(pause: Pause, channel: str, policy: ChannelConfig | None) -> bool:
    """Tell whether a pause may keep anything of a channel back: without a configuration, any provider's may."""
    if pause.scope == "channel":
        return pause.name == channel
    return policy is None or pause.name in policy.providers


def _rules(what: Facts | OpenWindow, config: Config) -> Rules | None:
    """Return when it may be sent, as far as the configuration here says."""
    policy = config.channels.get(what.channel)
    if policy is None:
        return None
    return Timetable(what.channel, policy, config.topics).rules(what.topic, what.priority)


def _facts(story: Story, rules: Rules | None) -> list[tuple[str, str | None]]:
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
        ("suppression", story.suppression),
        ("throttle", throttled(story)),
        ("made of", made_of(story)),
        ("content", _of_the_last(story, "content_digest")),
        ("source", _of_the_last(story, "template_digest")),
    ]


def _preference(story: Story) -> str | None:
    consent = story.consent
    if consent.wanted is None or consent.updated_at is None:
        return None
    said = "wanted" if consent.wanted else "not wanted"
    return f"{said}, by {consent.source}, since {moment(consent.updated_at, story.now)}"


def _steps(story: Story, steps: Sequence[StepState]) -> list[tuple[str, str | None]]:
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


def _document(
    story: Story, rules: Rules | None, why: str, following: str, steps: Sequence[StepState]
) -> dict[str, Any]:
    facts, place, death = story.facts, story.place, story.death
    return {
        "id": facts.id,
        "channel": facts.channel,
        "recipient": facts.recipient,
        "template": facts.template,
        "locale": facts.locale,
        "topic": facts.topic,
        "group_key": facts.group_key,
        "ordering_key": facts.ordering_key,
        "idempotency_key": facts.idempotency_key,
        "priority": facts.priority,
        "created_at": facts.created_at,
        "run_at": facts.run_at,
        "expires_at": facts.expires_at,
        "time_zone": facts.time_zone,
        "kept_back": rules and {"rules": str(rules), "time_zone": str(rules.zone(facts.time_zone))},
        "unless_read": facts.unless_read,
        "unless_sent": facts.unless_sent,
        "needless": story.needless,
        "steps": [{"id": step.id, "channel": step.channel, "state": step.state} for step in steps],
        "state": place.state,
        "attempts": place.attempts,
        "next_due_at": place.due_at,
        "worker": place.worker and {"id": place.worker, "host": place.host, "pid": place.pid},
        "live_workers": place.live_workers,
        "ahead": place.ahead,
        "head_of_line": place.head,
        "suppression": story.suppression,
        "consent": asdict(story.consent),
        "throttle": story.throttle and asdict(story.throttle),
        "made_of": list(story.gathered),
        "dead_letter": death and asdict(death),
        "history": [attempt_document(attempt) for attempt in story.attempts],
        "why": why,
        "next": following,
    }
