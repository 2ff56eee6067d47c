from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from outbox.doctor.examination import CHECKS
from outbox.migrate import roles_sql
from tests.doctor.examined import findings, status, type_
from tests.hands import rows

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def prefix(cloned_url: str) -> Iterator[str]:
    """The prefix of roles of this test's own."""
    prefix = f"t{secrets.token_hex(4)}_"
    everybody = [f"{prefix}{role}" for role in ("enqueuer", "worker", "auditor", "nobody")]
    rows(cloned_url, f"{roles_sql(prefix)}; CREATE ROLE {prefix}nobody")
    yield prefix
    rows(cloned_url, f"DROP OWNED BY {', '.join(everybody)}; DROP ROLE {', '.join(everybody)}")


def as_role(url: str, role: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}options=-c%20role%3D{role}"


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("enqueuer", "may enqueue, and may not look at everything: some checks cannot be made"),
        ("worker", "may work, and may not look at everything: some checks cannot be made"),
        ("auditor", "may look"),
        ("nobody", "may do nothing here"),
    ],
)
def test_it_says_what_the_role_may_do(cloned_url: str, prefix: str, role: str, expected: str) -> None:
    found = findings(as_role(cloned_url, prefix + role), "rights")
    assert found[0].finding == f"{prefix}{role} {expected}"


def test_the_remedies_let_a_worker_look_at_everything(cloned_url: str, prefix: str) -> None:
    url = as_role(cloned_url, f"{prefix}worker")
    for found in findings(url, "rights"):
        type_(cloned_url, found.remedy.replace("outbox_auditor", f"{prefix}auditor"))
    assert status(url, "rights") == "ok"


def test_who_may_do_nothing_breaks_nothing_and_is_told_what_to_grant(cloned_url: str, prefix: str) -> None:
    url = as_role(cloned_url, f"{prefix}nobody")
    (found,) = findings(url, "overdue")
    assert (found.status, found.remedy) == ("unknown", f'GRANT outbox_auditor TO "{prefix}nobody"')
    assert found.finding.startswith("could not be looked at: InsufficientPrivilege: permission denied for ")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_an_auditor_who_sees_sessions_can_make_every_check(cloned_url: str, prefix: str, check: object) -> None:
    type_(cloned_url, f"GRANT pg_read_all_stats TO {prefix}auditor")
    name = str(getattr(check, "name", ""))
    unseen = [found for found in findings(as_role(cloned_url, f"{prefix}auditor"), name) if found.status == "unknown"]
    assert unseen == [] or name == "configuration"
