"""The first few of a replay: what became of them, and whether the rest may follow."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.outcomes import Dead, Expired, Failure, Retry, Sent
from outbox.queue.canary import Canary, fare
from outbox.queue.replay import replay
from tests.endings import REFUSED, claim_due, put_dead, settle_as

if TYPE_CHECKING:
    import psycopg

    from outbox.queue.canary import Fate

FATES: tuple[Fate, ...] = ("waiting", "retrying", "sent", "dead", "kept_back")


def canary(*fates: Fate) -> Canary:
    return Canary({UUID(int=number): fate for number, fate in enumerate(fates)})


def test_each_has_the_fate_that_it_met_after_the_replay(database_url: str, conn: psycopg.Connection) -> None:
    ids = put_dead(database_url, 5)
    replay(conn, ids)
    conn.commit()
    assert set(fare(conn, ids).fates.values()) == {"waiting"}
    conn.commit()

    sent, dead, retried, expired, _ = claim_due(database_url)
    settle_as(database_url, [sent], Sent(provider="smtp"))
    settle_as(database_url, [dead], REFUSED)
    settle_as(database_url, [retried], Retry(provider="smtp", failure=Failure("temporary", "451", "no"), delay=60))
    settle_as(database_url, [expired], Expired())
    assert list(fare(conn, ids).fates.items()) == list(
        zip(ids, ("sent", "dead", "retrying", "kept_back", "waiting"), strict=True)
    )


def test_one_that_died_of_a_temporary_error_again_is_dead(database_url: str, conn: psycopg.Connection) -> None:
    exhausted = Dead(provider="smtp", failure=Failure("temporary", "451", "try later"), reason="exhausted")
    ids = put_dead(database_url, 1, exhausted)
    replay(conn, ids)
    conn.commit()
    settle_as(database_url, claim_due(database_url), exhausted)
    assert fare(conn, ids).verdict() is False


@pytest.mark.parametrize(
    ("fates", "threshold", "verdict"),
    [
        (("sent",) * 10, 1.0, True),
        (("sent",) * 9 + ("dead",), 1.0, False),
        (("sent",) * 9 + ("dead",), 0.9, True),
        (("sent",) * 8 + ("dead",) * 2, 0.9, False),
        (("dead",) + ("waiting",) * 9, 1.0, False),
        (("dead",) + ("waiting",) * 9, 0.9, None),
        (("sent",) * 9 + ("retrying",), 1.0, None),
        (("sent", "kept_back"), 1.0, True),
        (("kept_back", "kept_back"), 1.0, False),
        ((), 1.0, False),
    ],
)
def test_the_rest_may_follow_what_was_sent(
    fates: tuple[Fate, ...],
    threshold: float,
    verdict: bool | None,  # noqa: FBT001 - a parameter
) -> None:
    assert canary(*fates).verdict(threshold) is verdict


@given(st.lists(st.sampled_from(FATES), max_size=12), st.sampled_from([0.1, 0.5, 0.9, 1.0]), st.data())
def test_a_verdict_is_never_taken_back(fates: list[Fate], threshold: float, data: st.DataObject) -> None:
    now = canary(*fates).verdict(threshold)
    if now is None:
        return
    later: list[Fate] = [
        data.draw(st.sampled_from(FATES)) if fate in {"waiting", "retrying"} else fate for fate in fates
    ]
    assert canary(*later).verdict(threshold) is now
