"""What a file says of itself, as a member of a zip archive.

Takes: a file, plain data. Gives: the same file with `corolla.json` in it.

A `.keras` file is such an archive. A serialized program is not, but its readers begin at its front and those of zip
archives at the end, so that one is appended and both find theirs (as LiteRT's metadata are).
"""

import json
import zipfile
from pathlib import Path
from typing import Any

NAME = "corolla.json"


def add_about(path: Path, about: dict[str, Any]) -> None:
    """Put it into the archive, or behind what is none."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(NAME, json.dumps(about, ensure_ascii=False, indent=1))
