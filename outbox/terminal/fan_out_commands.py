"""The commands of `outbox fan-out`: one command, one call."""

from __future__ import annotations

import typer

from outbox.terminal import options, query_options  # noqa: TC001 - typer evaluates the annotations
from outbox.terminal.options import ConfigFile, DatabaseUrl  # noqa: TC001 - as above
from outbox.terminal.setup import configuration, readable_errors

fan_out = typer.Typer(
    help="One notification for each row of a query: a million in chunks, with a name to go on by.\n\n"
    "Example: outbox fan-out list",
    no_args_is_help=True,
)


@fan_out.command("run")
def run(
    name: query_options.FanOutName,
    *,
    sql: query_options.Query,
    param: query_options.Parameters = None,
    dry_run: options.DryRun = False,
    skip_invalid: query_options.SkipInvalid = False,
    chunk: query_options.Chunk = 10_000,
    channel: query_options.EachChannel = None,
    template: options.Template = None,
    payload: options.Payload = None,
    priority: options.Priority = None,
    run_at: options.RunAt = None,
    delay: options.Delay = None,
    expires_at: options.ExpiresAt = None,
    expires_in: options.ExpiresIn = None,
    idempotency_key: query_options.KeyPrefix = None,
    topic: options.Topic = None,
    group_key: options.GroupKey = None,
    locale: options.Locale = None,
    headers: options.Headers = None,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Enqueue what a query returns, in chunks: one notification a recipient, and none for who must not be contacted.

    Look with --dry-run first: it counts, shows a few, and writes nothing. When it is interrupted, by Ctrl-C or by a
    machine that dies, run the same again: it goes on where it was, and nobody gets it twice. To take back what still
    waits: SELECT * FROM outbox.cancel(group_key => 'fan-out:NAME').

    Exit code 1: it failed or was interrupted, and can be run again.

    Example: outbox fan-out run spring-sale --channel email --template sale --topic news --priority bulk --dry-run
    --sql "SELECT email AS recipient, jsonb_build_object('name', name) AS payload FROM users WHERE subscribed"
    """
    given = dict(locals())
    from outbox.terminal import fan_outs as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.run(configuration(config, database_url), given, as_json=json))


@fan_out.command("list")
def list_fan_outs(*, json: options.AsJson = False, config: ConfigFile = None, database_url: DatabaseUrl = None) -> None:
    """Every fan-out: how far it has come, and what became of its rows.

    Example: outbox fan-out list --json | jq '.fan_outs[] | select(.finished_at == null) | .name'
    """
    from outbox.terminal import fan_outs as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.list_all(configuration(config, database_url).database_url, as_json=json))
