"""rehearsal: templates rendered with their samples, in every language and on every channel that they are for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from outbox.errors import Rejected
from outbox.templates import layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from outbox.render import Templates


class Rehearsed(NamedTuple):
    """One rendering: with which sample, in which locale, on which channel; and what was wrong, if anything was."""

    template: str
    sample: str
    locale: str | None
    channel: str | None
    problem: str | None


def rehearse(templates: Templates, name: str, beside: Mapping[str, str] | None = None) -> Iterator[Rehearsed]:
    """Render a template in every way that its samples let us; an email sees what is `beside` them, too.

    Raises:
        Rejected: there is no such template, or its template.toml is wrong.
    """
    said = templates.manifest(name)
    for path in said.samples:
        for locale in (None, *layout.locales(name, templates.files)):
            for channel in said.channels or (None,):
                problem = _problem(templates, Rehearsed(name, path, locale, channel, None), beside)
                yield Rehearsed(name, path, locale, channel, problem)


def sample(templates: Templates, path: str) -> dict[str, Any]:
    """Return a sample payload.

    Raises:
        Rejected: the file is no JSON object.
    """
    text = templates.files.get(path)
    try:
        payload = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict):
        raise Rejected(f"{path}: it must be a JSON object, such as {{}}")
    return payload


def _problem(templates: Templates, tried: Rehearsed, beside: Mapping[str, str] | None) -> str | None:
    name, path, locale, channel, _ = tried
    seen = beside if channel in {"email", None} else None
    try:
        parts = templates.render(name, sample(templates, path), locale=locale, channel=channel, beside=seen)
    except Rejected as error:
        return error.detail
    if channel == "email" and "subject.txt" not in parts:
        return f"template {name}: subject.txt is missing, and every email needs a subject"
    return None if parts or channel is None else f"template {name}: it has nothing for {channel}"
