"""edition: all templates as they stood at one moment, compiled when they are first needed."""

from __future__ import annotations

import difflib
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import BaseLoader, Template, TemplateNotFound, TemplateSyntaxError, nodes

from outbox.errors import ConfigError, Rejected
from outbox.messages import Digests
from outbox.render import digests, formats, markup
from outbox.render.plain_text import plain_text
from outbox.render.trouble import while_reading, while_rendering
from outbox.sandbox import COMPILED, Sandbox, Unloadable
from outbox.templates import layout, manifest
from outbox.templates.source import Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jinja2 import Environment

    from outbox.templates.manifest import Manifest
    from outbox.templates.source import Files
    from outbox.templates.variables import Check

_PLANS = 4_096
INCLUDES = (nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)


class NoSuchTemplate(Rejected):
    """There is no template of this name, so far."""


class Rendered(dict[str, str]):
    """A template's texts by file name, with digests of them and of the template."""

    __slots__ = ("digests",)
    digests: Digests

    def __init__(self, texts: dict[str, str], source: bytes) -> None:
        super().__init__(texts)
        self.digests = Digests(digests.of_texts(texts), source)


class _Text(NamedTuple):
    """One file of a plan."""

    file: str
    template: Template
    language: str
    finish: Callable[[str], str] | None


class _Plan(NamedTuple):
    """All that rendering a template in a locale, on a channel, needs."""

    check: Check | None
    texts: tuple[_Text, ...]
    shape: Callable[[dict[str, str]], dict[str, str]] | None
    source: bytes


class Loader(BaseLoader):
    """What a template includes or extends, out of the files of an edition."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:  # noqa: ARG002
        """Return a file's text, and how tracebacks call it."""
        text = self._files.get(template)
        if text is None:
            raise TemplateNotFound(template)
        if isinstance(text, Unreadable):
            raise Unloadable(text.problem)
        return text, COMPILED + template, lambda: True

    def list_templates(self) -> list[str]:
        """Return the paths of all files."""
        return sorted(self._files)


class Edition:
    """The templates of some files."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.sandbox = Sandbox(Loader(files))
        formats.add_to(self.sandbox)
        self._digests: dict[str, bytes] = {}
        self._plan = lru_cache(maxsize=_PLANS)(self._made)

    def render(
        self,
        name: str,
        variables: Mapping[str, Any],
        locale: str | None,
        channel: str | None,
        beside: Mapping[str, str] | None = None,
    ) -> Rendered:
        """Return a template's texts by file name; `Templates.render` says more."""
        plan = self._plan(name, locale, channel)
        if plan.check is not None and (misfit := plan.check(variables)) is not None:
            raise Rejected(f"template {name}: {misfit.path} {misfit.problem}")
        self.sandbox.begin()
        texts = {}
        names = {**self.sandbox.globals, **(beside or {}), **variables}
        spoken = None
        for file, template, language, finish in plan.texts:
            if language != spoken:
                self.sandbox.speak(language)
                spoken = language
            try:
                text = self.sandbox.text(template, names)
                texts[file] = text if finish is None else finish(text)
            except MemoryError:
                raise
            except Rejected as error:  # by what finishes it
                problem = f"{file}: {error.detail}"
            except Exception as error:  # noqa: BLE001 - a template is a program, and may fail in any way
                problem = while_rendering(error, self.files)
            else:
                continue
            # Raised out here so that the original, whose words may quote the payload, is not in its context.
            raise Rejected(f"template {name}: {problem}")
        return Rendered(texts if plan.shape is None else plan.shape(texts), plan.source)

    def manifest(self, name: str) -> Manifest:
        """Return what a template says of itself.

        Raises:
            Rejected: there is no such template, or its template.toml is wrong.
        """
        self._insist_on(name)
        try:
            return manifest.read(name, self.files)
        except ConfigError as error:
            problem = error.problems[0]
        raise Rejected(f"template {name}: {problem}")

    def digest(self, name: str) -> bytes:
        """Return the digest of a template with all that it includes."""
        if name not in self._digests:
            self._digests[name] = digests.of_source(name, self.files, self.included)
        return self._digests[name]

    def included(self, path: str) -> list[str] | None:
        """Return what a file may include or extend; None where that is decided when it is rendered."""
        text, found = self.files[path], []
        try:
            tree = self.sandbox.parse(text, path) if isinstance(text, str) else nodes.Template([])
        except TemplateSyntaxError:  # told when it is needed
            return []
        for tag in tree.find_all(INCLUDES):
            target = getattr(tag, "template", None)
            items = target.items if isinstance(target, nodes.Tuple | nodes.List) else [target]
            if not all(isinstance(item, nodes.Const) and isinstance(item.value, str) for item in items):
                return None
            found += [item.value for item in items if isinstance(item, nodes.Const)]
        return found

    def _insist_on(self, name: str) -> None:
        if not layout.is_name(name):
            raise Rejected(f"{name[:80]!r} is not a template's name: letters, digits, _ . - and / between the parts")
        if not any(path.startswith(f"{name}/") for path in self.files):
            raise NoSuchTemplate(f"there is no template {name}{self._resembling(name)}")

    def _made(self, name: str, locale: str | None, channel: str | None) -> _Plan:
        said = self.manifest(name)
        if channel is not None and said.channels and channel not in said.channels:
            raise Rejected(f"template {name}: it is for {' and '.join(said.channels)}, not for {channel}")
        found = layout.pick(name, self.files, locale=locale, channel=channel)
        if not found and not layout.pick(name, self.files, locale=locale, channel=None):
            raise Rejected(f"template {name}: it has none of {', '.join(layout.PARTS[:3])}")
        texts = tuple(
            _Text(
                "body.html" if each.file == "body.mjml" else each.file,
                self._load(name, each.path),
                _language(each.locale, locale, said.locale),
                _finish(each.file, said),
            )
            for each in found
        )
        files = [text.file for text in texts]
        derive = channel == "email" and said.text_from_html and "body.html" in files and "body.txt" not in files
        return _Plan(said.check, texts, _shape(files, derive_text=derive), self.digest(name))

    def _load(self, name: str, path: str) -> Template:
        try:
            return self.sandbox.get_template(path)
        except (TemplateSyntaxError, Unloadable) as error:
            problem = while_reading(path, error)
        raise Rejected(f"template {name}: {problem}")

    def _resembling(self, name: str) -> str:
        parent, _, last = name.rpartition("/")
        root = f"{parent}/" if parent else ""
        siblings = {path[len(root) :].partition("/")[0] for path in self.files if path.startswith(root)}
        close = difflib.get_close_matches(last, siblings, n=1)
        return f"; did you mean {close[0]}?" if close else ""


def _language(found: str | None, wanted: str | None, own: str) -> str:
    """Return the locale to write in: the one asked for, if the text is in its language, else the text's."""
    text = found or own
    if wanted and wanted.replace("_", "-").lower().split("-")[0] == text.replace("_", "-").lower().split("-")[0]:
        return wanted
    return text


def _finish(file: str, said: Manifest) -> Callable[[str], str] | None:
    if file == "body.mjml":
        return markup.from_mjml
    return markup.with_css_inline if file == "body.html" and said.inline_css else None


def _shape(files: list[str], *, derive_text: bool) -> Callable[[dict[str, str]], dict[str, str]] | None:
    """Return what makes texts the parts that they are: a message in one file is taken apart, a subject is one line."""
    if derive_text:
        return _with_text
    if len(files) == 1 and files[0] in layout.ALONE:
        (file,) = files
        return _titled if file in layout.TITLED else lambda texts: {"body.txt": texts[file]}
    return _with_one_line if "subject.txt" in files else None


def _with_text(texts: dict[str, str]) -> dict[str, str]:
    texts["body.txt"] = plain_text(texts["body.html"])
    return _with_one_line(texts) if "subject.txt" in texts else texts


def _titled(texts: dict[str, str]) -> dict[str, str]:
    (whole,) = texts.values()
    title, _, body = whole.lstrip().partition("\n")
    return {"subject.txt": _one_line(title), "body.txt": body.strip()}


def _with_one_line(texts: dict[str, str]) -> dict[str, str]:
    texts["subject.txt"] = _one_line(texts["subject.txt"])
    return texts


def _one_line(text: str) -> str:
    return " ".join(part for line in text.splitlines() if (part := line.strip()))
