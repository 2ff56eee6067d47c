from __future__ import annotations

import json
import threading
from typing import Any

from outbox.outcomes import Sent
from tests.backdated import put_days_ago
from tests.command_line import run, run_on_a_terminal
from tests.endings import claim_due, put, put_dead, settle_as
from tests.hands import rows
from tests.waiting import wait_until

ADA = "ada@example.org"
SENT = Sent(provider="smtp", provider_message_id="250 ok")


def erase(url: str, *arguments: object, code: int = 0) -> dict[str, Any]:
    result = run(url, "erase", "--recipient", ADA, "--json", *arguments)
    assert result.exit_code == code, result.stderr
    document = json.loads(result.stdout)
    assert isinstance(document, dict)
    return document


def put_some(url: str) -> None:
    put_days_ago(url, 3, 2, SENT, recipient=ADA, key="k")
    put(url, 1, SENT, recipient=ADA)
    put_dead(url, 1, recipient=ADA)
    put(url, 1, recipient=ADA)
    put(url, 1, recipient="eve@example.org")
    rows(url, "INSERT INTO outbox.suppressions (channel, recipient, reason) VALUES ('email', %s, 'asked')", ADA)


def count(url: str) -> int:
    return int(rows(url, "SELECT count(*) FROM outbox.notifications")[0][0])


def test_a_dry_run_counts_and_writes_nothing(cloned_url: str) -> None:
    put_some(cloned_url)
    document = erase(cloned_url, "--dry-run")
    assert document == {
        "would_erase": {
            "notifications": 5,
            "cancelled": 1,
            "attempts": 4,
            "dead_letters": 1,
            "inbox": 0,
            "idempotency_keys": 2,
            "suppressions": 0,
        },
        "leased": 0,
    }
    assert count(cloned_url) == 6
    assert run(cloned_url, "erase", "--recipient", ADA, "--dry-run").stdout.splitlines() == [
        "would erase 5 notifications, 1 of which still wait and would not be sent",
        "would erase 1 dead letter",
    ]


def test_it_erases_what_it_foretold_and_says_what_stays(cloned_url: str) -> None:
    put_some(cloned_url)
    foretold = erase(cloned_url, "--dry-run")
    document = erase(cloned_url, "--yes")
    assert document["erased"] == foretold["would_erase"]
    assert (document["leased"], document["suppressions_left"]) == (0, 1)
    assert rows(cloned_url, "SELECT recipient FROM outbox.notifications") == [("eve@example.org",)]
    assert erase(cloned_url, "--yes", "--suppressions")["erased"]["suppressions"] == 1


def test_on_paper_it_is_sentences(cloned_url: str) -> None:
    put_some(cloned_url)
    result = run(cloned_url, "erase", "--recipient", ADA, "--yes")
    assert result.stdout == "✓ erased 5 notifications (1 of them still waited), 1 dead letter\n"
    assert result.stderr.splitlines() == [
        "kept: 4 attempts, without what the providers said",
        "kept: digests of 2 idempotency keys, which let no second one through",
        "kept: 1 suppression, so that nobody contacts them; --suppressions removes these too",
    ]
    result = run(cloned_url, "erase", "--recipient", ADA, "--yes", "--channel", "sms")
    assert result.stdout == f"nothing was stored about {ADA}\n"


def test_a_person_is_asked_and_may_say_no(cloned_url: str) -> None:
    put_some(cloned_url)
    code, seen = run_on_a_terminal(cloned_url, "erase", "--recipient", ADA, answer="n\n")
    assert (code, count(cloned_url)) == (1, 6)
    assert "would erase 5 notifications" in seen
    code, seen = run_on_a_terminal(cloned_url, "erase", "--recipient", ADA, answer="y\n")
    assert (code, count(cloned_url)) == (0, 1)
    assert "erased 5 notifications" in seen


def test_where_there_is_nobody_to_ask_it_wants_to_be_sure(database_url: str) -> None:
    put(database_url, 1, recipient=ADA)
    result = run(database_url, "erase", "--recipient", ADA)
    assert (result.exit_code, "--yes" in result.stderr, count(database_url)) == (2, True, 1)


def test_nobody_is_a_mistake(database_url: str) -> None:
    result = run(database_url, "erase", "--recipient", "", "--yes")
    assert (result.exit_code, result.stderr) == (2, "error: --recipient: whose data? the recipient is empty\n")


def test_it_waits_for_what_is_being_sent(database_url: str) -> None:
    put(database_url, 1, recipient=ADA)
    claimed = claim_due(database_url)
    documents: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: documents.append(erase(database_url, "--yes")))
    thread.start()
    put(database_url, 1, recipient=ADA, run_at=None)
    wait_until(lambda: count(database_url) == 1)  # what was put meanwhile has gone: it looks again and again
    settle_as(database_url, claimed, SENT)
    thread.join()
    assert (documents[0]["erased"]["notifications"], documents[0]["leased"]) == (2, 0)
    assert count(database_url) == 0
    assert rows(database_url, "SELECT 1 FROM outbox.attempts WHERE provider_message_id IS NOT NULL") == []


def test_what_is_still_being_sent_after_its_patience_is_a_failure(database_url: str, monkeypatch: Any) -> None:
    monkeypatch.setattr("outbox.terminal.erase._LONGEST_WAIT", 0.3)
    put(database_url, 1, recipient=ADA)
    claim_due(database_url)
    result = run(database_url, "erase", "--recipient", ADA, "--yes")
    assert result.exit_code == 1
    assert result.stdout == "warning: 1 still being sent, and not erased: run this again\n"
