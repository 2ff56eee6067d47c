"""Celery (5.x): lists of tasks and messages, as JSON.

What is read: the output of `celery inspect scheduled` and `reserved` with `--json`; tasks as those are, in a list or
one a line; and messages of its protocol 2, as the transports of Redis and of the filesystem keep them:
https://docs.celeryq.dev/en/stable/internals/protocol.html
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from outbox.importing.source import CannotCarry
from outbox.importing.task import Task

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_BLANK = re.compile(r"\s*")
_FOLLOWERS = ("callbacks", "errbacks", "chain", "chord")


def documents(text: str) -> Iterator[tuple[int, Any]]:
    """Yield the JSON values of a text, with the lines in which they begin: one, one a line, or one right after another.

    Raises:
        ValueError: it is not JSON; says in which line.
    """
    decoder = json.JSONDecoder()
    place, line = 0, 1
    while (blank := _BLANK.match(text, place)) and blank.end() < len(text):
        line += blank[0].count("\n")
        place = blank.end()
        try:
            found, end = decoder.raw_decode(text, place)
        except json.JSONDecodeError as error:
            raise ValueError(f"line {error.lineno}: is not JSON: {error.msg} at column {error.colno}") from None
        except RecursionError:
            raise ValueError(f"line {line}: is nested too deeply") from None
        yield line, found
        line += text.count("\n", place, end)
        place = end


def requests(document: Any) -> Iterator[dict[str, Any]]:
    """Yield what stands for one task each within a document.

    Raises:
        ValueError: it is none of what is read.
    """
    if isinstance(document, dict) and not document.keys().isdisjoint(("task", "name", "body")):
        yield document
    elif isinstance(document, dict) and isinstance(document.get("request"), dict):
        yield document["request"] | {key: document[key] for key in ("eta", "priority") if document.get(key) is not None}
    elif isinstance(document, dict) and all(isinstance(each, list) for each in document.values()):
        for tasks in document.values():  # by worker, as `inspect` has it
            yield from requests(tasks)
    elif isinstance(document, list):
        for each in document:
            if isinstance(each, dict | list):  # of a message that a worker has, Redis keeps it, its exchange, its queue
                yield from requests(each)
    else:
        raise ValueError("is neither a task, nor a message, nor a list of these")


def task(request: Mapping[str, Any]) -> Task:
    """Return the task that a request or a message is. Its priority is Celery's, which each broker reads in its own way.

    Raises:
        CannotCarry: it cannot be read, or others follow it.
    """
    if "body" in request:
        request = _message(request)
    name, identity = request.get("task") or request.get("name"), request.get("id")
    if not isinstance(name, str) or not isinstance(identity, str):
        raise CannotCarry("it has no name or no id")
    args, kwargs = request.get("args") or [], request.get("kwargs") or {}
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise CannotCarry("its arguments are no JSON: take the messages themselves, or --json")
    delivery = request.get("delivery_info") or {}
    return Task(
        key=identity,
        id=identity,
        name=name,
        queue=str(request.get("queue") or delivery.get("routing_key") or ""),
        body=kwargs,
        positional=args,
        priority=_priority(request.get("priority", delivery.get("priority"))),
        run_at=_moment("eta", request.get("eta")),
        expires_at=_moment("expires", request.get("expires")),
    )


def _priority(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _moment(field: str, text: Any) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise CannotCarry(f"its {field} is no moment") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    headers, properties = message.get("headers") or {}, message.get("properties") or {}
    if not isinstance(headers, dict) or "task" not in headers:
        raise CannotCarry("it is a message of protocol 1, or of something else than Celery")
    if message.get("content-type") != "application/json":
        raise CannotCarry(f"it is written as {message.get('content-type')}, not as JSON")
    if headers.get("compression"):
        raise CannotCarry("it is compressed")
    try:
        body = message["body"]
        if properties.get("body_encoding") == "base64":
            body = b64decode(body).decode()
        args, kwargs, embedded = json.loads(body)
    except (ValueError, TypeError):
        raise CannotCarry("its body is not that of protocol 2") from None
    if any((embedded or {}).get(follower) for follower in _FOLLOWERS):
        raise CannotCarry("others follow it: a chain, a chord, or a callback")
    delivery = properties.get("delivery_info") or {}
    kept = {name: headers.get(name) for name in ("task", "id", "eta", "expires")}
    return kept | {"args": args, "kwargs": kwargs, "delivery_info": delivery, "priority": properties.get("priority")}
