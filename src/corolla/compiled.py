"""What XLA has compiled, kept on disk: a run that is taken up again, or another like it, compiles nothing twice.

Takes: nothing. Gives: `keep`, for the command line; a library user's own settings of JAX stay as they are.

What lies there is machine code that is loaded unseen, so the folder is the user's alone; and code of one machine may
crash on another, so its name tells the versions and what the processor can do.
"""

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import jax

from corolla.cache import cache_folder, private
from corolla.processor import described
from corolla.reporter import SILENT, Reporter

MOST_BYTES = 4 * 2**30
"""Room that it may take; JAX then removes what was not used for longest."""

WORTH_KEEPING_SECONDS = 0.1
"""Compiling that took less is not kept: reading it back costs as much."""


def keep(reporter: Reporter = SILENT, folder: Path | None = None) -> Path | None:
    """Let JAX keep what it compiles (its limit on size wants `filelock`); return where. To be called before compiling.

    Where the user has set a folder of JAX's own (JAX_COMPILATION_CACHE_DIR), that one stays. A folder that others may
    write to is not used, with a warning.
    """
    if jax.config.jax_compilation_cache_dir:  # pyright: ignore
        return None
    place = (folder or cache_folder()) / "xla" / _key()
    if fault := private(place):
        reporter.warn(f"{fault}: compiled programs are not kept there")
        return None
    jax.config.update("jax_compilation_cache_dir", str(place))
    jax.config.update("jax_compilation_cache_max_size", MOST_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", WORTH_KEEPING_SECONDS)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    return place


def _key() -> str:
    """A name for what compiled code depends on besides the program: JAX's own key does not hold the processor."""
    return hashlib.sha256("\n".join([*map(_version, ("jax", "jaxlib", "libtpu")), described()]).encode()).hexdigest()[
        :16
    ]


def _version(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"no {name}"
