"""Workers that are killed while they send."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from tests.chaos.scenario import scenario
from tests.hands import rows

if TYPE_CHECKING:
    from tests.chaos.stage import Stage

_CONCURRENCY = 50
_LOST = "SELECT notification_id::text, worker FROM outbox.attempts WHERE outcome = 'lost'"


@scenario(1, "one of three workers is killed every two seconds")
def killed_workers(stage: Stage) -> None:
    rate = stage.pick(reduced=300, full=1_000)
    seconds = stage.pick(reduced=3.0, full=300.0)
    every = stage.pick(reduced=0.7, full=2.0)
    lease = stage.pick(reduced=2.0, full=5.0)
    http, mail = stage.http_sink(), stage.mail_sink()
    fleet = stage.fleet(
        http=http,
        mail=mail,
        worker={"lease": lease, "concurrency": _CONCURRENCY},
        policy={"max_lost": 100},
        smtp={"connections": _CONCURRENCY},
    )
    fleet.start(3, ready=True)
    kills = 0
    channels = {"http": 0.8, "email": 0.2}
    with stage.watched_sessions(), stage.application(rate=rate, channels=channels) as application:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            time.sleep(every)
            fleet.kill(stage.random.choice(fleet.live))
            fleet.start(ready=not stage.full)  # or, with so little time between, nobody but beginners would be left
            kills += 1
            stage.say(f"{application.enqueued:,} orders, {kills} kills")
        application.finish()
    waiting = stage.unsettled()
    stage.settle(timeout=6 * lease + 10)
    after = time.monotonic() - application.last_at
    stage.exactly({0}, "exit codes of the survivors", set(fleet.stop()))
    audit = stage.account(orders=True)
    mailed = rows(stage.url, "SELECT id::text FROM outbox.notifications WHERE channel = 'email'")
    copies = [audit.duplicated.get(identity, 0) for (identity,) in mailed]
    of_victims = Counter(worker for identity, worker in rows(stage.url, _LOST) if identity in audit.duplicated)
    stage.exactly(0, "provider with keys: copies", audit.copies - sum(copies))
    stage.at_most(6, "SMTP: copies a kill", sum(copies) / kills)
    stage.at_most(_CONCURRENCY, "SMTP: the most copies of one kill", max(of_victims.values(), default=0))
    stage.at_most(2 * lease, "all ended after the last enqueue", after, " s")
    stage.ran(
        f"{seconds:.0f} s, {application} ({rate:,} asked for), {kills} kills, lease {lease:g} s; "
        f"{waiting:,} waiting at the last enqueue"
    )
