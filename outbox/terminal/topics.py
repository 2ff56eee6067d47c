"""`outbox topic sync` and `list` as people see them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from outbox.durations import describe
from outbox.queue.escalations import declare_escalations_now
from outbox.queue.topics import count_waiting, declare_now, list_topics, remove
from outbox.telling.words import counted
from outbox.terminal.output import Column, done, note, print_json, print_table, say
from outbox.terminal.session import reading, writing
from outbox.terminal.setup import FAILED, complain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox.config import Config, TopicConfig
    from outbox.queue.topics import Topic

_KEYS = ("transactional", "default", "channels", "delivery", "expires", "escalation")
_COLUMNS = (
    Column("topic", "whole"),
    Column("who", "whole"),
    Column("channels"),
    Column("in doubt", "whole"),
    Column("expires", "whole"),
    Column("escalation"),
    Column("waiting", "number"),
    Column("opted in", "number"),
    Column("opted out", "number"),
)
_VERBS = {"add": "add   ", "change": "change", "remove": "remove", "keep": "keep  "}


def sync(config: Config, *, dry_run: bool, prune: bool, as_json: bool) -> int:
    """Declare the configuration's topics, and remove the others if asked to; say what is different."""
    with writing(config.database_url) as conn:
        declared = {topic.name: _written(topic) for topic in list_topics(conn)}
        given = {name: _given(topic) for name, topic in config.topics.items()}
        changes = _changes(declared, given, prune=prune)
        gone = [change["topic"] for change in changes if change["action"] == "remove"]
        waiting = count_waiting(conn) if gone else {}
        held = {name: waiting[name] for name in gone if name in waiting}
        if not dry_run and not held:
            declare_now(conn, config.topics)
            declare_escalations_now(conn, {name: topic.escalation for name, topic in config.topics.items()})
            remove(conn, gone)
    if as_json:
        print_json({"changes": changes, "waiting": held, "written": not dry_run and not held})
    else:
        _tell(changes, dry_run=dry_run)
    for name, count in held.items():
        complain(f"{name} cannot be removed: {counted(count, 'notification')} wait under it")
    return FAILED if held else 0


def _tell(changes: list[dict[str, Any]], *, dry_run: bool) -> None:
    for change in changes:
        words = ", ".join(f"{key} {was} → {now}" for key, (was, now) in change["differs"].items())
        say(f"{_VERBS[change['action']]}  {change['topic']}{f': {words}' if words else ''}")
    different = sum(change["action"] != "keep" for change in changes)
    if dry_run:
        note(f"{counted(different, 'topic')} would change; nothing was written")
    elif different:
        done(f"{counted(different, 'topic')} changed")
    else:
        say("nothing is different")


def _changes(
    declared: Mapping[str, Mapping[str, str]], given: Mapping[str, Mapping[str, str]], *, prune: bool
) -> list[dict[str, Any]]:
    """Return what would be done about each topic; a difference is a key with what it was and what it will be."""
    changes: list[dict[str, Any]] = []
    for name, now in given.items():
        was = declared.get(name)
        differs = {key: (was[key], now[key]) for key in _KEYS if was is not None and was[key] != now[key]}
        action = "add" if was is None else "change" if differs else "keep"
        changes.append({"action": action, "topic": name, "differs": differs})
    others = [name for name in declared if name not in given]
    return changes + [{"action": "remove" if prune else "keep", "topic": name, "differs": {}} for name in others]


def _given(topic: TopicConfig) -> dict[str, str]:
    return _words(topic, topic.default)


def _written(topic: Topic) -> dict[str, str]:
    return _words(topic, "opt_in" if topic.opt_in else "opt_out")


def _words(topic: TopicConfig | Topic, default: str) -> dict[str, str]:
    """Return each of `_KEYS` in words that are the same for what is the same."""
    return {
        "transactional": str(topic.transactional).lower(),
        "default": default,
        "channels": "every" if topic.channels is None else " ".join(topic.channels),
        "delivery": topic.delivery or "as its channel",
        "expires": "never" if topic.expires is None else describe(topic.expires),
        "escalation": "; ".join(topic.escalation) if topic.escalation else "none",
    }


def show(url: str, *, as_json: bool) -> int:
    """Print what is declared, and how many wait under it; what waits under a topic that is not declared, too."""
    with reading(url) as conn:
        declared, waiting = list_topics(conn), count_waiting(conn)
    undeclared = {name: count for name, count in waiting.items() if name not in {topic.name for topic in declared}}
    if as_json:
        topics = [asdict(topic) | {"waiting": waiting.get(topic.name, 0)} for topic in declared]
        print_json({"topics": topics, "undeclared": undeclared})
        return 0
    if declared:
        print_table(_COLUMNS, [_row(topic, waiting.get(topic.name, 0)) for topic in declared])
    else:
        note("no topic is declared, so any word is one: write [topics.…], and outbox topic sync")
    for name, count in sorted(undeclared.items()):
        note(f"{counted(count, 'notification')} wait under {name}, which is not declared")
    return 0


def _row(topic: Topic, waiting: int) -> list[str]:
    who = "everybody" if topic.transactional else "who opted in" if topic.opt_in else "who did not opt out"
    words = _written(topic)
    counts = [f"{count:,}" for count in (waiting, topic.opted_in, topic.opted_out)]
    return [topic.name, who, words["channels"], words["delivery"], words["expires"], words["escalation"], *counts]
