"""The mapping file, in TOML: which task becomes a notification on which channel, and what its arguments become."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from outbox.config.base import Section
from outbox.config.problems import nearest, sentences
from outbox.config.sources import read_file
from outbox.errors import ConfigError, InvalidNotification
from outbox.importing import expression
from outbox.messages import PRIORITIES
from outbox.queue.draft import check_channel

if TYPE_CHECKING:
    from pathlib import Path

_NEED_A_RECIPIENT = frozenset(("email", "sms", "push", "inapp", "chat", "webhook"))


def _channel(value: str) -> str:
    try:
        return check_channel(value)
    except InvalidNotification as error:
        raise ValueError(error.problem) from None


def _priority(value: str | int) -> str | int:
    if value in PRIORITIES or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 9):  # noqa: PLR2004 - the CHECK's bounds
        return value
    raise ValueError(f"is none of {', '.join(PRIORITIES)}, nor a number from 0 (first) to 9 (last)")


Channel = Annotated[str, AfterValidator(_channel)]
Priority = Annotated[str | int, AfterValidator(_priority)]
Filled = Annotated[str, AfterValidator(expression.check)]
WORDS = "a text, in which {name} stands for an argument"


class Rule(Section):
    """What one task becomes."""

    channel: Channel | None = Field(default=None, description="the name of a channel")
    leave: bool = Field(default=False, description="true, for a task that stays where it is")
    recipient: Filled | None = Field(default=None, description=WORDS)
    template: Filled | None = Field(default=None, description=WORDS)
    topic: Filled | None = Field(default=None, description=WORDS)
    locale: Filled | None = Field(default=None, description=WORDS)
    time_zone: Filled | None = Field(default=None, description=WORDS)
    group_key: Filled | None = Field(default=None, description=WORDS)
    ordering_key: Filled | None = Field(default=None, description=WORDS)
    idempotency_key: Filled | None = Field(default=None, description=WORDS)
    priority: Priority | None = Field(default=None, description="urgent, high, normal, bulk, or 0 to 9")
    arguments: tuple[str, ...] = Field(default=(), description="a list of the names of positional arguments")
    rename: dict[str, str] = Field(default={}, description="a table of an argument's name to that in the payload")
    drop: tuple[str, ...] = Field(default=(), description="a list of names of arguments")
    set: dict[str, Any] = Field(default={}, description="a table of what else the payload has")
    decode: Literal["json", "text", "base64"] = Field(default="json", description="json, text or base64")
    into: str | None = Field(default=None, description="the name in the payload of what is no JSON object")

    @model_validator(mode="after")
    def _is_whole(self) -> Rule:
        if self.channel is None and not self.leave:
            raise ValueError('needs a channel, such as channel = "email", or leave = true')
        if self.recipient is None and self.channel in _NEED_A_RECIPIENT:
            raise ValueError(f'needs a recipient on the channel {self.channel}, such as recipient = "{{email}}"')
        if self.decode != "json" and self.into is None:
            raise ValueError(f'decode = "{self.decode}" needs to know into what: into = "body", say')
        return self


class Emails(Section):
    """What emails become whose fields are known."""

    channel: Channel = Field(default="email", description="the name of a channel")
    to: Literal["first", "each"] = Field(default="first", description="first or each")
    media: str | None = Field(default=None, description="the folder in which attachments are")
    media_url: str | None = Field(default=None, pattern="https?://", description="a URL that names of files follow")
    drop_headers: tuple[str, ...] = Field(default=(), description="a list of names of headers")
    topic: str | None = Field(default=None, description="a text")
    templates: dict[str, str] = Field(default={}, description="a table of their templates' names to ours")
    backends: dict[str, Channel] = Field(default={}, description="a table of their backends' names to channels")


class Mapping(Section):
    """A mapping file."""

    round: int = Field(default=1, ge=1, description="a whole number: 2 to import again what was imported before")
    queues: tuple[str, ...] | None = Field(default=None, description="a list of the only queues that count")
    priorities: dict[int, Priority] = Field(default={}, description="a table of their priorities to ours")
    emails: Emails = Emails()
    tasks: dict[str, Rule] = Field(default={}, description="tables of tasks")

    def key(self, source: str, identity: int | str) -> str:
        """Return the idempotency key of one row or task."""
        return f"{source}:{identity}" if self.round == 1 else f"{source}:{identity}:round-{self.round}"


def load(path: Path) -> Mapping:
    """Read a mapping file.

    Raises:
        ConfigError: every mistake in it, with its line, and the name that was perhaps meant.
    """
    tables = read_file(path, remedy="--map names it, --sketch prints one to begin with")
    text = path.read_text("utf-8-sig")
    problems: list[str] = []

    def read(model: type[Section], found: Any, *place: str) -> Any:
        name = ".".join(_quoted(each) for each in place)
        try:
            return model.model_validate(found)
        except ValidationError as error:
            told = sentences(error, model, name, lambda key: f"{path}{_line(text, place, key)}")
            problems.extend(sentence.replace(f"{name}: Value", f"{name} value") for sentence in told)
        return None

    tasks = tables.pop("tasks", {})
    if not isinstance(tasks, dict):
        raise ConfigError([f'{path}: tasks: must be tables such as [tasks."shop.send_invoice"]'])
    known = {name: read(Rule, found, "tasks", name) for name, found in tasks.items()}
    tables["emails"] = read(Emails, tables.get("emails", {}), "emails") or Emails()
    whole = read(Mapping, tables)
    if problems:
        raise ConfigError(problems)
    assert isinstance(whole, Mapping)  # noqa: S101 - there was no problem
    return whole.model_copy(update={"tasks": known})


def strangers(mapping: Mapping, there: set[str]) -> list[str]:
    """Return a sentence about each task of the mapping that the source does not have."""
    others = there - mapping.tasks.keys()
    missing = [task for task in mapping.tasks if task not in there]
    meant = [f"; {nearest(task, others)}" if others else "" for task in missing]
    return [
        f"the mapping has {task}, of which there is none at the source{hint}"
        for task, hint in zip(missing, meant, strict=True)
    ]


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[\w-]+", name) else f'"{name}"'


def _line(text: str, place: tuple[str, ...], key: str) -> str:
    """Return `, line 7`: where the key stands in the table, or else the table itself; nothing if neither is found."""
    table: tuple[str, ...] = ()
    best = ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("["):
            table = _header(line) or table
            if table == place:
                best = f", line {number}"
            elif table == (*place, key):
                return f", line {number}"
        elif table == place and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*[.=]""", line):
            return f", line {number}"
    return best


def _header(line: str) -> tuple[str, ...]:
    try:
        found: Any = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return ()
    names = []
    while isinstance(found, dict) and found:
        (name,) = found
        names.append(name)
        found = found[name]
    return tuple(names)
