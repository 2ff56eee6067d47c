"""The commands of `outbox import`: one command, one call."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from outbox.terminal import options  # noqa: TC001 - typer evaluates the annotations
from outbox.terminal.options import ConfigFile, DatabaseUrl  # noqa: TC001 - typer evaluates the annotations
from outbox.terminal.setup import configuration, readable_errors

import_ = typer.Typer(
    help="Bring over what waits in another queue, each once: from procrastinate, pgqueuer, django-post_office, Celery."
    "\n\nExample: outbox import procrastinate --map mapping.toml --dry-run",
    no_args_is_help=True,
)

Map = Annotated[
    Path | None,
    typer.Option("--map", metavar="FILE", help="What becomes what, in TOML: docs/migrating.", show_default=False),
]
From = Annotated[
    str | None,
    typer.Option("--from", metavar="URL", help="The source's database.", show_default="ours: one transaction"),
]
Schema = Annotated[
    str | None, typer.Option(metavar="NAME", help="The schema of its tables.", show_default="by the search path")
]
Failed = Annotated[bool, typer.Option("--failed", help="Those that failed there, too.")]
Stopped = Annotated[
    bool, typer.Option("--senders-stopped", help="Nothing sends its emails any more, so those that are due come, too.")
]
Chunk = Annotated[int, typer.Option(min=1, max=5_000, help="How many are moved and committed together.")]
Sketch = Annotated[bool, typer.Option("--sketch", help="Print a mapping file to begin with, and do nothing.")]
TablePrefix = Annotated[str, typer.Option("--prefix", help="What the names of its tables begin with: PGQUEUER_PREFIX.")]
File = Annotated[
    str, typer.Argument(metavar="FILE", help="Tasks or messages as JSON; - is standard input.", show_default=False)
]


@import_.command("procrastinate")
def procrastinate(
    *,
    map_: Map = None,
    from_: From = None,
    schema: Schema = None,
    failed: Failed = False,
    chunk: Chunk = 500,
    sketch: Sketch = False,
    dry_run: options.DryRun = False,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Move jobs from procrastinate, while its workers go on. A moved one is `cancelled` there.

    Exit code 1: some of what waits has no mapping, or cannot be carried, and stays.

    Example: outbox import procrastinate --map mapping.toml --dry-run
    """
    given = dict(locals())
    from outbox.importing.procrastinate import Procrastinate  # noqa: PLC0415
    from outbox.terminal import importing as command  # noqa: PLC0415

    sources = [partial(Procrastinate, schema=schema, failed=each) for each in _which(failed=failed)]
    with readable_errors():
        raise typer.Exit(command.run(configuration(config, database_url).database_url, sources, given))


@import_.command("pgqueuer")
def pgqueuer(
    *,
    map_: Map = None,
    from_: From = None,
    schema: Schema = None,
    prefix: TablePrefix = "",
    failed: Failed = False,
    chunk: Chunk = 500,
    sketch: Sketch = False,
    dry_run: options.DryRun = False,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Move jobs from pgqueuer, while its workers go on. A moved one is `canceled` there, and in its log.

    Exit code 1: some of what waits has no mapping, or cannot be carried, and stays.

    Example: outbox import pgqueuer --map mapping.toml --dry-run
    """
    given = dict(locals())
    from outbox.importing.pgqueuer import PgQueuer  # noqa: PLC0415
    from outbox.terminal import importing as command  # noqa: PLC0415

    sources = [partial(PgQueuer, schema=schema, prefix=prefix, failed=each) for each in _which(failed=failed)]
    with readable_errors():
        raise typer.Exit(command.run(configuration(config, database_url).database_url, sources, given))


@import_.command("post-office")
def post_office(
    *,
    map_: Map = None,
    from_: From = None,
    schema: Schema = None,
    failed: Failed = False,
    senders_stopped: Stopped = False,
    chunk: Chunk = 500,
    dry_run: options.DryRun = False,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Move emails from django-post_office. A moved one has no status there, so that nothing sends it.

    It locks nothing that it is about to send. So what is due is left alone until you say that no sender runs.

    Exit code 1: some of what waits cannot be carried, or was left alone.

    Example: outbox import post-office --map mapping.toml --senders-stopped --dry-run
    """
    given = dict(locals())
    from outbox.importing.post_office import PostOffice  # noqa: PLC0415
    from outbox.terminal import importing as command  # noqa: PLC0415

    stopped = senders_stopped
    sources = [partial(PostOffice, schema=schema, failed=each, stopped=stopped) for each in _which(failed=failed)]
    with readable_errors():
        raise typer.Exit(command.run(configuration(config, database_url).database_url, sources, given))


@import_.command("celery")
def celery(
    file: File,
    *,
    map_: Map = None,
    chunk: Chunk = 500,
    sketch: Sketch = False,
    dry_run: options.DryRun = False,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Enqueue the tasks of a file: of `celery inspect scheduled --json`, or messages as the broker keeps them.

    Each once, by its id: the same file again enqueues nothing. Nothing is taken from the broker.

    Exit code 1: some have no mapping, or cannot be carried.

    Example: redis-cli --raw LRANGE celery 0 -1 | outbox import celery - --map mapping.toml --dry-run
    """
    given = dict(locals())
    from outbox.terminal import importing_celery as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.run(configuration(config, database_url).database_url, given))


def _which(*, failed: bool) -> tuple[bool, ...]:
    """Return whether to take what failed, for each pass: what waits comes first."""
    return (False, True) if failed else (False,)
