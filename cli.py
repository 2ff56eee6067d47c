"""The command line: one command, one call."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from outbox.terminal import options, selection
from outbox.terminal.options import ConfigFile, DatabaseUrl  # noqa: TC001 - typer evaluates the annotations
from outbox.terminal.setup import configuration, readable_errors

app = typer.Typer(
    name="outbox",
    help="Notifications that commit with your transaction, delivered from PostgreSQL alone.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals hold message bodies
    context_settings={"help_option_names": ["-h", "--help"]},
)
dead_letters = typer.Typer(
    help="What could not be delivered: look at it, replay it, or close it.", no_args_is_help=True
)
app.add_typer(dead_letters, name="dead-letters", rich_help_panel="Look and mend")


@app.callback()
def main(*, _version: options.Version = False) -> None:
    """Notifications that commit with your transaction, delivered from PostgreSQL alone.

    Exit codes: 0 done, 1 it could not be done (or the answer is no), 2 a mistake in the arguments or the configuration.
    """


@app.command(rich_help_panel="Start here")
def demo(
    *,
    signups: Annotated[int, typer.Option(min=100, help="People who sign up.")] = 5_000,
    seed: Annotated[int, typer.Option(help="Decides who they are, and whom the mail server treats how.")] = 1,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the database until Ctrl-C, to look around.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the closing report as JSON, for scripts.")] = False,
    database_url: options.Server = None,
) -> None:
    """See it work: thousands of signups, a bad mail server, a killed worker, and accounts that add up. Half a minute.

    Nothing is sent to anybody. Needs the extra dev-server, or PostgreSQL's programs. Exit code 1: it does not add up.
    """
    from outbox.demo import run as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.run(database_url, signups=signups, seed=seed, keep=keep, as_json=json))


@app.command(rich_help_panel="Database")
def migrate(
    *,
    database_url: DatabaseUrl = None,
    config: ConfigFile = None,
    check: Annotated[bool, typer.Option("--check", help="Only tell: exit 0 when up to date, 1 when behind.")] = False,
    sql: options.Sql = False,
    down: options.Down = None,
    sure: options.Sure = False,
) -> None:
    """Create or update the outbox schema. Safe to run from several places at once, and while applications run."""
    from outbox.terminal import migrate as command  # noqa: PLC0415 - each command imports what it needs, for a quick start

    with readable_errors():
        command.refuse_contradictions(check=check, sql=sql, down=down)
        if sql:
            command.print_sql(sys.stdout)
            return
        url = configuration(config, database_url).database_url
        if down is not None:
            raise typer.Exit(command.down(url, down, sure=sure))
        raise typer.Exit(command.check(url) if check else command.up(url))


@app.command(rich_help_panel="Delivery")
def worker(
    *,
    channel: Annotated[list[str], typer.Option("--channel", help="Channel to serve; again for more.")],
    priority: options.Priorities = None,
    concurrency: options.Concurrency = None,
    grace: options.Grace = None,
    drain: Annotated[bool, typer.Option("--drain", help="Exit when nothing is due.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every claim and delivery.")] = False,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log one JSON object a line.")] = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Deliver notifications, until SIGTERM or Ctrl-C. Start as many as you like, anywhere.

    Example: outbox worker --channel email --priority urgent --concurrency 500
    """
    from outbox import logs  # noqa: PLC0415
    from outbox.terminal.priorities import levels  # noqa: PLC0415
    from outbox.worker import process  # noqa: PLC0415

    settings = configuration(config, database_url, worker__concurrency=concurrency, worker__grace=grace)
    logs.configure(verbose=verbose, as_json=log_json)
    with readable_errors():
        raise typer.Exit(process.run(settings, channel, logs.log, levels=levels(priority), drain=drain))


@app.command(rich_help_panel="Delivery")
def enqueue(
    *,
    channel: options.Channel,
    recipient: options.Recipient,
    template: options.Template = None,
    payload: options.Payload = None,
    priority: options.Priority = None,
    run_at: options.RunAt = None,
    delay: options.Delay = None,
    expires_at: options.ExpiresAt = None,
    expires_in: options.ExpiresIn = None,
    idempotency_key: options.IdempotencyKey = None,
    topic: options.Topic = None,
    group_key: options.GroupKey = None,
    locale: options.Locale = None,
    headers: options.Headers = None,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Enqueue one notification, in a transaction of its own. Applications call `enqueue()` in theirs.

    Example: outbox enqueue --channel email --recipient ada@example.org --template welcome --payload '{"name": "Ada"}'
    """
    given = dict(locals())
    from outbox.terminal import enqueue as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.run(configuration(config, database_url), given, as_json=json))


@app.command(rich_help_panel="Look and mend")
def status(
    *,
    channel: options.Channels = None,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """What waits, what is due and since when, what was given up, and who works; with a warning where nobody does.

    Example: outbox status --json | jq '.channels[] | {channel, oldest_due_seconds}'
    """
    from outbox.terminal import status as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.show(configuration(config, database_url).database_url, channel, as_json=json))


@app.command(rich_help_panel="Look and mend")
def explain(
    id_: options.Identity, *, json: options.AsJson = False, config: ConfigFile = None, database_url: DatabaseUrl = None
) -> None:
    """The story of one notification: every attempt, why it is where it is, what happens next. Not what it says.

    Exit codes: 1 there is no such notification, 2 that is no id.

    Example: outbox explain 01890a5d-ac96-774b-bcce-b302099a8057
    """
    from outbox.terminal import explain as command  # noqa: PLC0415

    settings = configuration(config, database_url)
    with readable_errors():
        raise typer.Exit(command.explain(settings.database_url, selection.identities([id_])[0], settings, as_json=json))


@app.command(rich_help_panel="Look and mend")
def check(*, config: ConfigFile = None) -> None:
    """Find every mistake in the configuration, its providers and the templates, without starting or sending anything.

    Exit codes: 0 all is well, 1 there are mistakes, 2 the file that was named is not there.

    Example: outbox check --config outbox.toml
    """
    from outbox.terminal import check as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.check(config))


@dead_letters.command("list")
def list_dead_letters(
    *,
    channel: options.Channels = None,
    class_: options.Classes = None,
    reason: options.Reasons = None,
    since: options.Since = None,
    limit: options.Limit = 50,
    resolved: options.Resolved = False,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """What could not be delivered, the newest first, and why.

    Example: outbox dead-letters list --channel email --reason exhausted --since 24h
    """
    from outbox.terminal import dead_letters as command  # noqa: PLC0415

    with readable_errors():
        chosen = selection.filters(channel, class_, reason, since)
        url = configuration(config, database_url).database_url
        raise typer.Exit(command.list_newest(url, chosen, limit=limit, resolved=resolved, as_json=json))


@dead_letters.command("show")
def show_dead_letter(
    id_: options.Identity, *, json: options.AsJson = False, config: ConfigFile = None, database_url: DatabaseUrl = None
) -> None:
    """All that one dead letter holds: its attempts, and its payload, which may be personal or secret.

    Exit codes: 1 there is no such dead letter, 2 that is no id.

    Example: outbox dead-letters show 01890a5d-ac96-774b-bcce-b302099a8057 --json | jq .payload
    """
    from outbox.terminal import dead_letters as command  # noqa: PLC0415

    with readable_errors():
        identity = selection.identities([id_])[0]
        raise typer.Exit(command.show(configuration(config, database_url).database_url, identity, as_json=json))


@dead_letters.command("replay")
def replay_dead_letters(
    ids: options.Identities = None,
    *,
    channel: options.Channels = None,
    class_: options.Classes = None,
    reason: options.Reasons = None,
    since: options.Since = None,
    every: options.Every = False,
    rate: options.Rate = None,
    dry_run: options.DryRun = False,
    sure: options.Sure = False,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Put dead letters back to be delivered, oldest first, with all their attempts before them.

    Give ids, or filters, or --all. On a terminal, filters and --all ask first. Exit code 1: some of the ids could not.

    Example: outbox dead-letters replay --channel email --reason exhausted --since 24h --rate 50/s --dry-run
    """
    from outbox.terminal import resolve as command  # noqa: PLC0415

    with readable_errors():
        chosen = selection.asked(ids, selection.filters(channel, class_, reason, since), every=every)
        url = configuration(config, database_url).database_url
        how = command.How(dry_run=dry_run, sure=sure, as_json=json)
        raise typer.Exit(command.replay(url, chosen, how, rate=selection.per_second(rate)))


@dead_letters.command("discard")
def discard_dead_letters(
    ids: options.Identities = None,
    *,
    channel: options.Channels = None,
    class_: options.Classes = None,
    reason: options.Reasons = None,
    since: options.Since = None,
    every: options.Every = False,
    dry_run: options.DryRun = False,
    sure: options.Sure = False,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Close dead letters that nobody will replay. They stay in the table, and in `list --all`.

    Give ids, or filters, or --all. Asks first; where nobody can be asked, it wants --yes.

    Example: outbox dead-letters discard --reason unreachable --since 7d
    """
    from outbox.terminal import resolve as command  # noqa: PLC0415

    with readable_errors():
        chosen = selection.asked(ids, selection.filters(channel, class_, reason, since), every=every)
        url = configuration(config, database_url).database_url
        raise typer.Exit(command.discard(url, chosen, command.How(dry_run=dry_run, sure=sure, as_json=json)))


if __name__ == "__main__":
    app()
