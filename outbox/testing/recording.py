"""What was sent, to look at: the messages that `outbox.channels.recorder` has recorded in this process."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, overload

from outbox import channels
from outbox.channels.recorder import Recorded, recorded
from outbox.testing.fakes import FakeProvider

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Recorder(Sequence[Any]):
    """The messages in the order in which they were sent, each as its provider is given it, such as an `Email`."""

    @overload
    def __getitem__(self, position: int) -> Any: ...
    @overload
    def __getitem__(self, position: slice) -> list[Any]: ...
    def __getitem__(self, position: int | slice) -> Any:
        """Return one message, or some."""
        return self.messages[position]

    def __len__(self) -> int:
        """Return how many were sent."""
        return len(recorded)

    def __repr__(self) -> str:
        """Show what was sent, and to whom."""
        return f"Recorder({self.messages!r})"

    @property
    def messages(self) -> list[Any]:
        """All messages."""
        return [each.message for each in recorded]

    @property
    def recorded(self) -> list[Recorded]:
        """All messages, each with the id of its notification."""
        return list(recorded)

    def to(self, recipient: str) -> list[Any]:
        """Return the messages to one recipient."""
        return [message for message in self.messages if getattr(message, "recipient", None) == recipient]

    def clear(self) -> None:
        """Forget all of them."""
        recorded.clear()


@contextmanager
def recording() -> Iterator[Recorder]:
    """Record what is sent in this process meanwhile, by workers that run in it too, instead of sending it.

    What was recorded before is forgotten, and so is this when the block ends.
    """

    def load_provider(channel: str, name: str, section: Mapping[str, Any]) -> FakeProvider:  # noqa: ARG001
        return FakeProvider()

    kept, channels.load_provider = channels.load_provider, load_provider
    recorded.clear()
    try:
        yield Recorder()
    finally:
        channels.load_provider = kept
        recorded.clear()
