"""`outbox alerts` and `outbox grafana`: one command, one call."""

from __future__ import annotations

import typer

from outbox.terminal import options
from outbox.terminal.setup import readable_errors

shipped = typer.Typer()


@shipped.command(rich_help_panel="Steer and watch")
def alerts(*, runbooks: options.Runbooks = options.RUNBOOKS, tests: options.RuleTests = False) -> None:
    """The alert rules for Prometheus, as YAML: what somebody should be woken by, each with what to type next.

    Name the file under rule_files in prometheus.yml. What each alert means, and what to do, is in docs/alerts.md.

    Example: outbox alerts --runbooks https://wiki.example.org/outbox > alerts.yml && promtool check rules alerts.yml
    """
    from outbox.terminal import shipped as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.print_alerts(runbooks, tests=tests))


@shipped.command(rich_help_panel="Steer and watch")
def grafana() -> None:
    """The dashboard for Grafana, as JSON: all channels at a glance, then each by itself.

    In Grafana: Dashboards, New, Import; or put it where Grafana's provisioning looks. It asks for the data source.

    Example: outbox grafana > outbox.json
    """
    from outbox.terminal import shipped as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.print_dashboard())
