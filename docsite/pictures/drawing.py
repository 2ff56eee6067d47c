"""What a picture is made of, and the SVG that it becomes: light or dark as its reader is, on a ground of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from docsite.templates import PAGES

CHARACTER = 6.9  # the widest mean of a letter in the fonts that a browser may take, at 13 px


class Point(NamedTuple):
    """A place: to the right of, and below, the upper left corner."""

    x: float
    y: float


@dataclass(frozen=True)
class Box:
    """A rounded box with a title and lines below it; `kind` is its colour."""

    x: float
    y: float
    width: float
    height: float
    title: str = ""
    lines: tuple[str, ...] = ()
    kind: str = "plain"
    small: bool = False
    radius: float = 8

    @property
    def first(self) -> float:
        """Where the baseline of the title is: all the words stand in the middle, or, in a `ground`, at its top."""
        if self.kind.startswith("ground"):
            return self.y + 22
        return self.y + self.height / 2 + 4.5 - 8.5 * len(self.lines)

    @property
    def words(self) -> tuple[str, ...]:
        """Everything that is written in it."""
        return (self.title, *self.lines)

    def at(self, side: str, share: float = 0.5) -> Point:
        """Return a point of its edge: `left`, `right`, `top` or `bottom`, so far along it."""
        if side in {"left", "right"}:
            return Point(self.x + (self.width if side == "right" else 0), self.y + self.height * share)
        return Point(self.x + self.width * share, self.y + (self.height if side == "bottom" else 0))


@dataclass(frozen=True)
class Arrow:
    """A line from point to point, with round corners and a head; its words stand at `at`."""

    points: tuple[Point, ...]
    words: str = ""
    at: Point | None = None
    anchor: str = "middle"
    kind: str = ""
    head: bool = True

    @property
    def path(self) -> str:
        """The line as SVG has it."""
        first, *between, last = self.points
        steps = [f"M{first.x:g} {first.y:g}"]
        before = first
        for corner, after in zip(between, self.points[2:], strict=True):
            enters, leaves = _towards(corner, before), _towards(corner, after)
            steps.append(f"L{enters.x:g} {enters.y:g}Q{corner.x:g} {corner.y:g} {leaves.x:g} {leaves.y:g}")
            before = corner
        return "".join([*steps, f"L{last.x:g} {last.y:g}"])

    @property
    def place(self) -> Point:
        """Where its words stand: by itself, above the middle of its first part."""
        if self.at is not None:
            return self.at
        first, second = self.points[0], self.points[1]
        return Point((first.x + second.x) / 2, (first.y + second.y) / 2 - 7)


@dataclass(frozen=True)
class Label:
    """Words by themselves."""

    x: float
    y: float
    words: str
    anchor: str = "start"
    kind: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture: what it is called, what it shows in words for who cannot see it, and its parts in their order."""

    name: str
    title: str
    description: str
    width: int
    height: int
    boxes: list[Box] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)

    def svg(self) -> str:
        """Return it as SVG."""
        return PAGES.get_template("picture.svg.jinja").render(picture=self)

    def overflowing(self) -> list[str]:
        """Return what is longer than the box that it stands in."""
        return [
            words
            for box in self.boxes
            for words in box.words
            if len(words) * CHARACTER * (0.85 if box.small or words != box.title else 1) > box.width - 8
        ]


def _towards(corner: Point, other: Point, radius: float = 8) -> Point:
    length = max(abs(other.x - corner.x), abs(other.y - corner.y))
    share = min(radius / length, 0.5) if length else 0
    return Point(corner.x + (other.x - corner.x) * share, corner.y + (other.y - corner.y) * share)
