from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from outbox import InvalidNotification, Rejected, config
from outbox.testing import render

if TYPE_CHECKING:
    from pathlib import Path

    from outbox.config import Config


@pytest.fixture
def given(tmp_path: Path) -> Config:
    """A template in two languages, with HTML, a list, and a link to unsubscribe."""
    folder = tmp_path / "templates" / "news"
    (folder / "de").mkdir(parents=True)
    (folder / "template.toml").write_text('channels = ["email"]\ntopic = "news"\n')
    (folder / "subject.txt").write_text("News for\n {{ name }}")
    (folder / "body.html").write_text("<style>p {color: red}</style><p>{{ name }}</p>{{ items|join(', ') }}")
    (folder / "body.txt").write_text("{{ unsubscribe_url }}\n\n")
    (folder / "de" / "subject.txt").write_text("Neues für {{ name }}")
    (tmp_path / "outbox.toml").write_text(
        '[topics.news]\nunsubscribe = true\n[unsubscribe]\nurl = "https://example.org/u"\nsecret = "%s"\n' % ("k" * 43)
    )
    return config.load(tmp_path / "outbox.toml", environ={})


def test_it_says_what_the_worker_would_send(given: Config) -> None:
    said = render("news", {"name": "Ada & Bob", "items": ("a", "b")}, config=given)
    assert (said.subject, said.text) == ("News for Ada & Bob", "https://example.org/u/sample\n")
    html = '<html><head></head><body><p style="color: red;">Ada &amp; Bob</p>a, b</body></html>'
    assert said.html == html
    assert str(said) == (f"--- subject\nNews for Ada & Bob\n--- text\nhttps://example.org/u/sample\n--- html\n{html}\n")


def test_it_speaks_the_language_that_is_asked_for(given: Config) -> None:
    assert render("news", {"name": "Ada", "items": []}, locale="de-AT", config=given).subject == "Neues für Ada"


def test_what_could_not_be_sent_or_enqueued_is_not_rendered(given: Config) -> None:
    with pytest.raises(Rejected, match="items"):
        render("news", {"name": "Ada"}, config=given)
    with pytest.raises(Rejected, match="there is no template newz; did you mean news"):
        render("newz", config=given)
    with pytest.raises(InvalidNotification, match="is not JSON"):
        render("news", {"name": object()}, config=given)
