"""Files that settings name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, FilePath


def _can_be_looked_at(path: object) -> object:
    """Refuse what the system complains of, without its words: they quote the path, which may be a key and no path."""
    try:
        Path(str(path)).is_file()
    except OSError as error:
        raise ValueError(f"it must be the path of a file: {error.strerror}") from None
    return path


ExistingFile = Annotated[FilePath, BeforeValidator(_can_be_looked_at)]
"""The path of a file that is there."""
