"""The alert rules: they parse, fire when they should and not else, ask about what there is, and lead to a runbook."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import pytest

from outbox.doctor.examination import CHECKS
from tests.command_line import run
from tests.hands import rows
from tests.promql import ROOT, needs_promtool, promtool, unanswerable

if TYPE_CHECKING:
    from pathlib import Path

RULES = ROOT / "deploy/prometheus/alerts.yml"
TESTS = ROOT / "deploy/prometheus/alerts_test.yml"
PAGE = ROOT / "docs/alerts.md"


class Rule(NamedTuple):
    name: str
    expression: str
    severity: str
    summary: str
    description: str
    runbook: str


def rules() -> list[Rule]:
    """The rules as they stand in the file, whose form is always the same."""
    shape = re.compile(
        r"""      - alert: (\w+)
        expr: (?:\|\n)?(.+?)
(?:        for: \w+
)?        labels:
          severity: (\w+)
        annotations:
          summary: "([^\n]+)"
          description: >-
(.+?)
          runbook_url: "([^\n]+)"
""",
        re.DOTALL,
    )
    text = RULES.read_text(encoding="utf-8")
    found = [Rule(*one) for one in shape.findall(text)]
    assert len(found) == text.count("- alert: ") > 20
    return [rule._replace(description=" ".join(rule.description.split())) for rule in found]


# Words after `outbox`, for as long as they look like a command's: its names, its options, and their values.
_COMMAND = re.compile(r"\boutbox ((?:[a-z][a-z-]*|--[a-z-]+|\d+h)(?: (?:[a-z][a-z-]*|--[a-z-]+|\d+h))*)")
RULE_IDS = [f"{rule.name}-{rule.severity}" for rule in rules()]


@needs_promtool
def test_promtool_finds_nothing_amiss() -> None:
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
@pytest.mark.timeout(180)
def test_each_alert_fires_when_it_should_and_no_other_does() -> None:
    done = promtool("test", "rules", TESTS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_of_each_alert_there_is_a_test_in_which_it_fires() -> None:
    fired = set(re.findall(r'ALERTS\{alertname="(\w+)",alertstate="firing",severity="(\w+)"', TESTS.read_text()))
    assert fired == {(rule.name, rule.severity) for rule in rules()}


@pytest.mark.parametrize("rule", rules(), ids=RULE_IDS)
def test_an_alert_asks_about_metrics_and_labels_that_there_are(rule: Rule) -> None:
    assert unanswerable(rule.expression) == []


@pytest.mark.parametrize("rule", rules(), ids=RULE_IDS)
def test_an_alert_names_only_labels_that_its_expression_keeps(rule: Rule) -> None:
    outermost = re.search(r"\bby \(([^)]*)\)", rule.expression)
    assert outermost is not None
    named = set(re.findall(r"\$labels\.(\w+)", rule.summary + rule.description))
    assert named <= set(outermost[1].split(", "))


@pytest.mark.parametrize("rule", rules(), ids=RULE_IDS)
def test_an_alert_has_a_severity_and_commands_that_there_are(rule: Rule) -> None:
    assert rule.severity in {"critical", "warning", "info"}
    for command in _COMMAND.findall(re.sub(r"\{\{.*?\}\}", "email", rule.description)):
        assert run("", *command.split(), "--help").exit_code == 0, command


def test_every_alert_has_its_section_on_the_page_and_every_section_its_alert() -> None:
    sections = re.findall(r"^## (Outbox\w+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(sections) == len(set(sections))
    assert set(sections) == {rule.name for rule in rules()}
    assert {rule.runbook for rule in rules()} == {f"docs/alerts.md#{name.lower()}" for name in sections}
    inside = re.findall(r"\]\(#(\w+)\)", PAGE.read_text(encoding="utf-8"))
    assert set(inside) <= {name.lower() for name in sections}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_page_names_checks_that_the_doctor_has() -> None:
    named = set(re.findall(r"--only ([a-z-]+)", PAGE.read_text(encoding="utf-8")))
    assert named
    assert named <= {check.name for check in CHECKS}


def test_the_queries_of_the_page_run(cloned_url: str) -> None:
    queries = blocks("sql")
    assert len(queries) > 12
    for query in queries:
        rows(cloned_url, query)


def test_the_commands_of_the_page_run(cloned_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outbox.toml").write_text('[channels.email]\nproviders = ["console"]\n')
    (tmp_path / "templates" / "hello").mkdir(parents=True)
    (tmp_path / "templates" / "hello" / "subject.txt").write_text("Hello")
    (tmp_path / "templates" / "hello" / "body.txt").write_text("Hello")
    monkeypatch.chdir(tmp_path)
    commands = {line.partition("#")[0].partition(">")[0].strip() for line in "".join(blocks("bash")).splitlines()}
    assert len(commands) > 8
    for command in commands:
        done = run(cloned_url, *command.split()[1:])
        assert done.exit_code == 0, (command, done.output)


def test_the_commands_print_the_files_of_this_version() -> None:
    assert run("", "alerts").stdout == RULES.read_text(encoding="utf-8")
    assert run("", "alerts", "--tests").stdout == TESTS.read_text(encoding="utf-8")


def test_the_links_lead_to_where_one_keeps_the_page() -> None:
    wiki = "https://wiki.example.org/ops/outbox"
    for option in ([], ["--tests"]):
        printed = run("", "alerts", "--runbooks", wiki, *option).stdout
        assert f'runbook_url: "{wiki}#outboxdeadlettersgrowing"' in printed
        assert 'runbook_url: "docs/' not in printed
    printed = run("", "alerts", "--runbooks", wiki).stdout
    assert printed.replace(f'"{wiki}#', '"docs/alerts.md#') == RULES.read_text(encoding="utf-8")


@pytest.mark.parametrize("runbooks", ["", 'a"b', "{{ $value }}", "https://a.example/#top", "two words", "a\nb"])
def test_a_place_that_can_be_no_link_is_refused(runbooks: str) -> None:
    result = run("", "alerts", "--runbooks", runbooks)
    assert (result.exit_code, "is no URL of a page" in result.stderr) == (2, True)
