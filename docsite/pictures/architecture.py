"""The parts, and what goes between them."""

from __future__ import annotations

from docsite.pictures.drawing import Arrow, Box, Label, Picture, Point

TABLES = {  # of the outbox, as the picture names them
    "notifications": "what should be sent",
    "queue": "what is due, and when",
    "attempts": "what happened",
    "dead_letters": "what was given up",
    "suppressions": "who must not be told",
    "workers": "who is at work",
}
CHANNELS = {  # with providers of each, by the names of their modules
    "email": ("smtp", "ses", "mailgun", "postmark", "resend", "sendgrid"),
    "sms": ("sns", "twilio", "vonage"),
    "push": ("apns", "fcm", "webpush"),
    "chat": ("slack", "telegram"),
    "webhook": ("standard",),
    "inapp": ("inbox",),
}


def draw() -> Picture:
    """Draw them."""
    application = Box(24, 56, 196, 196, "Your application", kind="ground")
    transaction = Box(
        38, 92, 168, 146, "one transaction", ("INSERT INTO users …", "outbox.enqueue(…)", "COMMIT"), kind="blue"
    )
    database = Box(306, 56, 236, 300, "PostgreSQL, schema outbox", kind="ground-blue")
    tables = [
        Box(322, 92 + 43 * row, 204, 36, name, (meaning,), kind="blue")
        for row, (name, meaning) in enumerate(TABLES.items())
    ]
    workers = [Box(640 + 8 * back, 108 - 8 * back, 124, 148, kind="green") for back in (2, 1)]
    worker = Box(640, 108, 124, 148, "outbox worker", ("consent", "render", "send", "judge"), kind="green")
    providers = [
        Box(838, 56 + 51 * row, 178, 42, channel, (_providers(names),), kind="amber")
        for row, (channel, names) in enumerate(CHANNELS.items())
    ]
    onlookers = Box(24, 284, 196, 72, "Whoever looks", ("dashboard, terminal,", "SQL, Prometheus"), kind="violet")
    middle = worker.at("right", 0.5).x + 16
    arrows = [
        Arrow(
            (transaction.at("right", 0.42), Point(322, transaction.at("right", 0.42).y)),
            "enqueue",
            Point(262, 145),
            kind="strong",
        ),
        Arrow((Point(526, 153), worker.at("left", 45 / 148)), "claim", Point(592, 146), kind="good"),
        Arrow((worker.at("left", 88 / 148), Point(526, 196)), "settle", Point(592, 189), kind="good"),
        *(Arrow((Point(middle, 181), Point(812, 181), Point(812, box.y + 21), box.at("left"))) for box in providers),
        Arrow((onlookers.at("right"), Point(306, 320)), "read, steer", Point(263, 313), kind="dashed"),
    ]
    labels = [
        Label(591, 112, "FOR UPDATE", "middle", "quiet"),
        Label(591, 126, "SKIP LOCKED", "middle", "quiet"),
        Label(710, 284, "as many as you like,", "middle", "quiet"),
        Label(710, 299, "on as many machines", "middle", "quiet"),
        Label(24, 34, "Commits with your transaction", kind="big"),
        Label(640, 34, "Delivered by workers", kind="big"),
    ]  # fmt: skip
    return Picture(
        "architecture",
        "The parts of outbox",
        "Your application inserts its own rows and a notification in one transaction. It lies in PostgreSQL, in the "
        "schema outbox. Workers, as many as you like, claim what is due under a lease, ask for consent, render, send "
        "through a provider of the channel, and settle: they write down how the attempt ended. A dashboard, a "
        "terminal, SQL and Prometheus read the same tables.",
        1040,
        380,
        [application, transaction, database, *tables, *workers, worker, *providers, onlookers],
        arrows,
        labels,
    )


def _providers(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")  # noqa: PLR2004
