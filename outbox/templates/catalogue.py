"""catalogue: templates as an application meets them when it enqueues. Nothing is rendered, and no Jinja2 is loaded."""

from __future__ import annotations

import difflib
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outbox.errors import ConfigError, InvalidNotification
from outbox.queue.enqueue import aenqueue, enqueue
from outbox.queue.enqueue_many import aenqueue_many, enqueue_many
from outbox.templates import manifest
from outbox.templates.folder import Folder
from outbox.templates.layout import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from outbox.messages import Enqueued
    from outbox.templates.manifest import Manifest
    from outbox.templates.source import Source


class Catalogue:
    """What templates say of themselves (`template.toml`), applied to notifications before they are enqueued.

    Each gets the topic, the priority and the expiry of its template where it has none of its own, and the channel if
    the template has only one; and its payload is checked. Read when first needed, and kept: `refresh` reads it again.
    """

    def __init__(self, source: Source | Path | str) -> None:
        self._source: Source = Folder(Path(source)) if isinstance(source, str | Path) else source
        self.refresh()

    def refresh(self) -> None:
        """Read everything again when it is needed next."""
        self._names: list[str] = []
        self._manifests: dict[str, Manifest] = {}

    def enqueue(self, conn: Any, *, template: str, allow_autocommit: bool = False, **given: Any) -> Enqueued:
        """Do as `outbox.enqueue` does, with what the template says; the arguments are the same.

        Raises:
            InvalidNotification: the payload is not what the template wants (`field` is such as `payload.name`), there
                is no such template, or it is for another channel; and all that `outbox.enqueue` raises.
            ConfigError: the template's template.toml is wrong.
        """
        return enqueue(conn, **self.completed({"template": template, **given}), allow_autocommit=allow_autocommit)

    async def aenqueue(self, conn: Any, *, template: str, allow_autocommit: bool = False, **given: Any) -> Enqueued:
        """Do as `enqueue` does, on a connection that is asynchronous."""
        completed = self.completed({"template": template, **given})
        return await aenqueue(conn, **completed, allow_autocommit=allow_autocommit)

    def enqueue_many(self, conn: Any, notifications: Iterable[Mapping[str, Any]], **options: Any) -> list[Enqueued]:
        """Do as `outbox.enqueue_many` does, with what each one's template says; those without a template stay as is."""
        return enqueue_many(conn, self._all(notifications), **options)

    async def aenqueue_many(
        self, conn: Any, notifications: Iterable[Mapping[str, Any]], **options: Any
    ) -> list[Enqueued]:
        """Do as `enqueue_many` does, on a connection that is asynchronous."""
        return await aenqueue_many(conn, self._all(notifications), **options)

    def completed(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of an enqueue, completed by what their template says, and checked.

        Raises:
            InvalidNotification: as `enqueue` does.
            ConfigError: as `enqueue` does.
        """
        completed = dict(given)
        if completed.get("template") is None:
            return completed
        said = self._manifest(completed["template"])
        if said.channels:
            _settle_channel(completed, said.channels)
        for field, default in (("topic", said.topic), ("priority", said.priority)):
            if default is not None and completed.get(field) is None:
                completed[field] = default
        if said.expires_in is not None and completed.get("expires_at") is None:
            completed["expires_at"] = (completed.get("run_at") or timedelta()) + timedelta(seconds=said.expires_in)
        misfit = said.check({} if (payload := completed.get("payload")) is None else payload) if said.check else None
        if misfit is not None:
            raise InvalidNotification(misfit.path, misfit.problem)
        return completed

    def _all(self, notifications: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        completed = []
        for position, given in enumerate(notifications):
            try:
                completed.append(self.completed(given))
            except InvalidNotification as error:
                raise InvalidNotification(f"[{position}].{error.field}", error.problem) from None
        return completed

    def _manifest(self, template: str) -> Manifest:
        if (known := self._manifests.get(template)) is not None:
            return known
        if not self._names:
            files = self._source.files()
            self._files, self._names = files, names(files)
        if template not in self._names:
            close = difflib.get_close_matches(str(template), self._names, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise InvalidNotification("template", f"there is no template {template!r} in {self._source.name}{hint}")
        try:
            return self._manifests.setdefault(template, manifest.read(template, self._files))
        except ConfigError as error:
            raise ConfigError([f"{self._source.name}: {problem}" for problem in error.problems]) from None


def _settle_channel(given: dict[str, Any], channels: tuple[str, ...]) -> None:
    channel = given.get("channel")
    if channel is None and len(channels) == 1:
        given["channel"] = channels[0]
    elif channel not in channels:
        problem = f"the template {given['template']} is for {' and '.join(channels)}"
        raise InvalidNotification("channel", problem if channel is None else f"{problem}, not for {channel!r}")
