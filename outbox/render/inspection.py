"""inspection: what is wrong with templates, found without rendering any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jinja2 import TemplateSyntaxError, nodes

from outbox.errors import ConfigError
from outbox.render import markup
from outbox.render.edition import INCLUDES
from outbox.render.trouble import while_reading
from outbox.sandbox import Unloadable
from outbox.templates import layout, manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.render.edition import Edition
    from outbox.templates.source import Source


def broken(edition: Edition) -> dict[str, str]:
    """Return the files that cannot be used at all, each with what is wrong with it."""
    found: dict[str, str] = {}
    for folder, files in layout.folders(edition.files).items():
        for path in (f"{folder}/{file}".lstrip("/") for file in files):
            if problem := _unreadable(edition, path):
                found[path] = problem
    for name in layout.names(edition.files):
        for problem in _of_manifest(edition, name):
            found[f"{name}/{manifest.FILE}"] = problem
    return found


def problems(edition: Edition, source: Source, *, all_emails: bool) -> list[str]:
    """Return what is wrong with any of the templates, one sentence each."""
    found: list[str] = []
    names = set(layout.names(edition.files))
    for folder, files in sorted(layout.folders(edition.files).items()):
        for file in sorted(files):
            found += _of_file(edition, source, f"{folder}/{file}".lstrip("/"))
        if not folder or layout.is_shared(folder):
            continue
        misspelt = {file: meant for file in sorted(files) if (meant := layout.misspelt(file))}
        found += [
            f"{source.place(f'{folder}/{file}')}: a template has no such file; did you mean {meant}?"
            for file, meant in misspelt.items()
        ]
        if "body.mjml" in files and not markup.has_mjml():
            found.append(f"{source.place(f'{folder}/body.mjml')}: {markup.NO_MJML}")
        if not layout.is_locale_of(folder, names):
            lacking = _lacking(files.union(misspelt.values()), all_emails=all_emails)
            found += [f"{_folder(source, folder)}: {lack}" for lack in lacking]
    for name in sorted(names):
        found += [_placed(source, problem) for problem in _of_manifest(edition, name)]
    return found


def _of_file(edition: Edition, source: Source, path: str) -> Iterator[str]:
    if problem := _unreadable(edition, path):
        yield _placed(source, problem)
        return
    text = edition.files[path]
    assert isinstance(text, str)  # noqa: S101 - it has just been compiled
    for include in edition.sandbox.parse(text, path).find_all(INCLUDES):
        wanted = _constants(include)
        if wanted and not any(layout.is_name(name) and name in edition.files for name in wanted):
            place = f"{source.place(path)}, line {include.lineno}"
            yield f"{place}: there is no {' or '.join(wanted)} in {source.name}"


def _unreadable(edition: Edition, path: str) -> str | None:
    """Say why a file cannot be compiled; the sentence begins with its path, or that of what it includes."""
    try:
        edition.sandbox.get_template(path)
    except (TemplateSyntaxError, Unloadable) as error:
        return while_reading(path, error)
    return None


def _of_manifest(edition: Edition, name: str) -> tuple[str, ...]:
    try:
        manifest.read(name, edition.files)
    except ConfigError as error:
        return error.problems
    return ()


def _placed(source: Source, problem: str) -> str:
    """Return a sentence that begins with a path as one that begins with where that is."""
    end = min((at for mark in (", line ", ": ", " is not ") if (at := problem.find(mark)) >= 0), default=len(problem))
    return source.place(problem[:end]) + problem[end:]


def _folder(source: Source, folder: str) -> str:
    return source.place(folder)


def _constants(include: nodes.Node) -> list[str]:
    """Return the names that a tag includes or extends, if they can be read off and are not optional."""
    target = getattr(include, "template", None)
    items = target.items if isinstance(target, nodes.Tuple | nodes.List) else [target]
    names = [item.value for item in items if isinstance(item, nodes.Const) and isinstance(item.value, str)]
    return names if len(names) == len(items) and not getattr(include, "ignore_missing", False) else []


def _lacking(files: set[str], *, all_emails: bool) -> Iterator[str]:
    if files.isdisjoint((*layout.PARTS[1:], *layout.ALONE)):
        yield "it has no body.txt and no body.html; if it holds what others include, begin its name with _"
    elif all_emails and "subject.txt" not in files:
        yield "it has no subject.txt, and every email needs a subject"
