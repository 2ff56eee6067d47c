"""What a worker imports before it works: each start pays for it, and each that takes the place of a dead one."""

from __future__ import annotations

import subprocess
import sys

import pytest

_LOOK = "\nimport sys\nprint(*sys.modules)"


def imported_by(*modules: str, then: str = "") -> set[str]:
    program = f"import {', '.join(modules)}\n{then}{_LOOK}"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_a_worker_that_sends_email_imports_no_client_of_http() -> None:
    modules = imported_by("outbox.terminal.worker", "outbox.channels.email.smtp")
    assert not {"httpx", "httpcore", "h2", "click", "sqlalchemy", "alembic"} & modules


def test_a_provider_that_is_asked_over_http_imports_no_command_line_and_no_http_2() -> None:
    modules = imported_by("outbox.channels.http")
    assert {"httpx", "httpcore"} <= modules
    assert not {"httpx._main", "h2", "click", "rich", "pygments"} & modules


@pytest.mark.parametrize("first", ["outbox.channels.http", "httpx"])
def test_http_2_is_there_for_whoever_wants_it(first: str) -> None:
    then = "import httpx\nhttpx.AsyncClient(http2=True)\nimport httpcore._async.http2\nimport h2.connection"
    modules = imported_by(first, "outbox.channels.http", then=then)
    assert "httpcore._async.http2" in modules
    assert ("httpx._main" in modules) == (first == "httpx"), "what an application has imported stays"
