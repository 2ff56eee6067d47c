"""The command `outbox bench`: one command, one call."""

from __future__ import annotations

from typing import Annotated

import typer

from outbox.terminal import options  # noqa: TC001 - typer evaluates the annotations
from outbox.terminal.options import ConfigFile, DatabaseUrl  # noqa: TC001 - as above
from outbox.terminal.setup import configuration, readable_errors

Seconds = Annotated[
    float, typer.Option(min=1, max=600, help="About how long it takes in all, where nothing is slow.", metavar="N")
]
Notifications = Annotated[
    int, typer.Option(min=100, max=1_000_000, help="In each of the full queues that are drained.", metavar="N")
]
Clients = Annotated[int, typer.Option(min=1, max=64, help="Processes that enqueue at once.", metavar="N")]
Rounds = Annotated[
    int, typer.Option(min=1, max=20, help="Of everything: their medians count, their ranges are shown.", metavar="N")
]
Provider = Annotated[
    str, typer.Option(metavar="DURATION", help="What your provider takes for one, for the arithmetic at the end.")
]
Concurrency = Annotated[
    int | None,
    typer.Option(min=1, max=10_000, metavar="N", help="Deliveries at once.", show_default="the configuration's"),
]
Here = Annotated[
    bool, typer.Option("--here", help="In the database itself, which has to be empty; for users without CREATEDB.")
]
Sure = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, though the server is on another machine.")]


def bench(
    *,
    seconds: Seconds = 30,
    notifications: Notifications = 10_000,
    clients: Clients = 4,
    rounds: Rounds = 3,
    provider: Provider = "100ms",
    concurrency: Concurrency = None,
    here: Here = False,
    sure: Sure = False,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """What your database can do for an outbox: enqueue, deliver, latency, and a verdict in words. Half a minute.

    It makes a database of its own on your server and drops it at the end; nothing of yours is read or written. The
    server is kept busy meanwhile: where it is on another machine, it asks first.

    Exit codes: 1 it could not be measured, 2 a mistake in the arguments, 130 it was interrupted.

    Example: outbox bench --provider 250ms --json | jq -r '.verdict[].says'
    """
    given = dict(locals())
    from outbox.terminal import bench as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.run(configuration(config, database_url), given))
