"""The engine as a model that can be searched to its last state: its statements and its workers, as pure functions.

- `guards`: every guard of the engine. A rule book without one of them is a mutant.
- `database`: what each statement does to the rows of one notification.
- `state`: what can be known about one notification, in both workers' hands, and its canonical form.
- `steps`: everything that can happen to one notification; `together` to two of them and their two workers.
- `invariants`: what must hold after every step.
- `search`: breadth first over all that can be reached, with the shortest run to whatever breaks a promise.

The same `database` tells tests/test_state_machine.py what PostgreSQL must have done, so what is searched is
the engine.

`python -m tests.model` searches the full space and every mutant, and prints their runs.
"""
