"""configuration: what `outbox check` finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.doctor.finding import Check, failure, ok, unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.doctor.finding import Finding
    from outbox.doctor.patient import Patient


def look_at_configuration(patient: Patient) -> Iterator[Finding]:
    """Look for mistakes in the configuration, its providers and its templates."""
    from outbox.check import check  # noqa: PLC0415 - it imports providers and templates

    config = patient.config
    file = f" --config {config.source}" if config.source else ""
    none = config.source is None and not config.channels  # or one that could not be read at all
    if none and not patient.problems:
        yield unknown("there is no configuration here", "outbox doctor --config outbox.toml --only configuration")
        return
    problems = list(dict.fromkeys([*patient.problems, *([] if none else check(config))]))
    for problem in problems:
        yield failure(problem, f"outbox check{file}")
    if not problems:
        yield ok(f"{config.source or 'the environment'}: {', '.join(config.channels)}", channels=list(config.channels))


CHECKS = (
    Check(
        "configuration",
        "mistakes in the configuration, its providers and its templates",
        "a worker does not start, or gives up what it cannot render",
        "what `outbox check` says",
        "the configuration is without mistakes",
        look_at_configuration,
        needs="nothing",
    ),
)
