"""Draws docs/images/top.svg: the screen beside real workers. `python -m tests.top_picture`.

It takes two minutes, and a database of its own.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from outbox import errors
from outbox.devdb import LocalPostgres
from outbox.migrate import upgrade
from outbox.outcomes import Dead, Failure
from outbox.queue.pause import pause
from tests.endings import put_dead
from tests.hands import enqueue, rows
from tests.recorder import Recorder, route
from tests.test_worker import running
from tests.top_screen import until_seen, watching

if TYPE_CHECKING:
    from outbox.route import Route

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "top.svg"
UNKNOWN = Dead(provider="smtp", failure=Failure("unreachable", "550 5.1.1", "no such user"), reason="unreachable")
HISTORY = """
    INSERT INTO outbox.samples (at, channel, provider, sent, failed, retried, dead, delivery)
    SELECT date_trunc('minute', now()) - n * interval '1 minute', 'email', 'smtp',
           (95 + 40 * sin(n / 11.0) + random() * 12) * 60,
           (CASE WHEN n BETWEEN 30 AND 42 THEN 9 + random() * 8 ELSE random() * 2.5 END) * 60, 0, 0, ARRAY[0, 1]
    FROM generate_series(1, 150) AS n
"""
_FONTS = re.compile(r"@font-face \{.*?\}", re.DOTALL)


def by(name: str, plain: Route) -> Route:
    """The same, by a provider of that name."""
    (provider,) = plain.providers.values()
    policy = plain.policy.model_copy(update={"providers": (name,)})
    return dataclasses.replace(plain, providers={name: provider}, policy=policy)


async def behave(_: object) -> None:
    await asyncio.sleep(random.lognormvariate(-3, 0.8))
    if random.random() < 0.02:
        raise errors.Temporary("greylisted", code="451 4.7.1")
    if random.random() < 0.002:
        raise errors.Rejected("it looks like spam", code="554 5.7.1")


async def scene(url: str) -> None:
    """Put there what can be put there at once."""
    await asyncio.to_thread(put_dead, url, 14, UNKNOWN, template="receipt")
    rows(url, "UPDATE outbox.dead_letters SET died_at = now() - random() * interval '50 minutes'")
    rows(url, HISTORY)
    with psycopg.connect(url) as conn:
        pause(conn, scope="channel", name="push", actor="ada@desk", reason="the title says Hello None")
    enqueue(url, 300, channel="webhook")
    enqueue(url, 1_500, channel="email", priority="bulk", run_at=timedelta(hours=2))
    enqueue(url, 4_180, channel="push")
    enqueue(url, 40, channel="sms", priority="urgent")


async def people(url: str) -> None:
    """Sign up, order and pay, about a hundred a second."""
    while True:
        for priority in ("urgent", "normal", "bulk"):
            await asyncio.to_thread(enqueue, url, random.randint(25, 45), priority=priority)
        await asyncio.sleep(1)


async def draw(url: str, seconds: float) -> str:
    """Let it go on for a while, and return the picture."""
    await scene(url)
    away = Recorder()
    away.failing = errors.Misconfigured("authentication failed", code="20003")
    email, sms = by("smtp", route(Recorder(behave))), by("twilio", route(away, channel="sms"))
    push = by("fcm", route(Recorder(), channel="push"))
    async with running(url, email, push, concurrency=30), running(url, email, sms, concurrency=20):
        busy = asyncio.create_task(people(url))
        async with watching(url, (120, 42), interval=1.0) as pilot:
            await until_seen(pilot, "▲ held 20003")
            await asyncio.sleep(seconds)
            picture = pilot.app.export_screenshot(title="outbox top")
        busy.cancel()
    return _FONTS.sub("", picture)  # they would be fetched from elsewhere


def main() -> None:
    """Write the file."""
    with LocalPostgres(durable=False) as server:
        with psycopg.connect(server.url, autocommit=True) as admin:
            admin.execute("CREATE DATABASE shop")
        url = server.url_of("shop")
        upgrade(url)
        picture = asyncio.run(draw(url, float(sys.argv[1]) if len(sys.argv) > 1 else 75))
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
