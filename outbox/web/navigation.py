"""Where one can go: the pages in the order of the menu, each with the key that leads there after a `g`."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """A page: `route` is the name of its route, `icon` that of a macro in icons.html."""

    route: str
    title: str
    icon: str
    key: str


ENTRIES = (
    Entry("overview", "Overview", "gauge", "o"),
    Entry("search", "Search", "search", "s"),
    Entry("channels", "Channels", "channels", "c"),
    Entry("dead_letters", "Dead letters", "skull", "d"),
    Entry("suppressions", "Suppressions", "barred", "b"),
    Entry("schedules", "Schedules", "clock", "e"),
    Entry("workers", "Workers", "worker", "w"),
    Entry("audit", "Audit", "book", "a"),
)
