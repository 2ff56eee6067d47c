"""`outbox template` as people see it."""

from __future__ import annotations

import json
import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from outbox import oneclick
from outbox.durations import describe
from outbox.errors import ConfigError, Rejected
from outbox.render import Templates
from outbox.render.rehearsal import rehearse, sample
from outbox.telling.words import counted
from outbox.templates import layout
from outbox.templates.configured import source
from outbox.terminal.output import Column, done, note, print_facts, print_json, print_table, say
from outbox.terminal.setup import FAILED, complain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from outbox.config import Config
    from outbox.render.rehearsal import Rehearsed

_COLUMNS = (Column("template", "whole"), Column("channels"), Column("languages"), Column("files"), Column("samples"))


class Asked(NamedTuple):
    """The arguments of `outbox template render`."""

    name: str
    payload: str | None
    locale: str | None
    channel: str | None
    part: str | None
    browse: bool
    as_json: bool


def list_all(config: Config, *, as_json: bool) -> int:
    """Print every template; what is wrong with one's template.toml is told beside the others.

    Raises:
        ConfigError: there is no folder of templates.
    """
    templates = _found(config)
    documents = [_document(templates, name) for name in templates.names()]
    if as_json:
        print_json(documents)
        return 0
    if not documents:
        note(f"there is no template in {templates.source.name}")
        return 0
    print_table(_COLUMNS, [_row(document) for document in documents])
    return 0


def show(config: Config, name: str, *, as_json: bool) -> int:
    """Print all that a template says of itself."""
    templates = _found(config)
    said = templates.manifest(name)
    document = _document(templates, name)
    if as_json:
        print_json(document)
        return 0
    print_facts(
        [
            ("template", name),
            ("in", templates.source.name),
            ("channels", ", ".join(said.channels) or "any"),
            ("topic", said.topic),
            ("priority", None if said.priority is None else str(said.priority)),
            ("expires in", None if said.expires_in is None else describe(said.expires_in)),
            ("languages", ", ".join([f"{said.locale} (under no locale)", *document["locales"]])),
            ("files", ", ".join(document["files"])),
            ("includes", ", ".join(document["includes"]) or None),
            ("samples", ", ".join(document["samples"]) or None),
            ("source", document["source"]),
        ]
    )
    return 0


def render(config: Config, asked: Asked) -> int:
    """Print a template's texts, or one of them, or show its HTML in the browser.

    Raises:
        ConfigError: the payload cannot be read, or there is no such part.
        Rejected: it cannot be rendered.
    """
    templates = _found(config)
    said = templates.manifest(asked.name)
    channel = asked.channel or (said.channels[0] if len(said.channels) == 1 else None)
    payload = _payload(templates, asked, said.samples)
    beside = oneclick.sample(config, said.topic) if channel in {"email", None} else None
    parts = templates.render(asked.name, payload, locale=asked.locale, channel=channel, beside=beside)
    if asked.browse:
        return _browse(parts)
    if asked.part is not None:
        return _print_part(parts, asked.part)
    content, origin = parts.digests.content.hex(), parts.digests.template.hex()
    if asked.as_json:
        given = {"template": asked.name, "locale": asked.locale, "channel": channel}
        print_json(given | {"parts": parts, "content": content, "source": origin})
        return 0
    for file, text in parts.items():
        say(file, "bold")
        sys.stdout.write(f"{text}\n\n")
        sys.stdout.flush()
    note(f"content {content}, of source {origin}")
    return 0


def check(config: Config, *, as_json: bool) -> int:
    """Print every mistake in the templates, and in what they make of their samples; 1 if there are any."""
    templates = _found(config)
    problems = templates.check(all_emails=set(config.channels) == {"email"})
    rendered, unsampled = 0, []
    for name in templates.names():
        try:
            beside = oneclick.sample(config, templates.manifest(name).topic)
            tried = list(rehearse(templates, name, beside))
        except Rejected:  # its template.toml, which is among the problems
            continue
        rendered += len(tried)
        problems += [_sentence(one) for one in tried if one.problem is not None and not _is_told(one.problem, problems)]
        if not tried:
            unsampled.append(name)
    problems = list(dict.fromkeys(problems))
    if as_json:
        names = templates.names()
        print_json({"templates": names, "rendered": rendered, "without_samples": unsampled, "problems": problems})
        return FAILED if problems else 0
    for problem in problems:
        complain(problem)
    if unsampled:
        note(f"without a sample.json, nothing but the syntax was looked at: {', '.join(unsampled)}")
    if not problems:
        done(f"{counted(len(templates.names()), 'template')}, {counted(rendered, 'rendering')}: all is well")
    return FAILED if problems else 0


def _found(config: Config) -> Templates:
    templates = Templates(source(config))
    if (absent := templates.source.absent()) is not None:
        raise ConfigError([absent])
    return templates


def _document(templates: Templates, name: str) -> dict[str, Any]:
    files = [path.removeprefix(f"{name}/") for path in templates.files if path.startswith(f"{name}/")]
    document: dict[str, Any] = {
        "name": name,
        "locales": layout.locales(name, templates.files),
        "files": sorted(file for file in files if file in layout.FILES),
    }
    try:
        said = templates.manifest(name)
    except Rejected as error:
        return document | {"problem": error.detail}
    return document | {
        "channels": said.channels,
        "topic": said.topic,
        "priority": said.priority,
        "expires_in_seconds": said.expires_in,
        "locale": said.locale,
        "includes": sorted(templates.includes(name)),
        "samples": [path.removeprefix(f"{name}/") for path in said.samples],
        "source": templates.digest(name).hex(),
    }


def _row(document: dict[str, Any]) -> list[str]:
    if "problem" in document:
        return [document["name"], "?", "?", document["problem"], "?"]
    return [
        document["name"],
        ", ".join(document["channels"]) or "any",
        ", ".join([document["locale"], *document["locales"]]),
        ", ".join(document["files"]),
        ", ".join(document["samples"]) or "-",
    ]


def _payload(templates: Templates, asked: Asked, samples: Iterable[str]) -> dict[str, Any]:
    given = asked.payload
    if given is None:
        path = next(iter(samples), None)
        return {} if path is None else sample(templates, path)
    try:
        if given == "-":
            given = sys.stdin.read()
        elif not given.lstrip().startswith("{"):
            given = Path(given.removeprefix("@")).read_text(encoding="utf-8")
        payload = json.loads(given)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError([f"--payload: {asked.payload} cannot be read: {reason}"]) from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ConfigError([f"--payload: it is not JSON: {error.msg} at {where}"]) from None
    if not isinstance(payload, dict):
        raise ConfigError(['--payload: it must be a JSON object, such as {"name": "Ada"}'])
    return payload


def _print_part(parts: dict[str, str], part: str) -> int:
    if part not in parts:
        raise ConfigError([f"--part: there is no {part}; it has {', '.join(parts)}"])
    sys.stdout.write(parts[part])
    if sys.stdout.isatty():
        sys.stdout.write("\n")
    return 0


def _browse(parts: dict[str, str]) -> int:
    html = parts.get("body.html")
    if html is None:
        complain("it has no HTML to show: --open is for templates with a body.html or body.mjml")
        return FAILED
    with tempfile.NamedTemporaryFile("w", suffix=".html", encoding="utf-8", delete=False) as file:
        file.write(html)
    opened = webbrowser.open(Path(file.name).as_uri())
    (done if opened else note)(f"the HTML is in {file.name}{'' if opened else '; there is no browser here'}")
    return 0


def _sentence(one: Rehearsed) -> str:
    problem = str(one.problem)
    where = "" if problem.startswith(one.sample) else f"{one.sample}: "
    return f"{where}{problem}{f' (in {one.locale})' if one.locale else ''}"


def _is_told(problem: str, told: list[str]) -> bool:
    """Tell whether a mistake was found without rendering too."""
    _, _, detail = problem.partition(": ")
    return any(sentence.endswith(detail) for sentence in told)
