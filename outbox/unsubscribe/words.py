"""words: what the pages say, in each language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ABOUT_SOMEBODY = ("ask", "done", "undone")


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The texts of the pages in one language, and the two buttons.

    A title and a text for each page: `ask`, `done`, `undone`, `expired`, `unknown`, `wrong` (a request that no page
    of ours makes) and `later` (the database is away). In the texts of the first three, `{topic}` and `{recipient}`
    stand for what the link is about.

    Raises:
        ValueError: a text of these has something else in braces.
    """

    ask_title: str = "Unsubscribe"
    ask: str = "You will no longer receive “{topic}” at {recipient}."
    button: str = "Unsubscribe"
    done_title: str = "You are unsubscribed"
    done: str = "You will no longer receive “{topic}” at {recipient}. What is on its way may still arrive."
    undo: str = "That was a mistake: subscribe again"
    undone_title: str = "You are subscribed again"
    undone: str = "You will receive “{topic}” at {recipient}, as before."
    expired_title: str = "This link has run out"
    expired: str = "It was in an old email. Please use the link in a newer one, or answer the email and ask us."
    unknown_title: str = "This link is not complete"
    unknown: str = "A part of it may have been lost. Please click on it in the email, or copy all of it."
    wrong_title: str = "That did not work"
    wrong: str = "Nothing was changed. Please open the link in the email once more."
    later_title: str = "That did not work just now"
    later: str = "Nothing was changed. Please try again in a minute."

    def __post_init__(self) -> None:
        """Find now what would fail when somebody wants to unsubscribe."""
        for name in ABOUT_SOMEBODY:
            try:
                self.text(name, {"topic": "", "recipient": ""})
            except (LookupError, ValueError, AttributeError):
                problem = "nothing but {topic} and {recipient} may stand in braces; a brace itself is written twice"
                raise ValueError(f"{name}: {problem}") from None

    def text(self, page: str, names: Mapping[str, str]) -> str:
        """Return what a page says of somebody, or to anybody."""
        text: str = getattr(self, page)
        return text.format_map(names) if page in ABOUT_SOMEBODY else text


GERMAN = Words(
    ask_title="Abbestellen",
    ask="Sie erhalten „{topic}“ dann nicht mehr an {recipient}.",
    button="Abbestellen",
    done_title="Abbestellt",
    done="Sie erhalten „{topic}“ nicht mehr an {recipient}. Was schon unterwegs ist, kann noch ankommen.",
    undo="Das war ein Versehen: wieder bestellen",
    undone_title="Wieder bestellt",
    undone="Sie erhalten „{topic}“ wie bisher an {recipient}.",
    expired_title="Dieser Link ist abgelaufen",
    expired="Er stand in einer alten E-Mail. Bitte nehmen Sie den in einer neueren, oder antworten Sie uns darauf.",
    unknown_title="Dieser Link ist nicht vollständig",
    unknown="Vielleicht ging ein Teil verloren. Bitte klicken Sie ihn in der E-Mail an, oder kopieren Sie ihn ganz.",
    wrong_title="Das hat nicht geklappt",
    wrong="Es wurde nichts geändert. Bitte öffnen Sie den Link in der E-Mail noch einmal.",
    later_title="Das hat gerade nicht geklappt",
    later="Es wurde nichts geändert. Bitte versuchen Sie es in einer Minute noch einmal.",
)
LANGUAGES: Mapping[str, Words] = {"en": Words(), "de": GERMAN}


def chosen(accepted: str, languages: Mapping[str, Words]) -> str:
    """Return the language that an Accept-Language header likes best, or the first there is. RFC 9110 section 12.5.4."""
    best, liked = next(iter(languages)), 0.0
    for each in accepted.split(",")[:20]:
        name, *parameters = (part.strip().lower() for part in each.split(";"))
        language = next(
            (one for one in languages if name in {one.lower(), "*"} or name.startswith(f"{one.lower()}-")), ""
        )
        weight = next((_weight(part[2:]) for part in parameters if part.startswith("q=")), 1.0)
        if language and weight > liked:
            best, liked = language, weight
    return best


def _weight(text: str) -> float:
    return float(text) if text.replace(".", "", 1).isascii() and text.replace(".", "", 1).isdecimal() else 0.0
