"""The application, with a check that the outbox's tables are those that the installed version needs."""

from typing import Any
from urllib.parse import urlencode

from django.apps import AppConfig
from django.core import checks
from django.db import connection

from outbox import migrate

_PARAMETERS = ("dbname", "user", "password", "host", "port")


def outbox_is_current(databases: list[str] | None = None, **_: Any) -> list[checks.CheckMessage]:
    """Run by `manage.py check --database default`, and by `migrate`."""
    if "default" not in (databases or ()):
        return []
    if migrate.is_current(url()):
        return []
    hint = "run: python manage.py outbox migrate"
    return [checks.Error("the tables of the outbox are missing, or of another version", hint=hint, id="accounts.E001")]


def url() -> str:
    """Return the URL of Django's database, for outbox."""
    given = connection.get_connection_params()
    return "postgresql:///?" + urlencode({key: given[key] for key in _PARAMETERS if given.get(key)})


class Accounts(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        """Register the check."""
        checks.register(outbox_is_current, checks.Tags.database)
