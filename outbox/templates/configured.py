"""The templates that the configuration names: a source of your own, over its folder, over its packages."""

from __future__ import annotations

from importlib import import_module
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
        ConfigError: a package is not there, or the source of your own; with every one that is not.
    """
    settings, problems = config.templates, []
    sources: list[Source] = []
    # The folder has a default, and need not be there unless somebody chose it.
    elsewhere = settings.packages or settings.source
    if "path" in settings.model_fields_set or not elsewhere or settings.path.is_dir():
        sources.append(Folder(settings.path))
    for name in settings.packages:
        try:
            sources.append(Package(name))
        except ValueError as error:
            problems.append(f"{config.source or 'configuration'}: templates.packages: {error}")
    if settings.source is not None:
        try:
            sources.insert(0, _own(settings.source))
        except ValueError as error:
            problems.append(f"{config.source or 'configuration'}: templates.source: {error}")
    if problems:
        raise ConfigError(problems)
    return sources[0] if len(sources) == 1 else Layers(sources)


def _own(path: str) -> Source:
    module, _, name = path.rpartition(".")
    try:
        made: Source = getattr(import_module(module), name)()
    except (ImportError, AttributeError, ValueError):
        raise ValueError(f"there is no function {path}: is it spelt right, and installed?") from None
    lacking = [each for each in ("name", "is_near", "stamp", "files", "place", "absent") if not hasattr(made, each)]
    if lacking:
        raise ValueError(f"what {path}() returns is no source of templates: it lacks {', '.join(lacking)}")
    return made
