"""The pytest plugin and docs/testing.md: real runs of pytest, in projects of their own, on a real PostgreSQL."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.projects import ROOT, attempt, run_pytest, where, write_project

if TYPE_CHECKING:
    from pathlib import Path


def test_the_page_runs_with_pytest_postgresql(empty_url: str, tmp_path: Path) -> None:
    write_project(tmp_path, 0, "test_signup.py")
    assert "5 passed" in run_pytest(tmp_path, "-p", "no:django", *where(empty_url))


def test_the_page_runs_with_sqlalchemys_transaction_for_each_test(empty_url: str, tmp_path: Path) -> None:
    write_project(tmp_path, 1, "test_signup_sqlalchemy.py")
    assert "2 passed" in run_pytest(tmp_path, "-p", "no:django", *where(empty_url))


def test_the_page_runs_with_pytest_django(empty_url: str, tmp_path: Path) -> None:
    write_project(tmp_path, 2, "test_signup_django.py")
    server = conninfo_to_dict(empty_url)
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": server["dbname"],
        "USER": server.get("user", ""),
        "PASSWORD": server.get("password", ""),
        "HOST": server.get("host", ""),
        "PORT": server.get("port", ""),
        "TEST": {"NAME": f"{server['dbname']}_docs"},
    }
    (tmp_path / "project_settings.py").write_text(f"DATABASES = {{'default': {database!r}}}\nUSE_TZ = True\n")
    assert "4 passed" in run_pytest(tmp_path, DJANGO_SETTINGS_MODULE="project_settings", PYTHONPATH=str(tmp_path))


def test_the_readmes_test_passes(empty_url: str, tmp_path: Path) -> None:
    write_project(tmp_path, 0)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    program, test = re.findall(r"^```python\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    (tmp_path / "test_it.py").write_text(program.partition("\n\n\nwith ")[0] + "\n\n\n" + test)
    with (tmp_path / "conftest.py").open("a") as conftest:
        conftest.write(
            "import pytest\n"
            "@pytest.fixture(autouse=True)\n"
            "def users(conn):\n"
            "    conn.execute('CREATE TABLE users (email text PRIMARY KEY, name text)')\n"
        )
    assert "1 passed" in run_pytest(tmp_path, "-p", "no:django", *where(empty_url))


def test_the_complaint_of_an_assertion_is_all_that_pytest_shows(empty_url: str, tmp_path: Path) -> None:
    write_project(tmp_path, 0)
    (tmp_path / "test_it.py").write_text(
        "from outbox.testing import assert_enqueued\n"
        "from signup import sign_up\n"
        "def test_it(conn):\n"
        "    sign_up(conn, 'ada@example.org', 'Ada')\n"
        "    assert_enqueued(conn, template='verify', payload={'code': '654321'})\n"
    )
    done = attempt(tmp_path, "-p", "no:django", *where(empty_url))
    assert done.returncode == 1
    assert "      - '654321'\n" in re.sub(r"^E", "", done.stdout, flags=re.MULTILINE).replace("  " * 4, "      ")
    assert "asserting.py" not in done.stdout


def test_the_option_names_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "tests.toml").write_text('[channels.sms]\nproviders = ["sns"]\n')
    (tmp_path / "pytest.ini").write_text("[pytest]\noutbox_config = conf/tests.toml\n")
    (tmp_path / "test_it.py").write_text(
        "import outbox.testing\n"
        "def test_it(outbox_config):\n"
        "    assert list(outbox_config.channels) == ['sms']\n"
        "    assert outbox.testing.configuration() == outbox_config\n"
    )
    assert "1 passed" in run_pytest(tmp_path, "-p", "no:django")


def test_the_nearest_configuration_above_is_found(tmp_path: Path) -> None:
    (tmp_path / "outbox.toml").write_text('[channels.sms]\nproviders = ["sns"]\n')
    (tmp_path / "pkg" / "tests").mkdir(parents=True)
    (tmp_path / "pkg" / "tests" / "test_it.py").write_text(
        "def test_it(outbox_config):\n    assert list(outbox_config.channels) == ['sms']\n"
    )
    assert "1 passed" in run_pytest(tmp_path / "pkg" / "tests", "-p", "no:django")


def test_what_workers_in_the_process_send_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import asyncio\n"
        "from outbox import channels\n"
        "def test_it(outbox_recorder):\n"
        "    provider = channels.load_provider('email', 'smtp', {})\n"
        "    asyncio.run(provider.send('hello', 'key'))\n"
        "    assert list(outbox_recorder) == ['hello']\n"
        "def test_the_next(outbox_recorder):\n"
        "    assert list(outbox_recorder) == []\n"
    )
    assert "2 passed" in run_pytest(tmp_path, "-p", "no:django")


def test_the_plugin_is_found_and_imports_nothing_of_ours_until_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import sys\n"
        "def test_it(pytestconfig):\n"
        "    assert pytestconfig.pluginmanager.has_plugin('outbox')\n"
        "    heavy = {'pydantic', 'jinja2', 'sqlalchemy', 'alembic', 'httpx', 'typer', 'rich', 'prometheus_client'}\n"
        "    assert heavy.isdisjoint(sys.modules)\n"
        "    ours = {name for name in sys.modules if name.startswith('outbox.testing')}\n"
        "    assert ours == {'outbox.testing', 'outbox.testing.plugin'}\n"
    )
    assert "1 passed" in run_pytest(tmp_path, "-p", "no:django")


@pytest.mark.parametrize("module", ["outbox", "outbox.testing", "outbox.testing.draining", "outbox.testing.asserting"])
def test_nothing_but_the_plugin_needs_pytest(module: str) -> None:
    ask = f"import sys; sys.modules['pytest'] = None; import {module}; print('outbox.testing' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", ask], check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == str(module != "outbox")
