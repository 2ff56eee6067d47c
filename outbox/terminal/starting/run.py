"""`outbox init` from its first question to its last word."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outbox import config
from outbox.check import check
from outbox.errors import ConfigError
from outbox.terminal import migrate
from outbox.terminal.output import done, note
from outbox.terminal.starting import needs, sample, where
from outbox.terminal.starting.choice import HERE, Choice, choose, offers
from outbox.terminal.starting.next_steps import Next, tell
from outbox.terminal.starting.placing import place, prepared
from outbox.terminal.starting.questions import Questions
from outbox.terminal.starting.toml import configuration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FILE = "outbox.toml"


@dataclass(frozen=True, slots=True)
class Given:
    """What was given as options."""

    file: Path | None
    database_url: str | None
    providers: Sequence[str]
    settings: Sequence[str]
    connect: bool
    migrate: bool | None
    sure: bool


def run(given: Given) -> int:
    """Ask, write the files, migrate, and say what comes next; return the exit code.

    Raises:
        ConfigError: there is a configuration already, an answer is wrong, or it is missing and nobody can be asked.
        OutboxError: the files cannot be written, or the database is not for us.
        psycopg.Error: the database cannot be reached.
    """
    target = config.find_file(given.file) or Path(_FILE).absolute()
    _refuse_existing(target)
    questions = Questions(sure=given.sure)
    database = where.find(given.database_url, questions, connect=given.connect)
    choices = _choices(given.providers, questions)
    settings = _settings(choices, given.settings, questions)
    missing = _write(target, configuration(database.in_the_file, choices, settings), choices, settings)
    is_migrated = given.connect and _migrate(database.url, given.migrate, questions)
    tell(Next(target, given.file, database, choices, missing, is_migrated))
    return 0


def _refuse_existing(target: Path) -> None:
    if target.exists():
        raise ConfigError([f"{target} is there already: `outbox check` checks it; --config names another"])
    if not target.parent.is_dir():
        raise ConfigError([f"{target.parent} is no folder: make it first"])


def _choices(given: Sequence[str], questions: Questions) -> list[Choice]:
    if given:
        return choose([*given])
    if questions.possible:
        for channel, providers in offers():
            note(f"  {channel:<10} {providers}")
    known = f"--provider, such as {HERE}, which sends nothing, or smtp,"
    return questions.ask(
        "Who delivers, to begin with? Several are separated by commas",
        known,
        lambda answer: choose([part for part in answer.split(",") if part.strip()] or [HERE]),
        default=HERE,
    )


def _settings(choices: Sequence[Choice], given: Sequence[str], questions: Questions) -> dict[str, dict[str, Any]]:
    """Return what each provider is told, by its name: what was given, and what is asked for.

    Raises:
        ConfigError: with every mistake.
    """
    values: dict[str, dict[str, Any]] = {choice.provider: {} for choice in choices}
    for text in given:
        choice, key, value = _assignment(text, choices)
        values[choice.provider][key] = needs.parse(choice, key, value)
    problems: list[str] = []
    for choice in choices:
        told = values[choice.provider]
        for need in needs.needs(choice):
            if need.key not in told and questions.possible:
                told |= _answer(choice, need, told, questions)
        problems += needs.mistakes(choice, told)
    if problems:
        raise ConfigError(problems)
    return values


def _answer(choice: Choice, need: needs.Need, told: Mapping[str, Any], questions: Questions) -> dict[str, Any]:
    """Ask for one thing, until nothing is wrong with it."""

    def read(answer: str) -> dict[str, Any]:
        if not answer:
            return {}
        value = needs.parse(choice, need.key, answer)
        begins = f"--set {need.key}:"
        if wrong := [each for each in needs.mistakes(choice, {**told, need.key: value}) if each.startswith(begins)]:
            raise ConfigError([each.removeprefix(begins).strip() for each in wrong])  # nobody typed an option
        return {need.key: value}

    hint = f" ({need.hint})" if need.hint else ""
    default = need.default or ("" if need.optional else None)
    return questions.ask(f"{choice.provider}: {need.key}{hint}", f"--set {need.key}=…", read, default=default)


def _assignment(text: str, choices: Sequence[Choice]) -> tuple[Choice, str, str]:
    name, separator, value = text.partition("=")
    provider, _, key = name.rpartition(".")
    fitting = [choice for choice in choices if provider in {"", choice.provider} and _has(choice, key)]
    if not separator:
        raise ConfigError([f"--set {text}: write KEY=VALUE, such as host=127.0.0.1"])
    if not fitting:
        return next((each for each in choices if provider in {"", each.provider}), choices[0]), key, value
    if len(fitting) > 1 and not provider:
        names = ", ".join(f"{each.provider}.{key}" for each in fitting)
        raise ConfigError([f"--set {text}: of which provider? {names}"])
    return fitting[0], key, value


def _has(choice: Choice, key: str) -> bool:
    return key in needs.model_of(choice).model_fields


def _write(
    target: Path, text: str, choices: Sequence[Choice], settings: Mapping[str, Mapping[str, Any]]
) -> list[tuple[Choice, str]]:
    """Write the files, if `outbox check` would have nothing to say; return the secrets that are still to be set."""
    needed = [(choice, key) for choice in choices for key in needs.secrets(choice, settings[choice.provider])]
    files = {} if (target.parent / sample.FOLDER).exists() else sample.FILES
    with prepared(target.parent, {**sample.FILES, target.name: text}) as draft:
        found, problems = config.survey(draft / target.name)
        missing = [(choice, key) for choice, key in needed if key not in found.providers.get(choice.provider, {})]
        if not missing:
            problems += check(found)
        if problems:
            raise ConfigError([problem.replace(str(draft), str(target.parent)) for problem in problems])
        place(draft, target.parent, [*files, target.name])
    for name in (target.name, *files):
        done(f"wrote {name}")
    if not files:
        note(f"{sample.FOLDER} is there already, and was left as it is")
    return missing


def _migrate(url: str, wanted: bool | None, questions: Questions) -> bool:  # noqa: FBT001 - an option as it was given
    if migrate.is_current(url):
        done("the database has the tables already")
        return True
    if wanted is None:
        wanted = questions.agree("Create the tables now, in a schema `outbox` of their own?", unasked=questions.sure)
    if wanted:
        migrate.up(url)
    return wanted
