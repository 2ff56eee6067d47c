"""`[providers.<name>]` as it was given: what is in it is the provider's own affair."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from outbox import durations

if TYPE_CHECKING:
    from collections.abc import Iterator


class ProviderSection(Mapping[str, Any]):
    """`[providers.<name>]` as it was given: the provider's own `Settings` validate it. Its repr hides the values.

    `origin` is where it was given, the file as a rule; `origins` has the variables that gave a key of their own. Two
    keys are the engine's, and no provider sees them: `rate`, and `module`, which is the name unless it says otherwise.

    Raises:
        ValueError: `rate` is no rate, or `module` no name.
    """

    def __init__(
        self, values: Mapping[str, Any], origin: str = "configuration", origins: Mapping[str, str] | None = None
    ) -> None:
        self._values = dict(values)
        rate, module = self._values.pop("rate", None), self._values.pop("module", None)
        if module is not None and not (isinstance(module, str) and module):
            raise ValueError(f'module: {module!r} is not the name of a provider, such as "smtp"')
        self.module: str | None = module
        self.rate = None if rate is None else durations.parse_rate(rate)
        self.origin = origin
        self.origins = dict(origins or {})

    def __getitem__(self, key: str) -> Any:
        """Return a key's value as it was given."""
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys."""
        return iter(self._values)

    def __len__(self) -> int:
        """Return how many keys were given."""
        return len(self._values)

    def __repr__(self) -> str:
        """Show the keys; a value may be a password."""
        return f"ProviderSection({', '.join(f'{key}=…' for key in self._values)})"


def kept_raw(sections: object) -> object:
    """Return the sections of providers, each as a `ProviderSection`."""
    if not isinstance(sections, Mapping):
        return sections
    return {name: ProviderSection(raw) if type(raw) is dict else raw for name, raw in sections.items()}
