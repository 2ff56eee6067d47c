"""docs/configuration.md tells the truth."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from outbox import durations
from outbox.check import check
from outbox.config import ChannelConfig, Config, TopicConfig, load

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

PAGE = (Path(__file__).parent.parent / "docs/configuration.md").read_text()


ENGINES_KEYS = {"rate", "module"}  # of every provider's section


def rows(section: str) -> dict[str, list[str]]:
    """The rows of a section's table by key, as their other columns."""
    _, _, text = PAGE.partition(f"\n## {section}\n")
    cells = [line.strip("| ").split(" | ") for line in text.split("\n## ")[0].splitlines() if line.startswith("| `")]
    return {key.strip("`"): rest for keys, *rest in cells for key in keys.split(", ")}


def known_keys() -> dict[str, Any]:
    """Every key there is, with its default."""
    keys: dict[str, Any] = {}
    for name, field in Config.model_fields.items():
        named: dict[str, Any] = {"channels": ChannelConfig, "topics": TopicConfig}
        section = named.get(name, field.annotation)
        if isinstance(section, type) and issubclass(section, BaseModel):
            dotted = f"{name}.<name>" if name in named else name
            fields = section.model_fields.items()
            keys |= {f"{dotted}.{key}": _default(of) for key, of in fields}
    return keys


def _default(field: FieldInfo) -> Any:
    if field.is_required():
        return "required"
    return () if field.default_factory is not None else field.default


def test_the_page_names_exactly_the_keys_there_are() -> None:
    assert set(rows("Keys")) == set(known_keys())
    for key, (variable, *_) in rows("Keys").items():
        assert variable == f"`OUTBOX_{key.replace('.', '_').upper()}`"


def test_the_page_has_the_true_defaults() -> None:
    for key, default in known_keys().items():
        written = rows("Keys")[key][1].strip("`")
        if default == ():
            assert written == "none"
        elif isinstance(default, bool):
            assert written == str(default).lower()
        elif isinstance(default, tuple) and key == "web.oidc_scopes":
            assert tuple(written.split(", ")) == default
        elif isinstance(default, tuple):
            assert tuple(durations.parse(part) for part in written.split(", ")) == default
        elif isinstance(default, float) and key != "channels.<name>.jitter":
            assert durations.parse(written) == default
        elif default is not None:
            assert written == str(default)


def test_the_page_names_exactly_the_keys_of_smtp() -> None:
    settings = import_module("outbox.channels.email.smtp").Settings
    assert set(rows("Providers")) == set(settings.model_fields) | ENGINES_KEYS


def test_the_example_on_the_page_is_right(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    file = tmp_path / "outbox.toml"
    file.write_text(PAGE.split("```toml\n")[1].split("```")[0])
    assert check(load(file, environ={})) == []
