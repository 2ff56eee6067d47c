"""The reference of Python: each public name by autodoc; and a Sphinx extension that has types lead to these."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

_ALIAS = "Alias for field number"


def reference(words: str) -> str:
    """Return the directives for names of a module, by `MODULE NAME NAME…`; without names, for all that it exports.

    Raises:
        AttributeError: it has no such name.
    """
    where, *names = words.split()
    module = import_module(where)
    lines = []
    if not names:
        lines += [f".. automodule:: {where}", "   :no-members:", ""]
        names = sorted((name for name in exported(where) if not _elsewhere(where, name)), key=_order)
    for name in names:
        value = getattr(module, name)
        if (kind := _kind(value)) == "data":
            lines += [f".. py:data:: {where}.{name}", f"   :value: {value!r}", ""]
        else:
            lines += [f".. auto{kind}:: {where}.{name}", ""]
    return "\n".join(["```{eval-rst}", *lines, "```", ""])


def exported(where: str) -> list[str]:
    """Return the names that a module exports, or, where it does not say, its own."""
    module = import_module(where)
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == where]
    return list(getattr(module, "__all__", [name for name in own if not name.startswith("_")]))


def _elsewhere(where: str, name: str) -> bool:
    """Whether the package itself exports it, which is where it is described."""
    return where != "outbox" and getattr(import_module("outbox"), name, None) is getattr(import_module(where), name)


def _order(name: str) -> tuple[bool, str, bool]:
    """Functions first, each with its asynchronous twin; then types."""
    twin = name.startswith("a") and name not in {"add", "applied", "app", "assert_enqueued", "assert_nothing_enqueued"}
    return name[0].isupper(), name[1:] if twin else name, twin


def _kind(value: Any) -> str:
    if inspect.isclass(value):
        return "exception" if issubclass(value, Exception) else "class"
    return "function" if inspect.isroutine(value) else "data"


def _resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.Element) -> nodes.Element | None:
    """Find a name where it is public: annotations name the module that it is defined in, or none."""
    if node.get("refdomain") != "py":
        return None
    domain = env.domains["py"]
    name = node["reftarget"].rpartition(".")[2]
    places = [found[0] for found in domain.get_objects() if found[0].split(".")[-1] == name and found[2] != "module"]
    if node["reftarget"].partition(".")[0] not in {"outbox", name} or len(places) != 1:
        return None
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", places[0], node, text)


def _skip(_app: Sphinx, _what: str, _name: str, value: object, *_: object) -> bool | None:
    """Leave out the fields of a named tuple of which nothing is said."""
    return True if str(getattr(value, "__doc__", "")).startswith(_ALIAS) else None


def _bases(_app: Sphinx, _name: str, _value: object, _options: object, bases: list[type]) -> None:
    """Show what a class is by names that mean something to others: of a base that is our own affair, its bases."""
    for base in list(bases):
        if base.__name__.startswith("_") or base.__name__ == "Section":
            bases[bases.index(base) : bases.index(base) + 1] = base.__bases__


def setup(app: Sphinx) -> dict[str, Any]:
    """Say what Sphinx calls."""
    app.connect("missing-reference", _resolve)
    app.connect("autodoc-skip-member", _skip)
    app.connect("autodoc-process-bases", _bases)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
