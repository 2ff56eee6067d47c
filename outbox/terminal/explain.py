"""`outbox explain`: one notification's story on one screen."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.text import Text

from outbox.errors import clean
from outbox.queue.audit import list_audit
from outbox.queue.dead_letters import read_dead_letters
from outbox.queue.gathered import find_window
from outbox.queue.paused import list_pauses
from outbox.queue.steps_of import steps_of
from outbox.queue.story import tell
from outbox.telling.facts import by_hand_of, facts_of, rules_for, steps_of_it
from outbox.telling.narrative import what_next, why_here
from outbox.telling.pauses import concerned, in_the_way, next_when_resumed, pause_document, sentence, why_waiting
from outbox.terminal.attempts import attempt_document, print_attempts
from outbox.terminal.gathering import print_window
from outbox.terminal.output import print_facts, print_json, say
from outbox.terminal.session import reading
from outbox.terminal.setup import FAILED, complain

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from outbox.config import Config
    from outbox.queue.steps_of import StepState
    from outbox.queue.story import Story
    from outbox.timetable import Rules

_LONGEST = 4_096
_DEEDS = 20


def explain(url: str, id: UUID, config: Config, *, as_json: bool) -> int:  # noqa: A002 - the name of the column
    """Print what was enqueued (not its payload), every attempt, why it is where it is, and what happens next."""
    with reading(url) as conn:
        story = tell(conn, id, config.transactional)
        steps, pauses = steps_of(conn, id), list_pauses(conn)
        window = None if story is not None else find_window(conn, id, config.transactional)
        letters = [] if story is not None else read_dead_letters(conn, [id])
        by_hand = list_audit(conn, subject=str(id), limit=_DEEDS)
    if window is not None:
        print_window(window, id, rules_for(window, config), as_json=as_json)
        return 0
    if story is None:
        hint = f"; retention has dropped it, its dead letter remains: outbox dead-letters show {id}" if letters else ""
        if letters and (instead := letters[0][0].replaced_by) is not None:
            hint += f"; what was enqueued in its place: outbox explain {instead}"
        complain(f"there is no notification {id} in this database{hint}")
        return FAILED
    policy = config.channels.get(story.facts.channel)
    rules = rules_for(story.facts, config)
    pauses = concerned(pauses, story.facts.channel, None if policy is None else policy.providers)
    blocking = in_the_way(pauses, story.facts.channel, None if policy is None else policy.providers)
    why = why_waiting(why_here(story, policy), story.place.state, blocking)
    following = next_when_resumed(what_next(story, policy, rules), story.place.state, blocking)
    if as_json:
        deeds = {"replaces": story.replaces, "by_hand": [asdict(deed) for deed in by_hand]}
        steered = {"pauses": [*map(pause_document, pauses)]}
        print_json(_document(story, rules, why, following, steps) | deeds | steered)
        return 0
    beside: list[tuple[str, str | None]] = [("paused", sentence(pause)) for pause in pauses if pause not in blocking]
    print_facts(facts_of(story, rules) + steps_of_it(story, steps) + by_hand_of(by_hand, story.now) + beside)
    say()
    if story.attempts:
        print_attempts(story.attempts)
        say()
    say(Text.assemble(("now   ", "dim"), (story.place.state, "bold"), f": {clean(why, _LONGEST)}"))
    say(Text.assemble(("next  ", "dim"), clean(following, _LONGEST)))
    return 0


def _document(
    story: Story, rules: Rules | None, why: str, following: str, steps: Sequence[StepState]
) -> dict[str, Any]:
    facts, place, death = story.facts, story.place, story.death
    return asdict(facts) | {
        "kept_back": rules and {"rules": str(rules), "time_zone": str(rules.zone(facts.time_zone))},
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
        "in_its_place": story.successor and asdict(story.successor),
        "history": [attempt_document(attempt) for attempt in story.attempts],
        "why": why,
        "next": following,
    }
