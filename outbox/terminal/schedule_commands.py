"""The commands of `outbox schedule`: one command, one call."""

from __future__ import annotations

import typer

from outbox.terminal import options, query_options  # noqa: TC001 - typer evaluates the annotations
from outbox.terminal.options import ConfigFile, DatabaseUrl  # noqa: TC001 - as above
from outbox.terminal.setup import configuration, readable_errors

schedule = typer.Typer(
    help="What is enqueued again and again, from a query: add it, look at it, pause it.\n\n"
    "Example: outbox schedule list",
    no_args_is_help=True,
)


@schedule.command("add")
def add(
    name: query_options.ScheduleName,
    cron: query_options.Cron,
    *,
    sql: query_options.Query,
    tz: query_options.TimeZone = "UTC",
    missed: query_options.Missed = "once",
    timeout: query_options.RunTimeout = "1m",
    replace: query_options.Replace = False,
    channel: query_options.EachChannel = None,
    template: options.Template = None,
    payload: options.Payload = None,
    priority: options.Priority = None,
    topic: options.Topic = None,
    group_key: options.GroupKey = None,
    locale: options.Locale = None,
    headers: options.Headers = None,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Add a schedule. Its query is looked at, and not run; the next three occurrences are shown.

    Example: outbox schedule add digest "0 9 * * MON" --tz Europe/Berlin --channel email --template digest
    --sql "SELECT email AS recipient, jsonb_build_object('name', name) AS payload FROM users WHERE subscribed"
    """
    given = dict(locals())
    from outbox.terminal import schedule_changes as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.add(configuration(config, database_url).database_url, given, as_json=json))


@schedule.command("list")
def list_schedules(
    *, json: options.AsJson = False, config: ConfigFile = None, database_url: DatabaseUrl = None
) -> None:
    """Every schedule: when it comes due next, how its last run went, and what is amiss.

    Example: outbox schedule list --json | jq '.schedules[] | select(.failures > 0) | .name'
    """
    from outbox.terminal import schedules as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.list_all(configuration(config, database_url).database_url, as_json=json))


@schedule.command("show")
def show(
    name: query_options.ScheduleName,
    *,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """One schedule with its query, and what became of its last occurrences.

    Example: outbox schedule show digest
    """
    from outbox.terminal import schedules as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.show(configuration(config, database_url).database_url, name, as_json=json))


@schedule.command("next")
def upcoming(
    name: query_options.ScheduleName,
    *,
    count: query_options.Count = 5,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """The next occurrences, by the clocks of the schedule's time zone and in UTC.

    Example: outbox schedule next digest --count 10
    """
    from outbox.terminal import schedules as command  # noqa: PLC0415

    with readable_errors():
        url = configuration(config, database_url).database_url
        raise typer.Exit(command.upcoming(url, name, count=count, as_json=json))


@schedule.command("pause")
def pause(
    name: query_options.ScheduleName,
    *,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Run it no more until it is resumed. A run that is under way is waited for.

    Example: outbox schedule pause digest
    """
    from outbox.terminal import schedule_changes as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.pause(configuration(config, database_url).database_url, name, as_json=json))


@schedule.command("resume")
def resume(
    name: query_options.ScheduleName,
    *,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Run it again from the next occurrence on. What came due while it was paused is not made up for.

    Example: outbox schedule resume digest
    """
    from outbox.terminal import schedule_changes as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.resume(configuration(config, database_url).database_url, name, as_json=json))


@schedule.command("run-now")
def run_now(
    name: query_options.ScheduleName,
    *,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Enqueue what its query returns now, besides its occurrences, also while it is paused.

    Example: outbox schedule run-now digest
    """
    from outbox.terminal import schedule_changes as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.run_now(configuration(config, database_url).database_url, name, as_json=json))


@schedule.command("remove")
def remove(
    name: query_options.ScheduleName,
    *,
    sure: options.Sure = False,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Remove it, and the record of its runs; what it enqueued stays. Asks first; with nobody to ask, it wants --yes.

    Example: outbox schedule remove digest
    """
    from outbox.terminal import schedule_changes as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(
            command.remove(configuration(config, database_url).database_url, name, sure=sure, as_json=json)
        )
