"""Jinja2's sandbox, with bounds on what a short template can blow up: widths, repeats, powers, ranges, joins, loops.

Templates are written by operators, payloads by anybody: the sandbox keeps a payload's text from being code, and the
bounds keep a slip in a template, or a number in a payload, from eating the worker's memory, or its time. They are no
defence against a template that means harm.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
import threading
import time
from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined, Undefined, UndefinedError
from jinja2.compiler import CodeGenerator
from jinja2.exceptions import SecurityError, TemplateRuntimeError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, MutableMapping

    from jinja2 import BaseLoader, Template, nodes
    from jinja2.compiler import Frame
    from jinja2.runtime import Context

LARGEST = 1_048_576  # characters of a text, 1 MiB
WIDEST = 200  # a width, an indentation, a fill; 200 a line is 50 MB for the largest payload, all of it newlines
LONGEST = 10_000  # items of a range or of a repeated list
MOST_STEPS = 100_000  # turns of loops, calls and includes in one message
LONGEST_TIME = 2  # seconds of computing, of one message that loops
_LOOK_EVERY = 64  # of these steps; to ask for the time takes as long as five
_PARTS = 32  # of a text, measured at once: one by one is more than a third of rendering it
_MOST_BITS = 4_096
_WIDE_PERCENT = re.compile(r"%(?:\([^)]*\))?[-#0 +]*(?:\*|\d{4}|\d*\.(?:\*|\d{4}))")
_WIDE_BRACES = re.compile(r"\{[^{}]*:[^{}]*(?:\d{4}|\{)")
_WIDTHS = ("center", "ljust", "rjust", "zfill", "expandtabs", "indent", "batch", "slice", "wordwrap", "tojson")


COMPILED = "template "  # what begins the file's name of a compiled template, in a traceback


class Unloadable(Exception):
    """A file that a template is, or includes, cannot be read; the words are ours."""


class Unfit(TemplateRuntimeError):
    """A filter of ours was given what it does not take; the message is ours, and has no value in it."""


class MissingName(UndefinedError):
    """A name that the payload does not have; the message is the name alone."""


class _Missing(StrictUndefined):
    """Raises on any use but `is defined` and `default(…)`."""

    __slots__ = ()

    def __init__(
        self,
        hint: str | None = None,
        obj: Any = missing,
        name: str | None = None,
        exc: type[TemplateRuntimeError] = UndefinedError,
    ) -> None:
        super().__init__(hint or str(name), obj, name, exc if hint else MissingName)


class _Metered(CodeGenerator):
    """Has what a template concatenates measured, and each turn of a loop counted."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 - Jinja2's name
        self.write("environment.bounded(")
        super().visit_Concat(node, frame)
        self.write(")")

    def visit_For(self, node: nodes.For, frame: Frame) -> None:  # noqa: N802
        self._body = node.body
        super().visit_For(node, frame)

    def blockvisit(self, nodes: Iterable[nodes.Node], frame: Frame) -> None:
        if nodes is getattr(self, "_body", None):
            self.writeline("next(environment.turns, None) or environment.look()")
        super().blockvisit(nodes, frame)


class _Meter(threading.local):
    """What the rendering of a message in this thread has taken so far."""

    steps = 0
    begun = 0.0
    language = "en"


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment that templates are compiled in: HTML and MJML are escaped, undefined is an error.

    A key of the payload wins over a method of the same name: `order.items` is the payload's, as is `order["items"]`.
    """

    code_generator_class = _Metered
    intercepted_binops = frozenset({"+", "*", "**", "%"})
    _meter = _Meter()

    def __init__(self, loader: BaseLoader) -> None:
        super().__init__(
            loader=loader,
            undefined=_Missing,
            autoescape=lambda name: name is not None and name.endswith((".html", ".mjml")),
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            cache_size=-1,
        )
        # As many as are left until the next look: to take one is a tenth of a microsecond, to count one is four.
        self.turns = itertools.repeat(1, _LOOK_EVERY)
        del self.globals["lipsum"]
        self.globals["range"] = _bounded_range
        for name in (*_WIDTHS, "replace", "join", "format"):
            if name in self.filters:
                self.filters[name] = _bounded_filter(name, self.filters[name])

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """Return a template's globals as one dict: every rendering walks over them, and a chain of maps is slow."""
        return {**self.globals, **(d or {})}

    def text(self, template: Template, names: dict[str, Any]) -> str:
        """Render a template with these names, which several may share, and which hold this environment's globals.

        `template.render` would copy the globals for each text, and `template.new_context` their names.
        """
        try:
            context = self.context_class(self, names, template.name, template.blocks)
            return self.concat(template.root_render_func(context))
        except Exception:  # noqa: BLE001 - it is raised again, with the template's own lines in its traceback
            self.handle_exception()

    @property
    def language(self) -> str:
        """The locale that dates, numbers and money are to be written in."""
        return self._meter.language

    def begin(self) -> None:
        """Let a message, of one or more texts, have all the turns and all the time that one may have."""
        self._meter.steps = 0

    def speak(self, language: str) -> None:
        """Have dates, numbers and money written as in this locale."""
        self._meter.language = language

    def look(self) -> bool:
        """Look how many turns of loops, calls and includes this message has taken, and how much time."""
        meter, self.turns = self._meter, itertools.repeat(1, _LOOK_EVERY)
        # The thread's own time: a machine that was frozen meanwhile is no fault of the template.
        now = time.thread_time()
        if not meter.steps:
            meter.begun = now
        meter.steps += _LOOK_EVERY
        _refuse_over(MOST_STEPS, meter.steps, "{} turns of loops and calls")
        _refuse_over(LONGEST_TIME, math.ceil(now - meter.begun), "{} s of computing")
        return True

    def _load_template(self, name: str, globals: MutableMapping[str, Any] | None) -> Template:  # noqa: A002 - Jinja2's
        next(self.turns, None) or self.look()  # one may include itself, twice, and so on
        return super()._load_template(name, globals)

    @staticmethod
    def concat(parts: Iterable[str]) -> str:
        """Join the parts of a template, a block or a macro, up to the limit."""
        kept: list[str] = []
        size, rest = 0, iter(parts)
        while True:
            some = list(itertools.islice(rest, _PARTS))
            kept.append(text := "".join(some))
            size += len(text)
            _refuse_over(LARGEST, size, "text of {} characters")
            if len(some) < _PARTS:
                return "".join(kept)

    @staticmethod
    def bounded(text: str) -> str:
        """Return the result of `~`, unless it is over the limit: text doubled in a loop is soon all the memory."""
        _refuse_over(LARGEST, len(text), "text of {} characters")
        return text

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Look `obj.attribute` up: a key first, then an attribute that is safe."""
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        """Return what raises when used; the attribute's name may be a payload's value, so it is not in the message."""
        return self.undefined("an attribute that is not for templates", obj=obj, name=attribute, exc=SecurityError)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Wrap `str.format`, unless its pattern asks for a great width."""
        wrapped = super().wrap_str_format(value)
        if wrapped is not None and _WIDE_BRACES.search(value.__self__):
            raise SecurityError("a format that is 1,000 wide, or as wide as a value says")
        return wrapped

    def call(self, context: Context, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a function, or a macro; a text's own methods within the bounds."""
        next(self.turns, None) or self.look()
        owner = getattr(function, "__self__", None)
        if isinstance(owner, str):
            args = _bounded_arguments(function.__name__, owner, args, kwargs)
        return super().call(context, function, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute an operator whose result can be far larger than its operands, within the bounds."""
        if operator == "%" and isinstance(left, str):
            _refuse_wide(left)
        elif operator == "**" and isinstance(left, int) and isinstance(right, int):
            _refuse_over(_MOST_BITS, left.bit_length() * right, "a power of {} bits")
        elif operator == "*":
            _refuse_product(left, right)
        elif operator == "+" and isinstance(left, list | tuple | str) and isinstance(right, list | tuple | str):
            _refuse_over(LARGEST if isinstance(left, str) else LONGEST, len(left) + len(right), "a sum of {} parts")
        return super().call_binop(context, operator, left, right)


def _refuse_over(limit: int, size: int, what: str) -> None:
    if size > limit:
        raise SecurityError(what.format(f"over {limit:,}"))


def _refuse_wide(pattern: str) -> None:
    if _WIDE_PERCENT.search(pattern):
        raise SecurityError("a format that is 1,000 wide, or as wide as a value says")


def _refuse_product(left: object, right: object) -> None:
    if isinstance(left, int) and isinstance(right, int):
        _refuse_over(_MOST_BITS, left.bit_length() + right.bit_length(), "a product of {} bits")
    for repeated, times in ((left, right), (right, left)):
        if isinstance(repeated, list | tuple | str) and isinstance(times, int):
            limit = LARGEST if isinstance(repeated, str) else LONGEST
            _refuse_over(limit, len(repeated) * times, "a repetition of {} parts")


def _bounded_range(*args: int) -> range:
    numbers = range(*args)
    _refuse_over(LONGEST, len(numbers), "a range of {} numbers")
    return numbers


def _bounded_filter(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    first = 1 if hasattr(original, "jinja_pass_arg") else 0  # then the subject comes after the context

    @functools.wraps(original)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        context, subject, rest = args[:first], args[first], args[first + 1 :]
        if name == "join":
            subject = _counted(subject, len(str((*rest, *kwargs.values(), "")[0])))
        elif name == "format":
            _refuse_wide(str(subject))
        else:
            _bounded_arguments(name, str(subject) if name == "replace" else "", rest, kwargs)
        return original(*context, subject, *rest, **kwargs)

    return bounded


def _bounded_arguments(name: str, text: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """Return the arguments of a text's method, or of a filter on a text, unless the result would be out of bounds."""
    given = (*args, *kwargs.values())
    if name == "translate":
        raise SecurityError("translate")
    if name == "join" and args:
        return (list(_counted(args[0], len(text))), *args[1:])
    if name == "replace" and len(given) > 1:
        grown = text.count(str(given[0])) * len(str(given[1]))
        _refuse_over(LARGEST, grown, "a replacement of {} characters")
    if name in _WIDTHS:
        for value in given:
            size = value if isinstance(value, int | float) else len(value) if isinstance(value, str) else 0
            _refuse_over(WIDEST, int(min(size, LARGEST)), "a width {}")
    return args


def _counted(parts: Iterable[Any], separator: int = 0) -> Iterator[Any]:
    size = 0
    for part in parts:
        size += separator + (len(part) if isinstance(part, str) else 0)
        _refuse_over(LARGEST, size, "text of {} characters")
        yield part
