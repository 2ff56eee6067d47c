"""A text as somebody leaves it in their editor."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from outbox.config.editor import editor
from outbox.errors import ConfigError


def edit_text(text: str, suffix: str) -> str | None:
    """Return the text as it is left; None if nothing was changed. The file is readable by nobody else, and removed.

    Raises:
        ConfigError: the editor cannot be started, or fails.
    """
    words = editor()
    with tempfile.TemporaryDirectory(prefix="outbox-") as folder:
        file = Path(folder) / f"payload{suffix}"
        file.write_text(text, encoding="utf-8")
        try:
            subprocess.run([*words, str(file)], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            why = error.strerror if isinstance(error, OSError) else f"exit code {error.returncode}"
            raise ConfigError([f"--editor: {words[0]} did not work: {why}; $VISUAL or $EDITOR names another"]) from None
        left = file.read_text(encoding="utf-8", errors="replace")
    return None if left == text else left
