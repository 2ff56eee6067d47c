"""render: what a template says with a payload, as a worker would render it; for tests that keep a snapshot of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from outbox import oneclick
from outbox.payloads import as_json
from outbox.render import Templates
from outbox.templates.configured import source
from outbox.testing.settings import configuration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox.config import Config

_LIMIT = 262_144  # as enqueue takes
_NAMES = {"subject.txt": "subject", "body.txt": "text", "body.html": "html"}


@dataclass(frozen=True, slots=True)
class Rendering:
    """What a template says. `parts` are its texts by file name, among them those of other channels than email."""

    template: str
    parts: Mapping[str, str]

    @property
    def subject(self) -> str | None:
        """The subject, or title, in one line."""
        return self.parts.get("subject.txt")

    @property
    def text(self) -> str | None:
        """The plain text."""
        return self.parts.get("body.txt")

    @property
    def html(self) -> str | None:
        """The HTML, its CSS inlined as it would be sent."""
        return self.parts.get("body.html")

    def __str__(self) -> str:
        """Return all of it as one text for a snapshot file: the same for the same words, and it ends with a newline."""
        return "".join(
            f"--- {_NAMES.get(file, file)}\n{self.parts[file].rstrip()}\n" for file in sorted(self.parts, key=_place)
        )


def render(
    template: str,
    payload: Mapping[str, Any] | None = None,
    *,
    locale: str | None = None,
    channel: str | None = None,
    config: Config | None = None,
) -> Rendering:
    """Render a template, with the configuration's templates. No database is needed, and nothing is sent.

    Args:
        template: its name, such as "welcome".
        payload: its variables, as they would be enqueued.
        locale: the language to render in, such as "pt-BR".
        channel: as on this channel; without it, on its only one, or else every file that it has.
        config: as `configuration()` returns it by default.

    Raises:
        Rejected: it cannot be rendered: no such template, a variable is missing, and so on.
        InvalidNotification: no such payload could be enqueued.
    """
    its = config or configuration()
    templates = Templates(source(its))
    said = templates.manifest(template)
    channel = channel or (said.channels[0] if len(said.channels) == 1 else None)
    beside = oneclick.sample(its, said.topic) if channel in {"email", None} else None
    variables = _stored(payload or {})
    parts = templates.render(template, variables, locale=locale, channel=channel, beside=beside)
    return Rendering(template, dict(parts))


def _stored(payload: Mapping[str, Any]) -> Any:
    """Return a payload as it comes back from the database, where a tuple is a list."""
    return json.loads(as_json("payload", payload, _LIMIT))


def _place(file: str) -> tuple[int, str]:
    """Sort the subject first, then the text, the HTML, and what else there is."""
    names = list(_NAMES)
    return (names.index(file), "") if file in names else (len(names), file)
