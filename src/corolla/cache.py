"""The folder of what was costly to make and can be made again: compiled programs, plans.

Takes: the user's environment. Gives: `cache_folder`; `private`: a folder in it that nobody else may write to.
"""

import os
import stat
from pathlib import Path


def cache_folder() -> Path:
    """Corolla's folder in the user's cache, by the XDG rule."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "corolla"


def private(folder: Path) -> str:
    """Make a folder that is the user's alone; return "" or why it is not."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        told = folder.stat()
    except OSError as error:
        return f"{folder}: {error.strerror}"
    if told.st_uid != os.getuid() or told.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"{folder} can be written to by others"
    return ""
