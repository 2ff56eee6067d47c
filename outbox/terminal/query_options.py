"""The options of the commands that enqueue what a query returns, with the words of their help."""

from __future__ import annotations

from typing import Annotated

import typer

from outbox.terminal import completing

# Of `schedule`.
ScheduleName = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.", show_default=False)]
Cron = Annotated[
    str,
    typer.Argument(
        metavar="CRON",
        help="Minute, hour, day of month, month, day of week; or @daily and its like.",
        show_default=False,
    ),
]
Query = Annotated[
    str,
    typer.Option(
        "--sql",
        metavar="SELECT",
        help="Each row is a notification, its columns the fields: recipient at least. @file.sql, or - to read it.",
        show_default=False,
    ),
]
TimeZone = Annotated[str, typer.Option("--tz", metavar="ZONE", help="By whose clocks, such as Europe/Berlin.")]
Missed = Annotated[
    str,
    typer.Option(
        help="Of occurrences that were missed, run: skip (none), once (the latest), all.",
        autocompletion=completing.among("skip", "once", "all"),
    ),
]
RunTimeout = Annotated[str, typer.Option("--timeout", metavar="DURATION", help="A run that takes longer is undone.")]
Replace = Annotated[bool, typer.Option("--replace", help="Put it in the place of the one that has this name, if any.")]
Count = Annotated[int, typer.Option("--count", "-n", min=1, max=1_000, help="How many.")]
EachChannel = Annotated[
    str | None,
    typer.Option(
        "--channel",
        help="The channel, unless the query returns it. So with the fields below.",
        autocompletion=completing.channels,
    ),
]

# Of `fan-out`.
FanOutName = Annotated[
    str, typer.Argument(metavar="NAME", help="Once for a name: again, and it goes on.", show_default=False)
]
Parameters = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        metavar="NAME=VALUE",
        help="What :NAME stands for in the query, as a text: CAST(:NAME AS date); again for more.",
    ),
]
KeyPrefix = Annotated[
    str | None,
    typer.Option(
        "--idempotency-key",
        metavar="PREFIX",
        help="Begins the key of each; who has one already, by another fan-out say, gets nothing.",
    ),
]
SkipInvalid = Annotated[
    bool, typer.Option("--skip-invalid", help="Leave out rows that can be no notification, instead of doing nothing.")
]
Chunk = Annotated[int, typer.Option(min=1, max=100_000, help="About how many rows are committed together.")]
