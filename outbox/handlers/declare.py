"""A function of yours as a handler: what declares it, and what enqueues a call of it."""

from __future__ import annotations

import inspect
import json
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_type_hints

from outbox.errors import InvalidNotification
from outbox.queue.draft import check_channel
from outbox.queue.enqueue import aenqueue, enqueue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from outbox.messages import Enqueued

Payload = TypeVar("Payload")


class Handler(Generic[Payload]):
    """A function that does the work of a channel. Call it as ever; `enqueue` has a worker call it.

    It is given the payload, as the type that its first parameter is annotated with, and the `Notification` if it has a
    second parameter. It may be a coroutine function; one that is not has a thread, up to 64 at once in a process.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        channel: str,
        settings: Mapping[str, Any] | None = None,
        *,
        tell: bool = False,
    ) -> None:
        self.channel = channel
        self.function = function
        self.settings = dict(settings or {})
        """What its channel is configured with, where the configuration says nothing of it."""
        self.tell = tell
        self.parameters = tuple(inspect.signature(function).parameters)
        wraps(function)(self)

    def __call__(self, *args: Any) -> Any:
        """Do the work here and now."""
        return self.function(*args)

    @property
    def path(self) -> str:
        """The dotted path that names it as a provider."""
        return f"{self.function.__module__}.{self.function.__qualname__}"

    def enqueue(self, conn: Any, payload: Payload, *, recipient: str | None = None, **others: Any) -> Enqueued:
        """Enqueue a call of it, in the transaction that `conn` is in.

        Args:
            conn: any synchronous connection that `outbox.enqueue` takes.
            payload: what the function is given: a value of its type, or a mapping that makes one.
            recipient: whom or what it is about, for people and for `explain`; without one, the channel's name.
            others: as `outbox.enqueue` takes them: `priority`, `run_at`, `idempotency_key`, `ordering_key`, …

        Raises:
            InvalidNotification: the payload is none of that type, or as `outbox.enqueue`.
            IdempotencyConflict, NotInTransaction, NotMigrated: as `outbox.enqueue`.
        """
        return enqueue(conn, **self._arguments(payload, recipient), **others)

    async def aenqueue(self, conn: Any, payload: Payload, *, recipient: str | None = None, **others: Any) -> Enqueued:
        """Do as `enqueue` does, on an asynchronous connection."""
        return await aenqueue(conn, **self._arguments(payload, recipient), **others)

    def _arguments(self, payload: Any, recipient: str | None) -> dict[str, Any]:
        from pydantic import ValidationError  # noqa: PLC0415 - `import outbox` is cheap

        try:
            value = self.adapter.validate_python(payload)
            written = self.adapter.dump_python(value, mode="json", by_alias=True)
            read = self.read(written)
        except ValidationError as error:
            raise InvalidNotification(*first_mistake(error, quoting=True)) from None
        if read != value:
            raise InvalidNotification(
                "payload", "would not be what it is when it is read again: is there a secret in it?"
            )
        return {"channel": self.channel, "recipient": recipient or self.channel, "payload": written}

    def read(self, payload: Any) -> Any:
        """Return the payload as the function is given it: of JSON, in which a strict model takes a text for a moment.

        Raises:
            pydantic.ValidationError: it is no longer of the type.
        """
        return self.adapter.validate_json(json.dumps(payload))

    @cached_property
    def adapter(self) -> Any:
        """What reads and writes the payload; the annotation is looked at when all names are there."""
        from pydantic import TypeAdapter  # noqa: PLC0415 - as above

        return TypeAdapter(get_type_hints(self.function).get(self.parameters[0], dict[str, Any]))


def handler(channel: str, *, tell: bool = False, **settings: Any) -> Callable[[Callable[..., Any]], Handler[Any]]:
    """Make a function the handler of a channel: `@outbox.handler("invoice")`.

    Args:
        channel: its name: lower-case letters, digits and underscores.
        tell: write down what an exception says. Without it, only its type and its place are: its words may quote what
            the work is about, and attempts are read by many.
        settings: what `[channels.<name>]` takes, such as `max_attempts=10`, `timeout="5m"`, `backoff=["10s", "1h"]`.
            They are checked when a worker starts; the configuration file has the last word.

    Raises:
        ValueError: the name is none.
        TypeError: the function takes no payload.
    """
    try:
        check_channel(channel)
    except InvalidNotification as error:
        raise ValueError(str(error)) from None

    def declare(function: Callable[..., Any]) -> Handler[Any]:
        made: Handler[Any] = Handler(function, channel, settings, tell=tell)
        if not made.parameters:
            raise TypeError(f"{made.path} takes no payload: it needs a parameter for what is enqueued")
        return made

    return declare


def first_mistake(error: Any, *, quoting: bool = False) -> tuple[str, str]:
    """Return where the first mistake in a payload is, and what it is: in a validator's own words only if `quoting`."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in ("payload", *first["loc"]))
    says = quoting or first["type"] not in {"value_error", "assertion_error"}  # these may quote the value
    return place, first["msg"][:1].lower() + first["msg"][1:] if says else "is refused by its type"
