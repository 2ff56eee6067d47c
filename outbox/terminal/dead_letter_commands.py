"""The commands of `outbox dead-letters`: one command, one call."""

from __future__ import annotations

import typer

from outbox.terminal import options, selection
from outbox.terminal.options import ConfigFile, DatabaseUrl  # noqa: TC001 - typer evaluates the annotations
from outbox.terminal.setup import configuration, readable_errors

dead_letters = typer.Typer(
    help="What could not be delivered: look at it, replay it, or close it.\n\nExample: outbox dead-letters groups",
    no_args_is_help=True,
)


@dead_letters.command("list")
def list_dead_letters(
    *,
    group: options.Groups = None,
    channel: options.Channels = None,
    class_: options.Classes = None,
    code: options.Codes = None,
    template: options.Templates = None,
    provider: options.Providers = None,
    reason: options.Reasons = None,
    since: options.Since = None,
    until: options.Until = None,
    limit: options.Limit = 50,
    resolved: options.Resolved = False,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """What could not be delivered, the newest first, and why.

    Example: outbox dead-letters list --channel email --reason exhausted --since 24h
    """
    given = dict(locals())
    from outbox.terminal import dead_letters as command  # noqa: PLC0415

    with readable_errors():
        chosen = selection.filters(given)
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


@dead_letters.command("groups")
def group_dead_letters(
    *,
    group: options.Groups = None,
    channel: options.Channels = None,
    class_: options.Classes = None,
    code: options.Codes = None,
    template: options.Templates = None,
    provider: options.Providers = None,
    reason: options.Reasons = None,
    since: options.Since = None,
    until: options.Until = None,
    limit: options.MostGroups = 50,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """What failed for the same reason, as one: how many, since when, with an example. The largest group first.

    Example: outbox dead-letters groups --since 24h
    """
    given = dict(locals())
    from outbox.terminal import letter_groups as command  # noqa: PLC0415

    with readable_errors():
        chosen = selection.filters(given)
        url = configuration(config, database_url).database_url
        raise typer.Exit(command.show(url, chosen, limit=limit, as_json=json))


@dead_letters.command("replay")
def replay_dead_letters(
    ids: options.Identities = None,
    *,
    group: options.Groups = None,
    channel: options.Channels = None,
    class_: options.Classes = None,
    code: options.Codes = None,
    template: options.Templates = None,
    provider: options.Providers = None,
    reason: options.Reasons = None,
    since: options.Since = None,
    until: options.Until = None,
    every: options.Every = False,
    rate: options.Rate = None,
    canary: options.First = None,
    threshold: options.Threshold = "100%",
    canary_timeout: options.CanaryTimeout = "10m",
    max_replays: options.MaxReplays = 3,
    again: options.Again = False,
    because: options.Because = None,
    dry_run: options.DryRun = False,
    sure: options.Sure = False,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Put dead letters back to be delivered, oldest first, with all their attempts before them.

    Give ids, or filters, or --all. On a terminal, filters and --all ask first. Exit codes: 1 some of the ids could not,
    3 the canary was not sent, and the rest is left as it was.

    Example: outbox dead-letters replay --group 6c78955682 --canary 10 --rate 50/s --because "the relay is back"
    """
    given = dict(locals())
    from outbox.terminal import replaying as command  # noqa: PLC0415
    from outbox.terminal.resolve import How  # noqa: PLC0415

    with readable_errors():
        chosen = selection.asked(ids, selection.filters(given), every=every)
        pace = command.paced(given)
        url = configuration(config, database_url).database_url
        how = How(dry_run=dry_run, sure=sure, as_json=json, because=because)
        raise typer.Exit(command.replay(url, chosen, how, pace))


@dead_letters.command("edit")
def edit_dead_letter(
    id_: options.Identity,
    *,
    recipient: options.NewRecipient = None,
    payload: options.NewPayload = None,
    editor: options.Editor = False,
    because: options.Because = None,
    sure: options.Sure = False,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Send a dead letter after all, to another recipient or with another payload: under a new id, in its place.

    It is checked as an enqueue is, and against its template. Exit code 1: it is no open dead letter, or its template
    cannot say that.

    Example: outbox dead-letters edit 01890a5d-ac96-774b-bcce-b302099a8057 --recipient ada@example.org
    """
    given = dict(locals())
    from outbox.terminal import letter_edit as command  # noqa: PLC0415

    with readable_errors():
        identity = selection.identities([id_])[0]
        raise typer.Exit(command.edit(configuration(config, database_url), identity, command.Changes.of(given)))


@dead_letters.command("discard")
def discard_dead_letters(
    ids: options.Identities = None,
    *,
    group: options.Groups = None,
    channel: options.Channels = None,
    class_: options.Classes = None,
    code: options.Codes = None,
    template: options.Templates = None,
    provider: options.Providers = None,
    reason: options.Reasons = None,
    since: options.Since = None,
    until: options.Until = None,
    every: options.Every = False,
    because: options.Because = None,
    dry_run: options.DryRun = False,
    sure: options.Sure = False,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Close dead letters that nobody will replay. They stay in the table, and in `list --all`, with the reason.

    Give ids, or filters, or --all. Asks first; where nobody can be asked, it wants --yes.

    Example: outbox dead-letters discard --reason unreachable --since 7d --because "a list that was bought"
    """
    given = dict(locals())
    from outbox.terminal import resolve as command  # noqa: PLC0415

    with readable_errors():
        chosen = selection.asked(ids, selection.filters(given), every=every)
        url = configuration(config, database_url).database_url
        how = command.How(dry_run=dry_run, sure=sure, as_json=json, because=because)
        raise typer.Exit(command.discard(url, chosen, how))


@dead_letters.command("reopen")
def reopen_dead_letters(
    ids: options.Discarded,
    *,
    because: options.Because = None,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Open discarded dead letters again. Exit code 1: some were not discarded.

    Example: outbox dead-letters reopen 01890a5d-ac96-774b-bcce-b302099a8057
    """
    from outbox.terminal import resolve as command  # noqa: PLC0415

    with readable_errors():
        chosen = selection.identities(ids)
        url = configuration(config, database_url).database_url
        how = command.How(dry_run=False, sure=True, as_json=json, because=because)
        raise typer.Exit(command.reopen(url, chosen, how))


@dead_letters.command("export")
def export_dead_letters(
    *,
    group: options.Groups = None,
    channel: options.Channels = None,
    class_: options.Classes = None,
    code: options.Codes = None,
    template: options.Templates = None,
    provider: options.Providers = None,
    reason: options.Reasons = None,
    since: options.Since = None,
    until: options.Until = None,
    with_payload: options.WithPayload = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Every open dead letter that matches, the oldest first, as JSON, one a line; without filters, all of them.

    Example: outbox dead-letters export --since 24h > letters.jsonl
    """
    given = dict(locals())
    from outbox.terminal import letter_export as command  # noqa: PLC0415

    with readable_errors():
        chosen = selection.filters(given)
        raise typer.Exit(
            command.export(configuration(config, database_url).database_url, chosen, with_payload=with_payload)
        )
