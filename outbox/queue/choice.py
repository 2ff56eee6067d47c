"""What somebody wants, or does not, checked and put into the text form that the statements take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from outbox.errors import InvalidPreference, InvalidSuppression
from outbox.queue.declared import problem_with
from outbox.queue.entry import Key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox.queue.declared import Declared

_LONGEST_SOURCE = 100
_FIELDS = frozenset({"channel", "recipient", "topic", "wanted"})


class Choice(NamedTuple):
    """That one recipient wants a topic on a channel, or does not."""

    channel: str
    recipient: str
    topic: str
    wanted: bool

    @classmethod
    def of(cls, given: Mapping[str, Any], position: int | None = None) -> Choice:
        """Check what was given; `position` names the one of many in the error.

        Raises:
            InvalidPreference: naming the argument, what is wrong, and what would be right.
        """
        where = "" if position is None else f"[{position}]."
        for name in (*given, *_FIELDS):
            if name not in _FIELDS:
                raise InvalidPreference(f"{where}{name}", f"is no field; these are: {', '.join(sorted(_FIELDS))}")
            if name not in given:
                raise InvalidPreference(f"{where}{name}", "is missing")
        key = named(given["channel"], given["recipient"], given["topic"], where)
        if not isinstance(given["wanted"], bool):
            raise InvalidPreference(f"{where}wanted", f"must be True or False, not {type(given['wanted']).__name__}")
        return cls(key.channel, key.recipient, str(key.topic), given["wanted"])

    def __repr__(self) -> str:
        """Show what it is about, but not whom."""
        return f"Choice({self.channel!r}, …, topic={self.topic!r}, wanted={self.wanted!r})"


def named(channel: Any, recipient: Any, topic: Any, where: str = "") -> Key:
    """Return whom and what a preference is about, checked.

    Raises:
        InvalidPreference: naming the argument, what is wrong, and what would be right.
    """
    try:
        key = Key.of(channel, recipient, topic, None)
    except InvalidSuppression as error:
        raise InvalidPreference(f"{where}{error.field}", error.problem) from None
    if key.topic is None:
        raise InvalidPreference(f"{where}topic", "is missing: it says what is wanted, or not")
    return key


def check_source(source: Any) -> str:
    """Return who says so. Raises InvalidPreference: it is no text, or too long."""
    if not isinstance(source, str) or not 1 <= len(source) <= _LONGEST_SOURCE or not source.isprintable():
        raise InvalidPreference("source", f"must be a text of 1 to {_LONGEST_SOURCE} printable characters")
    return source


def refuse_undeclared(choice: Choice, declared: Mapping[str, Declared], position: int | None = None) -> None:
    """Refuse what nobody can choose.

    Raises:
        InvalidPreference: the topic is not declared, not sent by this channel, or one that everybody gets.
    """
    problem = problem_with(choice.topic, choice.channel, declared)
    if problem is None and choice.topic in declared and declared[choice.topic].transactional:
        problem = f"{choice.topic!r} is transactional: everybody gets it, and nobody chooses"
    if problem is not None:
        raise InvalidPreference("topic" if position is None else f"[{position}].topic", problem)
