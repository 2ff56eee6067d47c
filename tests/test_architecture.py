"""The rules of the house, as tests: who may import whom, who may touch what, and how long a thing may be."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]

# A module imports its own floor and those below it. What a folder holds stands on the folder's floor.
FLOORS = (
    {"errors", "messages", "outcomes", "events", "durations", "addresses", "arrays", "payloads", "timeouts"}  # words
    | {
        "attachments",
        "email_fields",
        "escalation",
        "defects",
        "masks",
        "alike",
        "occurrences",
        "reasons",
        "schedule_events",
        "pause_events",
        "spelling",
        "template_events",
        "traces",
        "zones",
        "week",
        "hours",
        "latencies",
        "reports",
        "routine_events",
        "executors",
    },
    {"config", "schema", "database", "silence", "connections", "steps", "migrate", "amending", "revisions"},  # ground
    {"queue"},  # what can happen to a notification
    {
        "retry",
        "consent",
        "quiet",
        "timetable",
        "route",
        "ask",
        "echo",
        "holds",
        "lease",
        "handlers",
        "oneclick",
        "tokens",
        "templates",
        "render",
        "sandbox",
        "channels",
        "telling",
    },  # judgement
    {"deliver"},  # the act
    {"worker"},
    {
        "inbox",
        "suppressions",
        "preferences",
        "unsubscribe",
        "inbound",
        "schedules",
        "fan_outs",
        "importing",
        "metrics",
        "health",
        "members",
        "port",
        "logs",
        "sentry",
        "check",
        "doctor",
        "web",
    }  # onlookers
    | {"testing", "devdb", "terminal", "demo", "bench", "children", "scratch"},
    {"", "__main__", "_cli"},  # the doors: of the package, and of the command line
)

# What may be imported by some only: a name of a package, and the modules (with all under them) that may.
RESERVED = {
    "aiosmtplib": {"outbox.channels"},
    "alembic": {"outbox.migrate"},
    "botocore": {"outbox.channels.aws"},
    "cronsim": {"outbox.occurrences"},
    "httpcore": {"outbox.channels"},
    "httpx": {"outbox.channels", "outbox.web.oidc"},  # there, what authlib lets through
    "joserfc": {"outbox.web"},
    "argon2": {"outbox.web"},
    "authlib": {"outbox.web"},
    "itsdangerous": {"outbox.web"},
    "jinja2": {"outbox.render", "outbox.sandbox", "outbox.web"},
    "prometheus_client": {"outbox.metrics"},
    "opentelemetry": {"outbox.traces", "outbox.worker.spans"},
    "sentry_sdk": {"outbox.sentry"},
    "pytest": {"outbox.testing.plugin"},
    "smtplib": {"outbox.channels"},
    "starlette": {"outbox.web"},
    "textual": {"outbox.terminal.top.screen"},
    "typer": {"outbox._cli", "outbox.terminal"},
    "uvicorn": {"outbox.web"},
}

CONNECT = {"socket", "create_connection", "open_connection", "start_server", "create_server"}  # of socket and asyncio
OPEN_SOCKETS = {"outbox.channels", "outbox.demo"}  # the demo has an SMTP server of its own
READ_THE_ENVIRONMENT = {"outbox.config", "outbox.devdb", "outbox.children", "outbox.terminal.colours"}
WRITE_THE_QUEUE = {"outbox.queue"}
# A notification that is not yet enqueued, its window, what of many is not simply inserted, many as rows, many checked
# as one, how one ended, a suppression, a schedule, a query, what is enqueued from one, what is written down of people,
# a pause, whose a row is, which dead letters, and what a replay would do with them.
SHARED_BY_TRANSITIONS = {
    "outbox.queue.draft",
    "outbox.queue.window",
    "outbox.queue.apart",
    "outbox.queue.bulk",
    "outbox.queue.together",
    "outbox.queue.settlement",
    "outbox.queue.entry",
    "outbox.queue.definition",
    "outbox.queue.declared",
    "outbox.queue.choice",
    "outbox.queue.query",
    "outbox.queue.selection",
    "outbox.queue.audit",
    "outbox.queue.paused",
    "outbox.queue.own",
    "outbox.queue.letter_selection",
    "outbox.queue.judge",
    "outbox.queue.successor",
    "outbox.queue.leaps",
    "outbox.queue.swept",
}

LONGEST_FILE = 300
LONGEST_FUNCTION = 40

_WRITES = re.compile(
    r"\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|TRUNCATE|COPY)\s+outbox\."
    r"(?:notifications|queue|attempts|dead_letters|idempotency_keys|schedules|schedule_runs|fan_outs|audit|pauses)\b",
    re.IGNORECASE,
)


class Import(NamedTuple):
    """One name imported by a module of ours; `target` is the module, ours or another's, that it comes from."""

    importer: str
    line: int
    target: str


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by its name; cli.py by the name that it has in the wheel."""
    found = {"outbox._cli": ROOT / "cli.py"}
    for file in sorted((ROOT / "outbox").rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


@cache
def imports() -> tuple[Import, ...]:
    """Every import of every module: those inside functions and under TYPE_CHECKING too."""
    return tuple(Import(module, line, target) for module in modules() for line, target in _targets(module))


def _targets(module: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{_at(module, node.lineno)}: import by the whole name"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield node.lineno, whole if whole in modules() else str(node.module)


def _ours() -> list[Import]:
    return [found for found in imports() if found.target.split(".")[0] == "outbox"]


def _floor(module: str) -> int | None:
    room = module.partition(".")[2].partition(".")[0]
    return next((number for number, rooms in enumerate(FLOORS) if room in rooms), None)


def _within(module: str, places: set[str]) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


def _at(module: str, line: int) -> str:
    return f"{modules()[module].relative_to(ROOT)}:{line}"


def _hold(rule: str, breaches: list[str]) -> None:
    if breaches:
        pytest.fail("\n  ".join([rule, *breaches]), pytrace=False)


def test_every_module_has_a_floor() -> None:
    homeless = [_at(module, 1) for module in modules() if _floor(module) is None]
    _hold("A module stands on a floor: name it in FLOORS.", homeless)


def test_a_module_imports_only_its_own_floor_and_those_below() -> None:
    upward = [
        f"{_at(found.importer, found.line)} (floor {_floor(found.importer)}) imports {found.target} "
        f"(floor {_floor(found.target)})"
        for found in _ours()
        if (_floor(found.target) or 0) > (_floor(found.importer) or 0)
    ]
    _hold("Imports go down the floors.", upward)


def test_modules_do_not_import_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for found in _ours():
        graph.setdefault(found.importer, set()).add(found.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        _hold("Modules do not import one another in a circle.", [" <- ".join(error.args[1])])


def test_a_transition_does_not_import_another() -> None:
    pairs = [
        f"{_at(found.importer, found.line)} imports {found.target}"
        for found in _ours()
        if found.importer.startswith("outbox.queue.")
        and found.target.startswith("outbox.queue.")
        and found.target not in SHARED_BY_TRANSITIONS
    ]
    _hold("One transition is one file, and knows no other.", pairs)


def test_a_provider_does_not_import_another() -> None:
    providers = {
        module
        for module in modules()
        if module.startswith("outbox.channels.")
        and any(isinstance(node, ast.ClassDef) and node.name == "Provider" for node in tree(module).body)
    }
    pairs = [
        f"{_at(found.importer, found.line)} imports {found.target}"
        for found in _ours()
        if found.importer in providers and found.target in providers
    ]
    _hold("A provider is one module that knows no other provider.", pairs)


def test_a_channel_does_not_import_another() -> None:
    def channel(module: str) -> str | None:
        room, _, rest = module.removeprefix("outbox.channels.").partition(".")
        folder = (ROOT / "outbox" / "channels" / room).is_dir()
        return room if module.startswith("outbox.channels.") and (rest or folder) else None

    pairs = [
        f"{_at(found.importer, found.line)} imports {found.target}"
        for found in _ours()
        if channel(found.importer) and channel(found.target) and channel(found.importer) != channel(found.target)
    ]
    _hold("A channel knows no other channel.", pairs)


def test_importing_the_package_imports_no_client_no_templates_and_no_tools() -> None:
    ask = "import outbox, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", ask], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    heavy = {"httpx", "jinja2", "prometheus_client", "typer", "alembic", "aiosmtplib", "sqlalchemy", "pydantic", "rich"}
    heavy |= {"opentelemetry", "sentry_sdk"}
    _hold("`import outbox` is cheap: it is done by applications.", sorted(heavy.intersection(loaded.split())))


def test_what_is_reserved_is_imported_only_where_it_may_be() -> None:
    breaches = [
        f"{_at(found.importer, found.line)} imports {found.target}: only {', '.join(sorted(RESERVED[package]))} may"
        for found in imports()
        if (package := found.target.partition(".")[0]) in RESERVED and not _within(found.importer, RESERVED[package])
    ]
    _hold("Some packages are imported in one place only.", breaches)


def test_only_channels_open_sockets() -> None:
    openers = [
        _at(module, node.lineno)
        for module in modules()
        if not _within(module, OPEN_SOCKETS)
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CONNECT
    ]
    _hold("Only channels/ talks to the world; the database is psycopg's.", openers)


def test_only_the_configuration_reads_the_environment() -> None:
    readers = [
        _at(module, node.lineno)
        for module in modules()
        if not _within(module, READ_THE_ENVIRONMENT)
        for node in ast.walk(tree(module))
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv"})
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and any("env" in each.name for each in node.names))
    ]
    _hold("Only config reads the environment.", readers)


def test_only_transitions_write_the_queue() -> None:
    writers = [
        f"{_at(module, node.lineno)}: {found[0]}"
        for module in modules()
        if not _within(module, WRITE_THE_QUEUE)
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and (found := _WRITES.search(node.value))
    ]
    _hold("Only queue/ writes the tables of the queue.", writers)


def test_no_file_is_too_long_to_read() -> None:
    scripts = [*(ROOT / "migrations").rglob("*.py"), *(ROOT / "migrations").rglob("*.sql")]
    lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in [*modules().values(), *scripts]}
    long = [f"{file.relative_to(ROOT)}:{length}" for file, length in lengths.items() if length > LONGEST_FILE]
    _hold(f"A file has at most {LONGEST_FILE} lines.", long)


def test_no_function_is_too_long_to_read() -> None:
    long = [
        f"{_at(module, node.lineno)} {node.name}: {length} lines"
        for module in modules()
        for node in ast.walk(tree(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (length := _length(node)) > LONGEST_FUNCTION
    ]
    _hold(f"A function has at most {LONGEST_FUNCTION} lines, its docstring apart.", long)


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = function.body[0]
    documented = ast.get_docstring(function, clean=False) is not None
    return _lines(function) - (_lines(first) if documented else 0)


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_no_module_has_a_name_that_admits_anything() -> None:
    vague = [
        _at(module, 1) for module in modules() if re.search(r"\b_?(utils?|helpers?|managers?|common|misc)$", module)
    ]
    _hold("A module's name says what belongs in it.", vague)
