"""The commands of `outbox dead-letters`: one command, one call."""

from __future__ import annotations

import typer

from outbox.terminal import options, selection
from outbox.terminal.options import ConfigFile, DatabaseUrl  # noqa: TC001 - typer evaluates the annotations
from outbox.terminal.setup import configuration, readable_errors

dead_letters = typer.Typer(
    help="What could not be delivered: look at it, replay it, or close it.", no_args_is_help=True
)


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
