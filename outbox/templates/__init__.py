"""templates: where they come from, and what they say of themselves. To render them is `outbox.render`'s.

An application needs none of it to enqueue, and may use `Catalogue` to have payloads checked when it does.
"""

from outbox.templates.catalogue import Catalogue
from outbox.templates.folder import Folder
from outbox.templates.source import Files, Layers, Source, Unreadable

__all__ = ["Catalogue", "Files", "Folder", "Layers", "Source", "Unreadable"]
