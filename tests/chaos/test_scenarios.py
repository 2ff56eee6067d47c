"""Every scenario in its reduced form, a few seconds each; `make chaos` plays them at their full length."""

from __future__ import annotations

import secrets

import pytest

from tests.chaos.report import plain
from tests.chaos.scenario import Scenario, every_scenario
from tests.chaos.stage import play


def _expected(scenario: Scenario) -> object:
    missed = [pytest.mark.xfail(reason=scenario.gap)] if scenario.gap else []  # strict: to be taken away when it is met
    return pytest.param(scenario, id=scenario.play.__name__, marks=missed)


@pytest.mark.parametrize("scenario", [_expected(each) for each in every_scenario()])
def test_every_target_is_met_when(scenario: Scenario, request: pytest.FixtureRequest) -> None:
    url = None if scenario.own_cluster else request.getfixturevalue("cloned_url")
    findings = play(scenario, seed=secrets.randbelow(1_000_000), full=False, url=url)
    print(plain(findings, full=False))  # noqa: T201 - pytest shows it where the test fails
    assert findings.met
