"""secret_files: settings as files in a folder, as systemd's credentials, Docker's secrets and Kubernetes' volumes are.

`OUTBOX_SECRETS_DIR` names the folder. A file in it that is called as a variable is, `OUTBOX_DATABASE_URL`, stands for
that variable, which other programs cannot read in `/proc`, and `docker inspect` does not show.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from outbox.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = "OUTBOX_SECRETS_DIR"
_LARGEST = 65_536  # bytes: a certificate chain is smaller


def with_secret_files(environ: Mapping[str, str], prefix: str) -> Mapping[str, str]:
    """Return the environment, and under it what the files say whose names begin with `prefix`.

    A variable that is set goes before a file of its name. The line end that editors put at a file's end is left out.

    Raises:
        ConfigError: the folder, or a file in it, cannot be read. No content is quoted.
    """
    folder = environ.get(FOLDER)
    if not folder:
        return environ
    try:
        # Kubernetes puts links and folders of its own beside them, whose names begin with dots.
        files = [entry for entry in sorted(Path(folder).iterdir()) if entry.name.startswith(prefix)]
    except OSError as error:
        raise ConfigError([f"{FOLDER}: {folder} cannot be read: {error.strerror}"]) from None
    found = {file.name: _content(file) for file in files if file.is_file() and file.name != FOLDER}
    return found | {name: value for name, value in environ.items() if value}


def _content(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise ConfigError([f"{FOLDER}: {file.name} has more than {_LARGEST:,} bytes"])
        return content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigError([f"{FOLDER}: {file.name} is not UTF-8"]) from None
    except OSError as error:
        raise ConfigError([f"{FOLDER}: {file.name} cannot be read: {error.strerror}"]) from None
