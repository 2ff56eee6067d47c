"""The command line: one command, one call."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from outbox.terminal import options, selection
from outbox.terminal.bench_command import bench
from outbox.terminal.dead_letter_commands import dead_letters
from outbox.terminal.demo_command import demo
from outbox.terminal.dev_server_command import dev_server
from outbox.terminal.doctor_command import doctor
from outbox.terminal.fan_out_commands import fan_out
from outbox.terminal.import_commands import import_
from outbox.terminal.init_command import init
from outbox.terminal.options import ConfigFile, DatabaseUrl  # noqa: TC001 - typer evaluates the annotations
from outbox.terminal.preference_commands import preference
from outbox.terminal.schedule_commands import schedule
from outbox.terminal.setup import configuration, readable_errors
from outbox.terminal.shipped_commands import shipped
from outbox.terminal.steering_commands import steering
from outbox.terminal.suppress_commands import suppress
from outbox.terminal.template_commands import template
from outbox.terminal.top_command import top
from outbox.terminal.topic_commands import topic
from outbox.terminal.unsubscribe_commands import unsubscribe
from outbox.terminal.watching_commands import watching
from outbox.terminal.web_commands import web

app = typer.Typer(
    name="outbox",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals hold message bodies
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(dead_letters, name="dead-letters", rich_help_panel="Look and mend")
app.add_typer(suppress, name="suppress", rich_help_panel="Look and mend")
app.add_typer(preference, name="preference", rich_help_panel="Look and mend")
app.add_typer(steering)  # without a name: its commands are ours
app.add_typer(watching)
app.add_typer(topic, name="topic", rich_help_panel="Delivery")
app.add_typer(template, name="template", rich_help_panel="Delivery")
app.add_typer(fan_out, name="fan-out", rich_help_panel="Delivery")
app.add_typer(schedule, name="schedule", rich_help_panel="Delivery")
app.add_typer(import_, name="import", rich_help_panel="Database")
app.add_typer(unsubscribe, name="unsubscribe", rich_help_panel="Delivery")
app.add_typer(shipped)
app.add_typer(web, name="web", rich_help_panel="Steer and watch")


@app.callback()
def main(*, _version: options.Version = False) -> None:
    """Notifications that commit with your transaction, delivered from PostgreSQL alone.

    Exit codes: 0 done, 1 it could not be done (or the answer is no), 2 a mistake in the arguments or the configuration.

    Example: outbox init
    """


app.command(rich_help_panel="Start here")(init)
app.command(rich_help_panel="Start here")(demo)


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
    """Create or update the outbox schema. Safe to run from several places at once, and while applications run.

    Exit code 1: with --check, the schema is behind; else it could not be done, and nothing was changed.

    Example: outbox migrate --check || outbox migrate
    """
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


@app.command(rich_help_panel="Database")
def roles(
    *,
    apply: options.Apply = False,
    prefix: options.Prefix = "outbox_",
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """The roles for applications, workers, auditors, operators: rights as SQL; the same again takes back the rest.

    Example: outbox roles --apply && psql -c 'GRANT outbox_enqueuer TO app'
    """
    from outbox.terminal import roles as command  # noqa: PLC0415

    with readable_errors():
        if not apply:
            raise typer.Exit(command.print_sql(prefix))
        raise typer.Exit(command.apply(configuration(config, database_url), prefix))


@app.command(rich_help_panel="Database")
def retention(
    *,
    dry_run: options.DryRun = False,
    patience: options.Patience = None,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Let go of what is older than the configuration says, in small steps. Workers do the same once an hour.

    Exit code 1: some days are in use without a pause, and stay.

    Example: outbox retention --dry-run
    """
    from outbox.terminal import retention as command  # noqa: PLC0415

    settings = configuration(config, database_url)
    with readable_errors():
        raise typer.Exit(command.retain(settings, dry_run=dry_run, patience=patience, as_json=json))


@app.command(rich_help_panel="Database")
def erase(
    *,
    recipient: options.Recipient,
    channel: options.OneChannel = None,
    suppressions: options.Suppressions = False,
    dry_run: options.DryRun = False,
    sure: options.Sure = False,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Erase what is stored about one person, and leave counts. Asks first; where nobody can be asked, it wants --yes.

    Exit code 1: something was still being sent to them after a minute; run it again.

    Example: outbox erase --recipient ada@example.org --dry-run
    """
    given = dict(locals())
    from outbox.terminal import erase as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.run(configuration(config, database_url).database_url, given))


@app.command(rich_help_panel="Delivery")
def worker(
    *,
    channel: options.Served,
    handlers: options.Handlers = None,
    priority: options.Priorities = None,
    concurrency: options.Concurrency = None,
    processes: options.Processes = None,
    grace: options.Grace = None,
    metrics_port: options.MetricsPort = None,
    metrics_host: options.MetricsHost = None,
    health_port: options.HealthPort = None,
    health_host: options.HealthHost = None,
    drain: Annotated[bool, typer.Option("--drain", help="Exit when nothing is due.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every claim and delivery.")] = False,
    log_format: options.LogFormat = None,
    member: options.Member = None,
    attached: options.Attached = None,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Deliver notifications, until SIGTERM or Ctrl-C. Start as many as you like, anywhere.

    Example: outbox worker --channel email --processes 4 --concurrency 500
    """
    given = dict(locals())
    from outbox.terminal import worker as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.run(given))


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
    ordering_key: options.OrderingKey = None,
    supersedes: options.Supersedes = False,
    time_zone: options.RecipientZone = None,
    unless_read: options.UnlessRead = None,
    unless_sent: options.UnlessSent = None,
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
def check(*, config: ConfigFile = None, live: options.Live = False) -> None:
    """Find every mistake in the configuration, its providers and the templates, without starting or sending anything.

    With --live, it connects to the providers, and asks those that can be asked whether they would let us send.

    Exit codes: 0 all is well, 1 there are mistakes or refusals, 2 the file that was named is not there.

    Example: outbox check --config outbox.toml --live
    """
    from outbox.terminal import check as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.check(config, live=live))


# Last, so that the help begins with what to start with.
app.command(rich_help_panel="Start here")(dev_server)
app.command(rich_help_panel="Look and mend")(doctor)
app.command(rich_help_panel="Database")(bench)
app.command(rich_help_panel="Steer and watch")(top)


if __name__ == "__main__":
    app()
