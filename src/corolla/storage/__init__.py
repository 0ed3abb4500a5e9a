"""Where data and runs live: on a disk, or behind `gs://`, `s3://`, `hf://`, `https://`.

Takes: what somebody wrote for a path. Gives: a place, which the rest of Corolla uses like a `pathlib.Path`.
"""

from corolla.storage.paths import (
    AnyPath,
    Opener,
    RemotePath,
    any_path,
    local_copy,
    no_folder,
    opened_ahead,
    refuse_unwritable,
)

__all__ = [
    "AnyPath",
    "Opener",
    "RemotePath",
    "any_path",
    "local_copy",
    "no_folder",
    "opened_ahead",
    "refuse_unwritable",
]
