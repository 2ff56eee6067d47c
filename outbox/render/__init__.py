"""render: a template and a payload become texts. What is wrong with either is `Rejected`, naming the place.

Messages name templates, files, lines and variables, never a payload's values: they are stored and logged.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outbox.render import digests, inspection
from outbox.render.edition import Edition, NoSuchTemplate, Rendered
from outbox.templates.folder import Folder
from outbox.templates.layout import names

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from outbox.messages import Notification
    from outbox.templates.manifest import Manifest
    from outbox.templates.source import Files, Source


_LOOK_AGAIN = 0.1  # seconds; a name that nothing has is looked for at most so often


class Templates:
    """The templates of a source: `<name>/{subject.txt,body.txt,body.html}`, and `<name>/<locale>/…` over them.

    All files are read when the first is needed, and again by `refresh`, which another thread may call. Folders that
    begin with an underscore hold what templates include or extend.
    """

    def __init__(self, source: Source | Path) -> None:
        self.source: Source = Folder(source) if isinstance(source, Path) else source
        self._edition: Edition | None = None
        self._stamp: Hashable = None
        self._seen: Hashable = None
        self._looked = 0.0
        self._refreshing = threading.Lock()

    def render(
        self,
        name: str,
        variables: Mapping[str, Any],
        *,
        locale: str | None = None,
        channel: str | None = None,
        beside: Mapping[str, str] | None = None,
    ) -> Rendered:
        """Return the template's texts by file name, for those files that it has; on a channel, for those it wants.

        What it sees `beside` its variables, a variable of the same name hides; none of its own rules are about it.

        File by file, the locale's own is taken, else its language's (`pt` for `pt-BR`), else the one without locale.
        The subject comes out as one line; only HTML is escaped.

        Raises:
            Rejected: no such template; it is for another channel; a variable is missing, or not what the template says
                it must be; the template is wrong, does what the sandbox refuses, or makes more than 1 MiB.
        """
        edition = self._edition or self.load()
        try:
            return edition.render(name, variables, locale, channel, beside)
        except NoSuchTemplate:
            if not self._has_grown():
                raise
        return self.load().render(name, variables, locale, channel, beside)

    def parts(self, notification: Notification, beside: Mapping[str, str] | None = None) -> Rendered:
        """Return what a notification's template says on its channel, which sees its payload, and what is `beside` it.

        Raises:
            Rejected: as `render` does.
        """
        payload, locale, channel = notification.payload, notification.locale, notification.channel
        return self.render(notification.template or "", payload, locale=locale, channel=channel, beside=beside)

    def refresh(self) -> list[str] | None:
        """Take what has changed, if anything has; return what is wrong with it, or None where nothing has changed.

        Files with mistakes that they did not have before are not taken, and nor is anything else of that change: what
        was there goes on. Mistakes are told once.
        """
        with self._refreshing:
            old = self.load()
            stamp = self.source.stamp()
            if stamp == self._stamp:
                return None
            edition = Edition(self.source.files())
            self._stamp = stamp
            if (absent := self.source.absent()) is not None:
                return [absent]
            broken = inspection.broken(edition)
            if not broken or broken.keys() <= inspection.broken(old).keys():
                self._edition = edition
                return []
            return list(broken.values())

    def refresh_at_rest(self) -> list[str] | None:
        """Do as `refresh` does, once a change looks as it did at the last call: one that is half made is not taken."""
        stamp = self.source.stamp()
        if stamp == self._stamp or stamp != self._seen:
            self._seen = stamp
            return None
        return self.refresh()

    @property
    def files(self) -> Files:
        """All files, by path."""
        return self.load().files

    def manifest(self, name: str) -> Manifest:
        """Return what a template says of itself.

        Raises:
            Rejected: there is no such template, or its template.toml is wrong.
        """
        return self.load().manifest(name)

    def digest(self, name: str) -> bytes:
        """Return a digest of a template, with all that it includes."""
        return self.load().digest(name)

    def includes(self, name: str) -> set[str]:
        """Return the paths of what a template's files include or extend, and of what that does."""
        edition = self.load()
        used = digests.closure(name, edition.files, edition.included)
        return {path for path in used if not path.startswith(f"{name}/")}

    def names(self) -> list[str]:
        """Return the names of all templates, sorted. A locale's folder is part of its template."""
        return names(self.load().files)

    def check(self, *, all_emails: bool = False) -> list[str]:
        """Return what is wrong with any of the templates, one sentence each, without rendering them.

        If `all_emails`, they are used for nothing else, and each needs a subject.
        """
        absent = self.source.absent()
        if absent is not None:
            return [absent]
        return inspection.problems(self.load(), self.source, all_emails=all_emails)

    def load(self) -> Edition:
        """Read everything, if nothing was read yet; raises whatever the source does."""
        if self._edition is None:
            self._stamp = self.source.stamp()
            self._edition = Edition(self.source.files())
        return self._edition

    def _has_grown(self) -> bool:
        """Look for a template that was not there: it may have come with the release that asks for it."""
        now = time.monotonic()
        if not self.source.is_near or now - self._looked < _LOOK_AGAIN:
            return False
        self._looked = now
        return self.refresh() == []
