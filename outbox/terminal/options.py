"""The options of the commands, with the words of their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from outbox.terminal import completing
from outbox.terminal.selection import CLASSES, REASONS

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration file.", show_default="OUTBOX_CONFIG, else ./outbox.toml"),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url", help="postgresql://user@host/database", show_default="OUTBOX_DATABASE_URL, else the file's"
    ),
]
# Of `outbox` itself, `demo`, `migrate` and `worker`.
Version = Annotated[
    bool,
    typer.Option(
        "--version",
        help="Print the version, and those of all that it stands on, and exit.",
        callback=lambda value: _print_version(asked=value),
        is_eager=True,
    ),
]
Server = Annotated[
    str | None,
    typer.Option(
        help="Make a new database on this server (it stays there with --keep).", show_default="a server of its own"
    ),
]
Sql = Annotated[bool, typer.Option("--sql", help="Print the SQL of all migrations instead of running them.")]
Down = Annotated[
    str | None,
    typer.Option(
        "--down", metavar="REVISION", help="Undo down to a revision; `base` removes every table and all they hold."
    ),
]
Handlers = Annotated[
    list[str] | None,
    typer.Option(metavar="MODULE", help="Module with functions of yours, @outbox.handler(…); again for more."),
]
Priorities = Annotated[
    list[str] | None,
    typer.Option(
        "--priority",
        help="Only these priorities (urgent, high, normal, bulk, or 0-9); again for more.",
        autocompletion=completing.priorities,
    ),
]
Concurrency = Annotated[int | None, typer.Option(help="Deliveries at once, for each channel.", show_default="200")]
Processes = Annotated[
    str | None,
    typer.Option(metavar="N", help="Worker processes, restarted when they die; `auto`: one a CPU.", show_default="1"),
]
Member = Annotated[
    str | None, typer.Option(hidden=True, help="Given by the supervisor to each of its processes, such as 2/4.")
]
Attached = Annotated[
    int | None, typer.Option(hidden=True, help="Given by the supervisor: the socket through which it asks.")
]
MetricsPort = Annotated[
    int | None,
    typer.Option(metavar="PORT", help="Serve metrics for Prometheus there: 9464.", show_default="no"),
]
MetricsHost = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Serve them at this address alone.", show_default="0.0.0.0")  # noqa: S104
]
HealthPort = Annotated[
    int | None,
    typer.Option(metavar="PORT", help="Say there whether it lives and is ready: 9465.", show_default="no"),
]
HealthHost = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Say so at this address.", show_default="127.0.0.1")
]
LogFormat = Annotated[
    str | None,
    typer.Option(
        metavar="FORMAT",
        help="How it logs: text, json, or auto: text where a person looks.",
        show_default="auto",
        autocompletion=completing.among("text", "json", "auto"),
    ),
]
Grace = Annotated[
    str | None, typer.Option(help="Time to finish what is being sent after a signal.", show_default="30s")
]

# Of `retention`, `erase` and `roles`.
Patience = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION", help="How long enqueues may be held up, a few times, for a lock.", show_default="100ms"
    ),
]
OneChannel = Annotated[
    str | None,
    typer.Option("--channel", help="Only this channel.", show_default="every one", autocompletion=completing.channels),
]
Suppressions = Annotated[
    bool, typer.Option("--suppressions", help="Their suppressions too: they may be contacted again.")
]
Apply = Annotated[bool, typer.Option("--apply", help="Run it, as the owner of the tables, instead of printing it.")]
Prefix = Annotated[str, typer.Option(help="What the names of the roles begin with.")]

# Of the commands that look and mend.
Live = Annotated[bool, typer.Option("--live", help="Ask the providers, too, whether they would let us send.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Identity = Annotated[str, typer.Argument(metavar="ID", help="The notification's id.", show_default=False)]
Identities = Annotated[
    list[str] | None, typer.Argument(metavar="ID", help="Dead letters by their ids.", show_default=False)
]
Channels = Annotated[
    list[str] | None,
    typer.Option("--channel", help="Only this channel; again for more.", autocompletion=completing.channels),
]
Served = Annotated[
    list[str],
    typer.Option("--channel", help="Channel to serve; again for more.", autocompletion=completing.channels),
]
Classes = Annotated[
    list[str] | None,
    typer.Option(
        "--class",
        metavar="CLASS",
        help=f"Only this class of error; again for more: {', '.join(CLASSES)}.",
        autocompletion=completing.among(*CLASSES),
    ),
]
Reasons = Annotated[
    list[str] | None,
    typer.Option(
        "--reason",
        metavar="REASON",
        help=f"Only given up for this; again for more: {', '.join(REASONS)}.",
        autocompletion=completing.among(*REASONS),
    ),
]
Groups = Annotated[
    list[str] | None,
    typer.Option("--group", metavar="GROUP", help="Only this group, as `dead-letters groups` has it; again for more."),
]
Codes = Annotated[
    list[str] | None, typer.Option("--code", metavar="CODE", help="Only this code of the provider; again for more.")
]
Templates = Annotated[
    list[str] | None,
    typer.Option("--template", help="Only this template; again for more.", autocompletion=completing.templates),
]
Providers = Annotated[
    list[str] | None,
    typer.Option(
        "--provider",
        metavar="NAME",
        help="Only given up by this one; again for more.",
        autocompletion=completing.providers,
    ),
]
Since = Annotated[str | None, typer.Option("--since", help="Only those that died so long ago or later, such as 24h.")]
Until = Annotated[str | None, typer.Option("--until", help="Only those that died so long ago or before, such as 1h.")]
Every = Annotated[bool, typer.Option("--all", help="Every open dead letter.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would happen; write nothing.")]
Sure = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Rate = Annotated[str | None, typer.Option(help="How many become due in what time: 50/s, 600/m, 1000/h.")]
First = Annotated[
    int | None,
    typer.Option(
        "--canary",
        "--first",
        min=1,
        max=1_000,
        metavar="N",
        help="Replay so many, wait until they have ended, and replay the rest only if they were sent.",
    ),
]
Threshold = Annotated[
    str, typer.Option(metavar="SHARE", help="So many of the canary have to be sent for the rest to follow.")
]
CanaryTimeout = Annotated[
    str, typer.Option(metavar="DURATION", help="The canary has failed if it has not ended by then.")
]
MaxReplays = Annotated[
    int, typer.Option(min=1, metavar="N", help="Leave alone what was replayed so often already, and died each time.")
]
Again = Annotated[bool, typer.Option("--again", help="However often they were replayed before.")]
Because = Annotated[
    str | None, typer.Option("--because", metavar="WORDS", help="Why you do it: written down in the audit.")
]
WithPayload = Annotated[
    bool, typer.Option("--with-payload", help="What the messages say too, which may be personal or secret.")
]
NewRecipient = Annotated[
    str | None, typer.Option("--recipient", help="To this address instead.", show_default="the same")
]
NewPayload = Annotated[
    str | None,
    typer.Option(
        "--payload", metavar="JSON", help="This payload instead, the whole of it; @file.json, or - to read it."
    ),
]
Editor = Annotated[bool, typer.Option("--editor", help="Change the payload in an editor: $VISUAL, or $EDITOR.")]
Limit = Annotated[int, typer.Option(min=1, help="At most so many, the newest.")]
MostGroups = Annotated[int, typer.Option("--limit", min=1, help="At most so many, the largest.")]
Discarded = Annotated[list[str], typer.Argument(metavar="ID", help="Dead letters by their ids.", show_default=False)]
Resolved = Annotated[bool, typer.Option("--all", help="Those that were replayed or discarded too.")]

# Of `doctor`.
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="NAME", help="Only this check; again for more.", autocompletion=completing.checks),
]
ListChecks = Annotated[bool, typer.Option("--list", help="Name the checks, and make none.")]
Strict = Annotated[bool, typer.Option("--strict", help="Warnings, and what could not be looked at, fail as well.")]

# Of `enqueue`: a notification's fields.
Channel = Annotated[
    str,
    typer.Option(
        help="email, sms, push, inapp, chat, webhook, or one of your own.",
        show_default=False,
        autocompletion=completing.channels,
    ),
]
Recipient = Annotated[str, typer.Option(help="One address, number, token or URL.", show_default=False)]
Template = Annotated[
    str | None,
    typer.Option(
        help="Template to render; without one the payload is the message.", autocompletion=completing.templates
    ),
]
Payload = Annotated[
    str | None, typer.Option(metavar="JSON", help="A JSON object; @file.json, or - for standard input, to read it.")
]
Priority = Annotated[
    str | None,
    typer.Option(
        help="urgent, high, normal, bulk, or 0 to 9.", show_default="normal", autocompletion=completing.priorities
    ),
]
RunAt = Annotated[str | None, typer.Option(metavar="TIME", help="Not before, such as 2030-01-31T09:00:00Z.")]
Delay = Annotated[str | None, typer.Option(metavar="DURATION", help="Not before so long from now, such as 5m.")]
ExpiresAt = Annotated[str | None, typer.Option(metavar="TIME", help="Not after: too late is worse than never.")]
ExpiresIn = Annotated[str | None, typer.Option(metavar="DURATION", help="Not after so long from now, such as 1h.")]
IdempotencyKey = Annotated[str | None, typer.Option(help="One key, one notification, on a channel.")]
Topic = Annotated[str | None, typer.Option(help="What it is about, for consent.", autocompletion=completing.topics)]
GroupKey = Annotated[str | None, typer.Option(help="What it belongs to, for cancelling together.")]
OrderingKey = Annotated[
    str | None, typer.Option(help="Of those with one key, on a channel, the next waits for the end of the one before.")
]
Supersedes = Annotated[
    bool, typer.Option("--supersedes", help="Take back what else has its group key, on its channel, and was not sent.")
]
Locale = Annotated[str | None, typer.Option(help="Language to render in, such as pt-BR.")]
RecipientZone = Annotated[
    str | None, typer.Option(metavar="NAME", help="Where the recipient lives, such as Europe/Berlin: for quiet hours.")
]
UnlessRead = Annotated[
    str | None, typer.Option(metavar="ID", help="Not to be sent once the in-app notification of this id was read.")
]
UnlessSent = Annotated[
    str | None, typer.Option(metavar="ID", help="Not to be sent if the notification of this id was sent by then.")
]
Headers = Annotated[str | None, typer.Option(metavar="JSON", help="A JSON object, given as --payload is.")]

# Of `alerts`.
RUNBOOKS = "docs/alerts.md"
Runbooks = Annotated[
    str, typer.Option(metavar="URL", help="Where the page docs/alerts.md can be read, for the links in the alerts.")
]
RuleTests = Annotated[
    bool,
    typer.Option("--tests", help="Print their tests instead, for `promtool test rules`, to change with the rules."),
]


def _print_version(*, asked: bool) -> None:
    if asked:
        from outbox.terminal import versions  # noqa: PLC0415

        versions.tell()
        raise typer.Exit
