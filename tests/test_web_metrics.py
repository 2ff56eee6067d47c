"""The metrics of the fleet, from the dashboard: to who is signed in, or brings the token along."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.dashboard import USERS, configured, visiting
from tests.hands import rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.dashboard import Visitor

TOKEN = "a token of the tests that is long enough"


@pytest.fixture
def visitor(database_url: str) -> Iterator[Visitor]:
    rows(database_url, "INSERT INTO outbox.pauses (scope, name) VALUES ('channel', 'email')")
    with visiting(configured(database_url, **USERS, OUTBOX_WEB_METRICS_TOKEN=TOKEN)) as visitor:
        yield visitor


def test_who_brings_the_token_along_is_told_of_the_fleet_and_sees_nothing_else(visitor: Visitor) -> None:
    said = {"authorization": f"Bearer {TOKEN}"}
    answer = visitor.get("/metrics", headers=said)
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert 'outbox_paused{name="email",scope="channel"} 1.0' in answer.text
    assert "outbox_fleet_known 1.0" in answer.text
    assert visitor.get("/workers", headers=said).status_code == 303


def test_whoever_asks_for_open_metrics_is_given_that(visitor: Visitor) -> None:
    said = {"authorization": f"bearer {TOKEN}", "accept": "application/openmetrics-text; version=1.0.0"}
    answer = visitor.get("/metrics", headers=said)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


@pytest.mark.parametrize("said", ["", f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer \N{BULLET}"])
def test_a_program_without_it_is_refused_and_not_sent_to_sign_in(visitor: Visitor, said: str) -> None:
    answer = visitor.client.get("/metrics", headers=[(b"authorization", said.encode())] if said else [])
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert "outbox_paused" not in answer.text


def test_whoever_is_signed_in_may_look(visitor: Visitor) -> None:
    visitor.sign_in("bob")
    assert "outbox_fleet_known 1.0" in visitor.get("/metrics").text


def test_without_a_token_in_the_configuration_nobody_can_bring_one_along(database_url: str) -> None:
    with visiting(configured(database_url, **USERS)) as visitor:
        assert visitor.client.get("/metrics", headers={"authorization": "Bearer x"}).status_code == 401


def test_where_nobody_signs_in_this_machine_may_look(database_url: str) -> None:
    with visiting(configured(database_url)) as visitor:
        assert "outbox_fleet_known 1.0" in visitor.get("/metrics").text
