"""render: a template and a payload become texts. What is wrong with either is `Rejected`, naming the place.

Messages name templates, files, lines and variables, never a payload's values: they are stored and logged.
"""

from __future__ import annotations

import difflib
import re
import traceback
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from jinja2 import FileSystemLoader, Template, TemplateNotFound, TemplateSyntaxError, UndefinedError, nodes
from jinja2.exceptions import SecurityError

from outbox.errors import Rejected
from outbox.sandbox import MissingName, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

FILES = ("subject.txt", "body.txt", "body.html")
_SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_NAME = re.compile(rf"(?=.{{1,200}}\Z){_SEGMENT}(?:/{_SEGMENT})*")
_LOCALE = re.compile(r"[a-z]{2,3}(?:[-_][a-z]{4})?(?:[-_](?:[a-z]{2}|[0-9]{3}))?", re.IGNORECASE)  # BCP 47, in short
_UNREADABLE = (TemplateSyntaxError, UnicodeDecodeError, OSError)


class Templates:
    """The templates in a folder: `<name>/{subject.txt,body.txt,body.html}`, and `<name>/<locale>/…` over them.

    A file is read and compiled when it is first needed and kept: a changed one is seen by the next process, a new one
    at once. Folders that begin with an underscore hold what templates include or extend.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._loader = FileSystemLoader(path, followlinks=True)  # a mounted ConfigMap is made of links
        self._sandbox = Sandbox(self._loader)
        self._compiled = lru_cache(maxsize=4_096)(self._compile)

    def render(self, name: str, variables: Mapping[str, Any], *, locale: str | None = None) -> dict[str, str]:
        """Return the template's texts by file name, for those files that it has.

        File by file, the locale's own is taken, else its language's (`pt` for `pt-BR`), else the one without locale.
        The subject comes out as one line; only `.html` is escaped.

        Raises:
            Rejected: no such template; a variable is missing; the template is wrong, does what the sandbox refuses,
                or makes more than 1 MiB.
        """
        texts = {}
        names = {**self._sandbox.globals, **variables}
        for file, template in self._compiled(name, (locale or "").replace("_", "-").lower()).items():
            try:
                texts[file] = self._sandbox.text(template, names)
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001 - a template is a program, and may fail in any way
                problem = self._explain(error)
            else:
                continue
            # Raised out here so that the original, whose words may quote the payload, is not in its context.
            raise Rejected(f"template {name}: {problem}")
        if "subject.txt" in texts:
            texts["subject.txt"] = " ".join(
                part for line in texts["subject.txt"].splitlines() if (part := line.strip())
            )
        return texts

    def names(self) -> list[str]:
        """Return the names of all templates, sorted. A locale's folder is part of its template."""
        folders = self._folders()
        found = {folder for folder, files in folders.items() if files.intersection(FILES) and not _shared(folder)}
        return sorted(folder for folder in found if not _is_locale_of(folder, found))

    def check(self, *, all_emails: bool = False) -> list[str]:
        """Return what is wrong with any of the templates, one sentence each, without rendering them.

        If `all_emails`, they are used for nothing else, and each needs a subject.
        """
        if not self.path.is_dir():
            return [f"{self.path}: there is no such folder of templates"]
        problems: list[str] = []
        names = set(self.names())
        for folder, files in sorted(self._folders().items()):
            for file in sorted(files):
                problems += self._check_file(f"{folder}/{file}".lstrip("/"))
            if folder and not _shared(folder):
                misspelt = {file: meant for file in sorted(files) if (meant := _misspelt(file))}
                problems += [
                    f"{self.path / folder / file}: a template has no such file; did you mean {meant}?"
                    for file, meant in misspelt.items()
                ]
                if not _is_locale_of(folder, names):
                    lacking = _lacking(files.union(misspelt.values()), all_emails=all_emails)
                    problems += [f"{self.path / folder}: {lack}" for lack in lacking]
        return problems

    def _compile(self, name: str, locale: str) -> dict[str, Template]:
        if not _NAME.fullmatch(name):
            raise Rejected(f"{name[:80]!r} is not a template's name: letters, digits, _ . - and / between the parts")
        folder = self.path / name
        if not folder.is_dir():
            raise Rejected(f"there is no template {name}{_resembling(folder)}")
        locales = {child.name.replace("_", "-").lower(): child for child in folder.iterdir() if child.is_dir()}
        found: dict[str, Template] = {}
        for place in (*(locales[tag] for tag in _widening(locale) if tag in locales), folder):
            for file in FILES:
                if file not in found and (place / file).is_file():
                    found[file] = self._load(name, (place / file).relative_to(self.path).as_posix())
        if not found:
            raise Rejected(f"template {name}: it has none of {', '.join(FILES)}")
        return {file: found[file] for file in FILES if file in found}

    def _load(self, name: str, file: str) -> Template:
        try:
            return self._sandbox.get_template(file)
        except _UNREADABLE as error:
            problem = _syntax(file, error)
        raise Rejected(f"template {name}: {problem}")

    def _explain(self, error: Exception) -> str:
        """Say what went wrong while rendering, and where: Jinja2 puts the template's own lines into the traceback."""
        if isinstance(error, TemplateSyntaxError):  # in a file that it includes
            return _syntax("", error)
        root = f"{self.path}/"
        lines = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
        file, line = next(((name, line) for name, line in reversed(lines) if name.startswith(root)), ("", 0))
        if not file:
            return _trouble(error, "")
        file = file.removeprefix(root)
        return f"{file}, line {line}: {_trouble(error, self._source(file), line)}"

    def _source(self, file: str) -> str:
        return self._loader.get_source(self._sandbox, file)[0]

    def _folders(self) -> dict[str, set[str]]:
        """Return the template files by folder, without hidden ones."""
        folders: dict[str, set[str]] = {}
        for path in self._sandbox.list_templates():
            folder, _, file = path.rpartition("/")
            if not path.startswith(".") and "/." not in path and _looks_like_template(file):
                folders.setdefault(folder, set()).add(file)
        return folders

    def _check_file(self, file: str) -> Iterator[str]:
        try:
            tree = self._sandbox.parse(self._source(file), file)
            includes = list(tree.find_all((nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)))
            self._sandbox.get_template(file)
        except _UNREADABLE as error:
            yield str(self.path / _syntax(file, error))
            return
        for include in includes:
            wanted = _constants(include)
            if wanted and not any(_NAME.fullmatch(name) and (self.path / name).is_file() for name in wanted):
                yield f"{self.path / file}, line {include.lineno}: there is no {' or '.join(wanted)} in {self.path}"


def _widening(locale: str) -> Iterator[str]:
    """Yield `pt-br`, `pt` for `pt-br`."""
    while locale:
        yield locale
        locale = locale.rpartition("-")[0]


def _resembling(folder: Path) -> str:
    siblings = [child.name for child in folder.parent.iterdir()] if folder.parent.is_dir() else []
    close = difflib.get_close_matches(folder.name, siblings, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _syntax(file: str, error: Exception) -> str:
    match error:
        case TemplateSyntaxError():
            return f"{error.name or file}, line {error.lineno}: {error.message}"
        case UnicodeDecodeError():
            return f"{file}: it is not UTF-8"
        case _:
            return f"{file}: it cannot be read"


def _trouble(error: Exception, source: str, line: int = 1) -> str:
    """Return what went wrong. A name is only shown if the template has it: one computed at run time may be a value."""
    match error:
        case MissingName(message=str(name)):
            written = re.search(rf"[\w.]*\b{re.escape(name)}\b", "\n".join(source.splitlines()[line - 1 :]))
            return f"{written[0]!r} is missing from the payload" if written else "the payload lacks a name it gives"
        case TemplateNotFound(name=name):
            return (
                f"there is no {name}"
                if isinstance(name, str) and name in source
                else "there is no template of the name it computes"
            )
        case SecurityError():
            return f"the sandbox refuses {error.message}"
        case UndefinedError():
            return str(error.message)
        case _:
            return type(error).__name__


def _constants(include: nodes.Node) -> list[str]:
    """Return the names that a tag includes or extends, if they can be read off and are not optional."""
    target = getattr(include, "template", None)
    items = target.items if isinstance(target, nodes.Tuple | nodes.List) else [target]
    names = [item.value for item in items if isinstance(item, nodes.Const) and isinstance(item.value, str)]
    return names if len(names) == len(items) and not getattr(include, "ignore_missing", False) else []


def _shared(folder: str) -> bool:
    return any(part.startswith("_") for part in folder.split("/"))


def _misspelt(file: str) -> str | None:
    """Return the file of a template that a name of none stands for, if it resembles one more than by chance."""
    close = difflib.get_close_matches(file, FILES, n=1, cutoff=0.6 if file.startswith("subject.") else 0.8)
    return close[0] if close and file not in FILES else None


def _lacking(files: set[str], *, all_emails: bool) -> Iterator[str]:
    if files.isdisjoint(FILES[1:]):
        yield "it has no body.txt and no body.html; if it holds what others include, begin its name with _"
    elif all_emails and "subject.txt" not in files:
        yield "it has no subject.txt, and every email needs a subject"


def _is_locale_of(folder: str, templates: set[str]) -> bool:
    parent, _, last = folder.rpartition("/")
    return parent in templates and _LOCALE.fullmatch(last) is not None


def _looks_like_template(file: str) -> bool:
    return file.endswith((".txt", ".html")) or file.startswith(("subject.", "body."))
