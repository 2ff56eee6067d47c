"""The Tab key: what is offered, in the shells themselves, and that nothing goes wrong while it is."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from outbox.__main__ import command_line

PROGRAMS = Path(sys.executable).parent
HEAVY = {"alembic", "httpx", "jinja2", "prometheus_client", "psycopg", "rich", "sqlalchemy", "textual", "aiosmtplib"}

CONFIGURATION = """
[channels.email]
providers = ["smtp", "postmark"]
[channels.parcels]
providers = ["console"]
[topics.news]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "outbox.toml").write_text(CONFIGURATION, encoding="utf-8")
    (tmp_path / "templates/orders/paid").mkdir(parents=True)
    (tmp_path / "templates/orders/paid/body.txt").write_text("Paid", encoding="utf-8")
    return tmp_path


def env(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OUTBOX_")}
    return kept | {"PATH": f"{PROGRAMS}:{os.environ['PATH']}"} | more


def offered(typed: str, folder: Path, **more: str) -> list[str]:
    """What is offered for the last word of `typed`, without a shell in between."""
    words = typed.split(" ")
    asked = {"_OUTBOX_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)} | more
    with contextlib.chdir(folder):
        done = CliRunner().invoke(command_line().app, [], env=asked, prog_name="outbox")
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("outbox dead", ["dead-letters"]),
        ("outbox dead-letters re", ["replay", "reopen"]),
        ("outbox worker --conc", ["--concurrency"]),
        ("outbox status --channel ", ["email", "parcels"]),
        ("outbox worker --channel email --channel ", ["parcels"]),
        ("outbox worker --priority b", ["bulk"]),
        ("outbox enqueue --channel email --template ", ["orders/paid"]),
        ("outbox enqueue --channel email --topic ", ["news"]),
        ("outbox template show ", ["orders/paid"]),
        ("outbox pause ", ["email", "parcels", "provider:console", "provider:postmark", "provider:smtp"]),
        ("outbox dead-letters list --reason ex", ["exhausted"]),
        ("outbox dead-letters list --class re", ["rejected"]),
        ("outbox tail --outcome de", ["dead", "deferred"]),
        ("outbox tail --provider p", ["postmark"]),
        ("outbox stats --by t", ["template", "topic"]),
        ("outbox doctor --only pool", ["pooler"]),
        ("outbox suppress add --reason hard", ["hard_bounce"]),
        ("outbox init --provider slack", ["slack"]),
        ("outbox top --theme d", ["dark"]),
    ],
)
def test_names_are_offered_where_they_are_known(folder: Path, typed: str, expected: list[str]) -> None:
    assert offered(typed, folder) == expected


class TestNothingGoesWrong:
    def test_with_a_configuration_that_is_none(self, folder: Path) -> None:
        (folder / "outbox.toml").write_text("[channels.email", encoding="utf-8")
        assert offered("outbox status --channel ", folder) == []

    def test_with_one_that_is_not_there(self, folder: Path) -> None:
        assert offered("outbox status --channel ", folder, OUTBOX_CONFIG="none.toml") == []

    def test_without_one_what_ships_is_offered(self, tmp_path: Path) -> None:
        assert offered("outbox enqueue --channel ", tmp_path) == ["chat", "email", "inapp", "push", "sms", "webhook"]

    def test_the_one_that_the_line_names_is_read(self, folder: Path, tmp_path: Path) -> None:
        other = tmp_path / "other.toml"
        other.write_text('[channels.pigeons]\nproviders = ["console"]\n', encoding="utf-8")
        assert offered(f"outbox status --config {other} --channel ", folder) == ["pigeons"]

    def test_no_database_is_asked(self, folder: Path) -> None:
        """One that never answers: 192.0.2.0/24 is nobody's (RFC 5737)."""
        assert offered("outbox status --channel e", folder, OUTBOX_DATABASE_URL="postgresql://192.0.2.1/x") == ["email"]

    def test_a_source_of_templates_of_ones_own_is_not_run(self, folder: Path) -> None:
        (folder / "own.py").write_text("raise SystemExit('ran')\n", encoding="utf-8")
        (folder / "outbox.toml").write_text('[templates]\nsource = "own.templates"\n', encoding="utf-8")
        assert offered("outbox template show ", folder) == ["orders/paid"]


@pytest.mark.parametrize("typed", ["outbox sta", "outbox status --channel ", "outbox worker --priority "])
def test_no_heavy_module_is_imported(folder: Path, typed: str) -> None:
    """The first Tab is a whole start of the program: pydantic, which Typer reads values with, is all it should cost."""
    program = (
        "import sys\nfrom outbox.__main__ import main\nsys.argv = ['outbox']\ntry:\n    main()\n"
        "except SystemExit:\n    pass\nprint(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    words = len(typed.split(" "))
    asked = env(_OUTBOX_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=str(words - 1))
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, env=asked, cwd=folder, timeout=60
    )
    assert done.stdout.split()
    assert HEAVY.intersection(done.stderr.split()) == set()


class TestInTheShells:
    def test_bash_completes_a_channel(self, folder: Path) -> None:
        ask = (
            f'eval "$({self.shown("bash")})"\n'
            "COMP_WORDS=(outbox status --channel pa) COMP_CWORD=3\n"
            '_outbox_completion outbox\necho "${COMPREPLY[@]}"\n'
        )
        assert self.type("bash", ask, folder, "--norc", "--noprofile") == "parcels"

    @pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh here")
    def test_zsh_completes_a_command(self, folder: Path) -> None:
        ask = (
            "autoload -Uz compinit && compinit -u\n"
            f'eval "$({self.shown("zsh")})"\n'
            '_arguments() { print -r -- "$@" }\nwords=(outbox stat) CURRENT=2 _outbox_completion\n'
        )
        assert "status" in self.type("zsh", ask, folder, "-f")

    @pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish here")
    def test_fish_completes_a_command(self, folder: Path) -> None:
        ask = f'{self.shown("fish")} | source\ncomplete -C "outbox status --channel pa"\n'
        assert "parcels" in self.type("fish", ask, folder, "--no-config")

    def shown(self, shell: str) -> str:
        return f"_OUTBOX_COMPLETE=source_{shell} outbox"

    def type(self, shell: str, script: str, folder: Path, *flags: str) -> str:
        program = shutil.which(shell)
        assert program is not None
        done = subprocess.run(
            [program, *flags, "-c", script],
            check=False, capture_output=True, text=True, env=env(), cwd=folder, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout.strip()
