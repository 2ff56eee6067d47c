"""The arithmetic of the demo's report: it holds for the truth, and for nothing less."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.demo.audit import audit
from outbox.demo.evidence import Application, Evidence, Notification
from outbox.demo.ledger import Entry

LOST = ["delivered", "delivered + dead letters = committed", "lost"]


def _notification(number: int, *outcomes: str, state: str = "sent", **dead: str) -> Notification:
    return Notification(f"id{number}", f"user{number}@example.org", state, outcomes or ("sent",), **dead)


def _mail(number: int, *, at: float = 0.0, event: Any = "accepted") -> Entry:
    identity = f"id{number}" if event == "accepted" else None
    return Entry(event=event, recipient=f"user{number}@example.org", at=1_000 + number + at, id=identity)


def _truth() -> Evidence:
    """Twenty signups, of which one was rolled back, one repeated, one is dead, and three came twice."""
    addresses = [f"user{number}@example.org" for number in range(20)]
    special = {
        3: _notification(3, "dead", state="dead", dead_reason="unreachable", dead_code="550 5.1.1"),
        4: _notification(4, "ambiguous", "sent"),
        5: _notification(5, "lost", "sent"),
        6: _notification(6, "sent", "sent"),
        7: _notification(7, "lost", "ambiguous", "retry", "sent"),
    }
    ledger = [_mail(number, event="refused" if number == 3 else "accepted") for number in range(19)]
    return Evidence(
        Application({each: 1_000 + n - 0.5 for n, each in enumerate(addresses[:19])}, {addresses[19]}, {addresses[2]}),
        users=frozenset(addresses[:19]),
        notifications=[special.get(number, _notification(number)) for number in range(19)],
        ledger=[*ledger, *(_mail(number, at=3) for number in (4, 5, 6))],
    )


def _broken(evidence: Evidence) -> list[str]:
    return [line.claim for line in audit(evidence).lines if not line.holds]


def test_the_truth_adds_up() -> None:
    verdict = audit(_truth())
    assert verdict.holds, _broken(_truth())
    assert verdict.figures == {
        "committed": 19,
        "rolled_back": 1,
        "rolled_back_sent": 0,
        "repeated": 1,
        "keys_refused": 1,
        "users": 19,
        "notifications": 19,
        "delivered": 18,
        "dead_letters": 1,
        "received": 18,
        "lost": 0,
        "second_copies": 3,
        "second_copies_explained": 3,
    }
    assert verdict.copies == {"dropped": 1, "killed": 1, "overdue": 1}
    assert verdict.dead_letters == {"unreachable (550 5.1.1)": 1}
    assert verdict.latency_seconds["p50"] == pytest.approx(0.5)
    assert verdict.accepted_per_second == pytest.approx(21 / 18.5)


@given(st.integers(0, 20))
def test_mail_that_is_gone_from_the_ledger_breaks_it(number: int) -> None:
    truth = _truth()
    accepted = [entry for entry in truth.ledger if entry.event == "accepted"]
    gone = accepted[number]
    others = [entry for entry in truth.ledger if entry is not gone]
    came_twice = any(entry.id == gone.id for entry in others)
    assert _broken(replace(truth, ledger=others)) == ([] if came_twice else LOST)


@given(st.integers(0, 18))
def test_a_copy_that_no_attempt_explains_breaks_it(number: int) -> None:
    truth = _truth()
    ledger = [*truth.ledger, _mail(number, at=9)]
    explained_or_dead = {3, 7}
    expected = ["second copies, each with its reason"] if number not in explained_or_dead else []
    if number == 3:
        expected = [
            "delivered",
            "dead letters: refused for good",
        ]
    assert _broken(replace(truth, ledger=ledger)) == expected


def test_mail_to_somebody_whose_signup_was_rolled_back_breaks_it() -> None:
    truth = _truth()
    assert _broken(replace(truth, ledger=[*truth.ledger, _mail(19)])) == [
        "rolled back: no trace, nothing sent",
        "delivered",
        "delivered + dead letters = committed",
    ]
    refused = _mail(19, event="refused")
    assert "rolled back: no trace, nothing sent" in _broken(replace(truth, ledger=[*truth.ledger, refused])), (
        "even a mail that was tried and refused is one too many"
    )


def test_a_signup_without_a_notification_breaks_it() -> None:
    truth = _truth()
    assert "each has one notification" in _broken(replace(truth, notifications=truth.notifications[1:]))


def test_a_second_notification_for_one_signup_breaks_it() -> None:
    truth = _truth()
    twice = replace(truth.notifications[2], id="another")
    broken = _broken(replace(truth, notifications=[*truth.notifications, twice]))
    assert broken[:2] == ["each has one notification", "repeated with the same key: still one"]


def test_a_user_that_is_missing_breaks_it() -> None:
    truth = _truth()
    assert _broken(replace(truth, users=frozenset(list(truth.users)[1:]))) == ["committed signups are users"]


def test_a_notification_without_an_end_breaks_it() -> None:
    truth = _truth()
    waiting = replace(truth.notifications[0], state="due", outcomes=["retry"])
    assert set(_broken(replace(truth, notifications=[waiting, *truth.notifications[1:]]))) == set(LOST)


def test_a_dead_letter_that_the_mail_server_never_refused_breaks_it() -> None:
    truth = _truth()
    dead = _notification(0, "dead", state="dead", dead_reason="rejected")
    broken = _broken(replace(truth, notifications=[dead, *truth.notifications[1:]]))
    assert broken == ["delivered", "dead letters: refused for good"]


def test_a_dead_letter_that_says_it_may_have_come_holds_though_it_came() -> None:
    truth = _truth()
    in_doubt = _notification(0, "ambiguous", state="dead", dead_reason="in_doubt")
    assert _broken(replace(truth, notifications=[in_doubt, *truth.notifications[1:]])) == []
