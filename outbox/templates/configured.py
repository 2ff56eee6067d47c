"""The templates that the configuration names: those of its folder, over those of its packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.errors import ConfigError
from outbox.templates.folder import Folder
from outbox.templates.package import Package
from outbox.templates.source import Layers

if TYPE_CHECKING:
    from outbox.config import Config
    from outbox.templates.source import Source


def source(config: Config) -> Source:
    """Return the source of the templates that the configuration names. Nothing is read yet.

    Raises:
        ConfigError: a package is not there; with every one that is not.
    """
    settings, problems = config.templates, []
    sources: list[Source] = []
    # The folder has a default, and need not be there unless somebody chose it.
    if "path" in settings.model_fields_set or not settings.packages or settings.path.is_dir():
        sources.append(Folder(settings.path))
    for name in settings.packages:
        try:
            sources.append(Package(name))
        except ValueError as error:
            problems.append(f"{config.source or 'configuration'}: templates.packages: {error}")
    if problems:
        raise ConfigError(problems)
    return sources[0] if len(sources) == 1 else Layers(sources)
