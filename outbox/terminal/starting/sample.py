"""A template to begin with, and a notification that it goes out with."""

from __future__ import annotations

from typing import NamedTuple

NAME = "welcome"
FOLDER = f"templates/{NAME}"
PAYLOAD = '{"name": "Ada"}'
FILES = {
    f"{FOLDER}/subject.txt": "Welcome, {{ name }}\n",
    f"{FOLDER}/body.txt": "Hello {{ name }},\n\ngood to have you here.\n",
    f"{FOLDER}/sample.json": f"{PAYLOAD}\n",
}
"""The subject is the title where there is one; text messages and chats take the body alone."""


class Recipient(NamedTuple):
    """Whom a channel sends to: one to try it with, and what an application calls it."""

    example: str
    variable: str


_RECIPIENTS = {
    "email": Recipient("ada@example.org", "email"),
    "sms": Recipient("+14155550100", "phone"),
    "push": Recipient("A-DEVICE-TOKEN", "token"),
    "inapp": Recipient("ada", "username"),
    "chat": Recipient("team", "chat"),
    "webhook": Recipient("https://example.org/hooks", "url"),
}


def recipient_of(channel: str) -> Recipient:
    """Return an example of whom a channel sends to."""
    return _RECIPIENTS.get(channel, Recipient("ada", "recipient"))
