"""`outbox grafana` and `outbox alerts`: files for other programs that come with this version, printed."""

from __future__ import annotations

import sys
from pathlib import Path

from outbox.errors import ConfigError
from outbox.terminal.options import RUNBOOKS

# A quotation mark or backslash would end the YAML's string, a brace begin a template of Prometheus, and # the section.
_FORBIDDEN = set('"\\{} #')


def print_dashboard() -> int:
    """Write the Grafana dashboard, as JSON; needs no database."""
    sys.stdout.write(_read("grafana/outbox.json"))
    return 0


def print_alerts(runbooks: str, *, tests: bool) -> int:
    """Write the alert rules for Prometheus, or their `tests`, as YAML, with links to `runbooks`; needs no database.

    Raises:
        ConfigError: `runbooks` can be no URL of a page, without a fragment.
    """
    if not runbooks.isprintable() or not runbooks or _FORBIDDEN.intersection(runbooks):
        raise ConfigError(
            [f"--runbooks {runbooks!r}: that is no URL of a page; one would be https://wiki.example.org/outbox-alerts"]
        )
    text = _read("prometheus/alerts_test.yml" if tests else "prometheus/alerts.yml")
    sys.stdout.write(text.replace(f'"{RUNBOOKS}#', f'"{runbooks}#'))
    return 0


def _read(name: str) -> str:
    """Return one of these files: they are inside the installed package, or at the root of a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "_deploy"
    return ((installed if installed.is_dir() else package.parent / "deploy") / name).read_text(encoding="utf-8")
