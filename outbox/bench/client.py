"""A client of the application: a process with one connection, which does what it is asked to."""

from __future__ import annotations

import sys

import psycopg

from outbox.bench.actions import ACTIONS
from outbox.bench.lines import Asker
from outbox.database import describe

APPLICATION = "outbox bench"
_CONNECT_TIMEOUT = 10


def main() -> None:
    """Connect, and answer until nothing more is asked."""
    asker = Asker(sys.argv[1:])
    if (begin := asker.hear()) is None:
        return
    try:
        with psycopg.connect(begin["url"], connect_timeout=_CONNECT_TIMEOUT, application_name=APPLICATION) as conn:
            asker.say(ready=True)
            while (request := asker.hear()) is not None:
                action = ACTIONS[request.pop("action")]
                asker.say(**action(conn, **request))
    except psycopg.Error as error:
        asker.say(error=describe(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
