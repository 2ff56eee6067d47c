"""Mapping files: what is wrong is said with its line; what is right makes what it says of a task's arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.errors import ConfigError
from outbox.importing import expression
from outbox.importing.mapping import Rule, load, strangers
from outbox.importing.source import CannotCarry
from outbox.importing.task import Task, level, notification

if TYPE_CHECKING:
    from pathlib import Path

TASK = '[tasks."shop.a"]\n'


@pytest.mark.parametrize(("text", "says"), [
    (f'\n{TASK}chanel = "email"\n', ', line 3: tasks."shop.a".chanel is not a known key; did you mean channel?'),
    (f'{TASK}channel = "Email"\n', ', line 2: tasks."shop.a".channel: \'Email\' is not a channel name'),
    (f'{TASK}channel = "email"\n', ', line 1: tasks."shop.a": needs a recipient on the channel email, such as'),
    (f"{TASK}drop = []\n", ', line 1: tasks."shop.a": needs a channel, such as channel = "email", or leave = true'),
    (f'{TASK}channel = "a"\ntopic = "{{e"\n', 'tasks."shop.a".topic: has a brace without its other half'),
    (f'{TASK}channel = "a"\nrecipient = "{{$who}}"\n', "{$who} names no argument: write {email}, "),
    (f'{TASK}channel = "a"\npriority = "soon"\n', ', line 3: tasks."shop.a".priority: is none of urgent, high,'),
    (f'{TASK}channel = "a"\ndecode = "text"\n', 'decode = "text" needs to know into what: into = "body", say'),
    ('[emails]\nmedia_uri = "x"\n', ", line 2: emails.media_uri is not a known key; did you mean media_url?"),
    ('[task."shop.a"]\n', ": task is not a known key; did you mean tasks?"),
    ("[tasks\n", ": this is not TOML: "),
    ("tasks = 7\n", ": tasks: must be tables such as"),
])  # fmt: skip
def test_a_mistake_is_told_with_its_line_and_what_was_perhaps_meant(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "mapping.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load(file)
    assert any(problem.startswith(str(file)) and says in problem for problem in raised.value.problems), raised.value


def test_a_file_that_is_not_there_is_told_with_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--sketch prints one"):
        load(tmp_path / "mapping.toml")


def test_what_the_source_does_not_have_is_told_with_what_was_perhaps_meant(tmp_path: Path) -> None:
    file = tmp_path / "mapping.toml"
    file.write_text('[tasks."shop.welcom"]\nleave = true\n')
    (said,) = strangers(load(file), {"shop.welcome"})
    assert said.endswith("none at the source; did you mean shop.welcome?")
    (said,) = strangers(load(file), set())
    assert said.endswith("shop.welcom, of which there is none at the source")


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "mapping.toml"
    file.write_text(f'{TASK}chanel = "a"\n[emails]\nto = "all"\n')
    with pytest.raises(ConfigError) as raised:
        load(file)
    assert len(raised.value.problems) >= 2


def of(arguments: Any, **rule: Any) -> dict[str, Any]:
    return notification(Task("k", "7", "shop.a", "mail", arguments), Rule(channel="work", **rule))


def test_places_are_filled_by_arguments_and_by_the_row_itself() -> None:
    made = of(
        {"order": {"id": 7, "who": "Ada"}},
        recipient="{order.who}",
        topic="{$queue}",
        group_key="{$task}:{$id}:{order.id}",
    )
    assert (made["recipient"], made["topic"], made["group_key"]) == ("Ada", "mail", "shop.a:7:7")


@pytest.mark.parametrize(("arguments", "why"), [
    ({}, "recipient: there is no argument email"),
    ({"email": None}, "recipient: the argument email is null, where a text or a whole number is needed"),
    ({"email": True}, "recipient: the argument email is of type bool"),
    ({"email": ["secret@example.org"]}, "recipient: the argument email is of type list"),
])  # fmt: skip
def test_an_argument_that_fills_no_place_is_named_and_not_quoted(arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(CannotCarry) as raised:
        of(arguments, recipient="{email}")
    assert str(raised.value).startswith(why)
    assert "secret" not in str(raised.value)


def test_two_arguments_cannot_have_one_name_in_the_payload() -> None:
    with pytest.raises(CannotCarry, match="the same name"):
        of({"a": 1, "b": 2}, rename={"a": "b"})
    assert of({"a": 1, "b": 2}, rename={"a": "b", "b": "a"})["payload"] == {"b": 1, "a": 2}


NAMES = st.text("abcxyz", min_size=1, max_size=3).map(lambda name: f"arg_{name}")
JSON = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers())


@given(st.dictionaries(NAMES, JSON), st.data())
def test_an_argument_is_dropped_or_comes_along_unchanged_under_its_new_name(
    arguments: dict[str, Any], data: st.DataObject
) -> None:
    dropped = data.draw(st.sets(st.sampled_from(sorted(arguments))) if arguments else st.just(set()))
    renamed = {
        name: f"new_{name}"
        for name in data.draw(st.sets(st.sampled_from(sorted(arguments))) if arguments else st.just(set()))
    }
    payload = of(arguments, drop=tuple(dropped), rename=renamed)["payload"]
    assert payload == {renamed.get(name, name): value for name, value in arguments.items() if name not in dropped}


@given(st.text(), st.dictionaries(NAMES, st.text() | st.integers()))
def test_a_text_without_places_is_itself_and_what_fills_a_place_is_not_filled_again(
    text: str, arguments: dict[str, Any]
) -> None:
    plain = text.replace("{", "").replace("}", "")
    assert expression.fill("f", expression.check(plain), arguments, {}) == plain
    for name, value in arguments.items():
        assert expression.fill("f", expression.check(f"<{{{name}}}>"), arguments, {}) == f"<{value}>"


@given(st.integers(-(2**31), 2**31), st.integers(-(2**31), 2**31))
def test_priorities_keep_their_order(one: int, other: int) -> None:
    assert level(0) == 5
    assert 0 <= level(one) <= 9
    assert (one <= other) <= (level(one) >= level(other))
