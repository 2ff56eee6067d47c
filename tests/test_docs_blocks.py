"""No example escapes: each fenced block of the documentation is run by a test, or says here why it is not."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "examples" / "README.md", *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(r"^ *```(\w+)$", re.MULTILINE)

# What is shown rather than run: what a program prints, and how the site is put together.
SHOWN = {"text", "console"}

PROVIDERS = sorted(page for page in ROOT.glob("docs/providers/*.md") if page.name != "README.md")

# Pages whose blocks a test takes by itself, not through `blocks(page, language)`.
TAKEN_BY: dict[tuple[str, str], str] = {
    ("docs/alerts.md", "bash"): "test_alerts.py",
    ("docs/alerts.md", "sql"): "test_alerts.py",
    ("docs/at-least-once.md", "sql"): "test_docs_comparison.py",
    ("docs/configuration.md", "toml"): "test_configuration_page.py",
    ("docs/doctor.md", "bash"): "doctor/test_command.py",
    ("docs/how-to.md", "bash"): "test_docs_how_to.py",
    ("docs/how-to.md", "python"): "test_docs_how_to.py",
    ("docs/how-to.md", "sql"): "test_docs_how_to.py",
    ("docs/metrics.md", "promql"): "promql.py",
    ("docs/sms.md", "python"): "test_sms_segments.py",
    ("docs/testing.md", "python"): "projects.py",
    ("docs/testing.md", "toml"): "projects.py",
    ("docs/tutorial.md", "bash"): "test_tutorial.py",
    ("docs/tutorial.md", "python"): "test_tutorial.py",
    ("docs/web.md", "python"): "test_web_command.py",
    ("docs/web.md", "toml"): "test_web_command.py",
    ("docs/why.md", "python"): "test_docs_why.py",
}
TAKEN_BY |= {(page.relative_to(ROOT).as_posix(), "toml"): "providers/test_contract.py" for page in PROVIDERS}
TAKEN_BY |= {
    (page.relative_to(ROOT).as_posix(), language): "test_docs_migrating.py"
    for page in ROOT.glob("docs/migrating/*.md")
    for language in ("toml", "bash", "sql")
    if f"```{language}\n" in page.read_text(encoding="utf-8")
}

# How many, and why they are not run.
NOT_RUN: dict[tuple[str, str], tuple[int, str]] = {
    ("docs/decisions/0020-a-recipient-is-one-text.md", "python"): (1, "of a library that we decided against"),
    ("docs/logs.md", "bash"): (1, "installs from an index, and names an account of somebody's"),
    ("docs/metrics.md", "bash"): (4, "serve on a fixed port, or write into the working directory; test_prometheus.py"),
    ("docs/metrics.md", "yaml"): (1, "a part of Prometheus' configuration, which test_prometheus.py runs with its own"),
    ("docs/migrating/procrastinate.md", "python"): (1, "a task of procrastinate's, as its users have it"),
    ("docs/providers/webpush.md", "javascript"): (1, "a service worker needs a push service, which no test has"),
    ("docs/tracing.md", "bash"): (4, "install from an index, and export to services of others"),
    ("docs/web.md", "bash"): (2, "serve on a fixed port, or ask at a terminal; test_web_command.py"),
    ("docs/web.md", "nginx"): (1, "needs nginx and a certificate"),
    ("docs/web.md", "yaml"): (1, "a part of Prometheus' configuration, with an address and a file of somebody's"),
    ("docs/workers.md", "bash"): (1, "serves until it is told to stop; test_supervisor.py"),
    ("examples/README.md", "bash"): (1, "makes the environment that tests run in; test_examples.py runs what it runs"),
}


def written() -> Counter[tuple[str, str]]:
    """How many blocks there are, by page and language."""
    return Counter(
        (page.relative_to(ROOT).as_posix(), language)
        for page in PAGES
        for language in FENCE.findall(page.read_text(encoding="utf-8"))
        if language not in SHOWN
    )


def run() -> set[tuple[str, str]]:
    """What tests ask `tests.test_docs.blocks` for."""
    return {asked for file in ROOT.glob("tests/**/*.py") for asked in _asked(file)}


def _asked(file: Path) -> Iterator[tuple[str, str]]:
    text = file.read_text(encoding="utf-8")
    if "blocks(" not in text:
        return
    tree = ast.parse(text)
    constants = {
        node.targets[0].id: str(node.value.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
    }
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        pages = [
            name for decorator in function.decorator_list for name in _constants(decorator) if name.endswith(".md")
        ]
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "blocks":
                page, *rest = call.args
                named = [*_constants(page)] or ([constants[page.id]] if _is_one_of(page, constants) else pages)
                yield from ((str(one), language) for one in named for word in rest for language in _constants(word))


def _constants(node: ast.AST) -> list[str]:
    return [str(inner.value) for inner in ast.walk(node) if isinstance(inner, ast.Constant)]


def _is_one_of(node: ast.expr, names: dict[str, str]) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name) and node.id in names


def test_every_block_is_run_or_says_why_not() -> None:
    known = run() | TAKEN_BY.keys() | NOT_RUN.keys()
    escaped = {where: count for where, count in written().items() if where not in known}
    assert escaped == {}, "run them in a test, or say in NOT_RUN how many there are, and why they are not run"


def test_what_is_not_run_is_as_many_as_was_said() -> None:
    assert {where: written()[where] for where in NOT_RUN} == {where: count for where, (count, _) in NOT_RUN.items()}


@pytest.mark.parametrize(("where", "file"), TAKEN_BY.items(), ids=" ".join)
def test_what_a_test_takes_by_itself_is_named_there(where: tuple[str, str], file: str) -> None:
    text = (ROOT / "tests" / file).read_text(encoding="utf-8")
    page = where[0]
    assert written()[where] > 0
    assert Path(page).stem in text or Path(page).parent.name in text
