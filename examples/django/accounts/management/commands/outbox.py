"""`manage.py outbox …`: the outbox's own command, on Django's database."""

import subprocess
import sys
from argparse import REMAINDER, ArgumentParser
from os import environ
from typing import Any

from django.core.management.base import BaseCommand

from accounts.apps import url


class Command(BaseCommand):
    help = "The outbox's command, on Django's database: manage.py outbox worker --channel email"
    requires_system_checks: list[str] = []  # one of them asks for what `outbox migrate` makes

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take all that `outbox` takes."""
        parser.add_argument("words", nargs=REMAINDER, metavar="…", help="see outbox --help")

    def handle(self, *, words: list[str], **_: Any) -> None:
        """Run it."""
        done = subprocess.run(
            [sys.executable, "-m", "outbox", *words], check=False, env=environ | {"OUTBOX_DATABASE_URL": url()}
        )
        sys.exit(done.returncode)
