"""Scenarios that kill, freeze, cut and fill things while notifications are sent, and the ledger that is kept of it.

`make chaos` plays every scenario at its full length and writes docs/reliability.md; `make test` plays every one in a
reduced form of a few seconds (`test_scenarios.py`). `python -m tests.chaos --only 1,5 --seed 7 --reduced` plays some.

How to write one
----------------

A scenario is one function in a module of `tests/chaos/scenarios/`, where it is found by itself:

    @scenario(17, "half of the business transactions are rolled back")
    def rolled_back_transactions(stage: Stage) -> None:
        orders = stage.pick(reduced=500, full=100_000)           # the two sizes
        sink = stage.http_sink()                                 # a provider's service; mail_sink() is a mail server
        fleet = stage.fleet(http=sink, worker={"lease": "2s"})   # the channel `http`; mail=… is the channel `email`
        fleet.start(2, ready=True)                               # real worker processes
        with stage.application(rate=1_000, channels={"http": 1}, rolled_back=0.5, total=orders) as application:
            stage.say("taking orders")                           # shown by `make chaos` while it runs
            application.wait()
        stage.settle(timeout=30)                                 # until nothing is left in outbox.queue
        stage.exactly([0, 0], "exit codes", fleet.stop())
        stage.account(orders=True)                               # nothing lost, phantom or silently repeated
        stage.ran(f"{orders:,} orders at 1,000/s")               # what the table says was run

- Targets are checks: `stage.at_most(6, "copies a kill", measured)`, `at_least`, `exactly`. A scenario without a check
  counts as failed. Do not `assert` a target: the others are of interest, too. Assert what the scenario relies on.
- Every choice comes from `stage.random`, so that `--seed` repeats it.
- `stage.url` is a migrated database of the scenario's own on a server that others use as well. What kills the server,
  or needs settings of its own, is registered with `own_cluster=True` and calls `stage.cluster(settings)`, which has
  `kill()` and `start()`; `stage.url` is its database from then on.
- `stage.proxy()` is a proxy before the database, with the URL that leads through it: `trap` cuts a connection at a
  request, its answer swallowed; `freeze` makes connections half-open; `delay`, `black_holes`, `refusing` and `limit`
  are attributes. Purposes are application names: "outbox claim", "outbox settle", "outbox lifeline". The state of
  proxies and sinks belongs to the background's event loop: `stage.background.call(proxy.freeze)`.
- `stage.ledger` has `attempt`, `acknowledge` and `roll_back` for enqueues of the scenario's own (`Application` calls
  them itself), `deliveries` (how often a sink accepted each notification) and `first_at`. The sinks write to it. What
  is enqueued by `tests.hands.enqueue` is acknowledged by its ids: `stage.ledger.acknowledge(hands.enqueue(url, 100))`.
- A recipient of the HTTP provider may be mischief: `exit@x`, `segfault@x`, `oom@x`, `memory@x`, `loop@x`, `block@3.5`.
- Coroutines are run with `asyncio.run` inside the scenario: it is a plain function.
- Reduced, a scenario needs at most 8 s beside others on two cores; at full length about 5 minutes, if it can.
- A scenario leaves nothing behind: what the stage made is ended by the stage, and processes of others are left alone.
"""
