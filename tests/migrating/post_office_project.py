"""A Django project with post_office: `python -m tests.migrating.post_office_project URL FOLDER < calls.py`.

It migrates, and runs the Python that it is given, where `mail`, `Email` and the like are there. Django's settings are
one for a process, so it is one of its own.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def project(url: str, folder: Path, calls: str) -> str:
    """Run Python in a project of this database, whose files are in `folder`; return what it prints."""
    command = [sys.executable, "-m", "tests.migrating.post_office_project", url, str(folder)]
    done = subprocess.run(command, input=calls, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _configure(url: str, folder: str) -> None:
    import django  # noqa: PLC0415 - once there are settings
    from django.conf import settings  # noqa: PLC0415 - once there are settings
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415 - once there are settings

    found = conninfo_to_dict(url)
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    database: dict[str, Any] = {ours: str(found[theirs]) for theirs, ours in names.items() if found.get(theirs)}
    settings.configure(
        DATABASES={"default": database | {"ENGINE": "django.db.backends.postgresql"}},
        INSTALLED_APPS=["django.contrib.contenttypes", "post_office"],
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        DEFAULT_FROM_EMAIL="Shop <shop@example.org>",
        MEDIA_ROOT=folder,
        USE_TZ=True,
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        POST_OFFICE={
            "BACKENDS": {
                "default": "django.core.mail.backends.filebased.EmailBackend",
                "ses": "django.core.mail.backends.filebased.EmailBackend",
            },
        },
        EMAIL_FILE_PATH=str(Path(folder) / "sent"),
        LOGGING_CONFIG=None,
    )
    django.setup()


def main() -> None:
    """Migrate, and run what standard input says."""
    _, url, folder = sys.argv
    _configure(url, folder)
    from django.core.files.base import ContentFile  # noqa: PLC0415 - once there are settings
    from django.core.management import call_command  # noqa: PLC0415 - once there are settings
    from post_office import mail  # noqa: PLC0415 - once there are settings
    from post_office.models import Email, EmailTemplate  # noqa: PLC0415 - once there are settings

    call_command("migrate", verbosity=0)
    names = {"mail": mail, "Email": Email, "EmailTemplate": EmailTemplate, "ContentFile": ContentFile}
    exec(sys.stdin.read(), names)  # noqa: S102 - a test's own calls


if __name__ == "__main__":
    main()
