"""From a task of somebody's to the arguments of an enqueue, by its rule."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any, NamedTuple

from outbox.importing.expression import fill
from outbox.importing.source import CannotCarry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from outbox.importing.mapping import Rule

NORMAL = 5  # among ours
_FILLED = ("recipient", "template", "topic", "locale", "time_zone", "group_key", "ordering_key", "idempotency_key")


class Task(NamedTuple):
    """One call of a task, as its source has it. Where `priority` is a text or None, it is one of ours."""

    key: str
    id: str
    name: str
    queue: str
    body: object
    """What it is called with: an object, or the bytes that the rule says how to read."""
    positional: Sequence[Any] = ()
    priority: str | int | None = None
    run_at: datetime | None = None
    expires_at: datetime | None = None
    line: str | None = None
    """Of those with the same, one at a time, in order."""
    group: str | None = None

    def __repr__(self) -> str:
        """Show which it is, and not what it is called with."""
        return f"Task({self.key!r}, {self.name!r}, …)"


def notification(task: Task, rule: Rule) -> dict[str, Any]:
    """Return the arguments of the enqueue that a task becomes.

    Raises:
        CannotCarry: its arguments are not what the rule needs.
    """
    arguments = _named(task, rule)
    own = {"$id": task.id, "$task": task.name, "$queue": task.queue}
    given: dict[str, Any] = {
        "channel": rule.channel,
        "recipient": rule.channel,
        "priority": rule.priority if rule.priority is not None else task.priority,
        "run_at": task.run_at,
        "expires_at": task.expires_at,
        "ordering_key": task.line,
        "group_key": task.group,
        "idempotency_key": task.key,
    }
    for field in _FILLED:
        text = getattr(rule, field)
        if text is not None:
            given[field] = fill(field, text, arguments, own)
    given["payload"] = _payload(arguments, rule)
    return {name: value for name, value in given.items() if value is not None}


def level(priority: int) -> int:
    """Return our priority for one of a source where the highest goes first, and 0 is the usual one."""
    return min(max(NORMAL - priority, 0), 9)


def _payload(arguments: Mapping[str, Any], rule: Rule) -> dict[str, Any]:
    kept = {name: value for name, value in arguments.items() if name not in rule.drop}
    payload = {rule.rename.get(name, name): value for name, value in kept.items()}
    if len(payload) < len(kept):
        raise CannotCarry("two of its arguments have the same name in the payload: see rename")
    return payload | rule.set


def _named(task: Task, rule: Rule) -> dict[str, Any]:
    """Return all arguments by name."""
    body = _decoded(task.body, rule)
    if not isinstance(body, dict):
        if rule.into is None:
            raise CannotCarry(f"what it is called with is {_kind(body)}, no JSON object: see into")
        body = {rule.into: body}
    if len(task.positional) > len(rule.arguments):
        problem = f"it has {len(task.positional)} positional arguments, and the mapping names {len(rule.arguments)}"
        raise CannotCarry(f"{problem}: see arguments")
    named = dict(zip(rule.arguments, task.positional, strict=False))
    if twice := named.keys() & body.keys():
        raise CannotCarry(f"{', '.join(sorted(twice))} is given by position and by name")
    return named | body


def _decoded(body: object, rule: Rule) -> object:
    if body is None:
        return {}
    if not isinstance(body, bytes):
        return body
    if rule.decode == "base64":
        return b64encode(body).decode()
    try:
        text = body.decode()
        return text if rule.decode == "text" else json.loads(text)
    except UnicodeDecodeError:
        raise CannotCarry("what it is called with is not UTF-8: see decode") from None
    except (ValueError, RecursionError):
        raise CannotCarry("what it is called with is not JSON: see decode") from None


def _kind(value: object) -> str:
    kinds: dict[type, str] = {list: "a list", str: "a text", bool: "a boolean", int: "a number", float: "a number"}
    return kinds.get(type(value), "null")
