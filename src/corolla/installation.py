"""What is installed, and what of it is known not to fit together.

Takes: the metadata of installed packages, environment variables, the devices that Linux lists. Gives: `Finding`s, each
with its way out. Imports nothing that it examines, so that it can tell of an installation that cannot be imported.

Nothing here is remembered from release notes: which versions fit is what the installed packages declare of each other,
corolla's own ranges included.
"""

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Literal

Level = Literal["broken", "warning"]
"""broken: nothing will work. warning: it may work, slower or untried."""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be, and what to do."""

    level: Level
    what: str
    change: str


ROOTS = ("corolla", "jax", "jaxlib", "keras", "keras-hub", "tensorflow", "torch")
"""Packages whose declared requirements are looked at, where they are installed."""

EXTRAS = {
    "corolla": ("lite1", "lite2", "tensorflow", "torch", "hub", "gpu", "tpu", "tpu-plan"),
    "jax": ("cuda12", "cuda13"),
}
"""Extras whose packages must fit too where they are there. Not jax[tpu]: `corolla plan` works with any libtpu."""

TPU_EXTRA = {"jax": ("tpu",)}
"""Where the machine has a TPU, JAX must fit its runtime as well."""

WHY = {
    # jax/_src/lib/__init__.py, check_jaxlib_version: RuntimeError at `import jax`
    ("jax", "jaxlib"): "jax refuses to be imported with another",
    # jaxlib/plugin_support.py, check_plugin_version: a warning, and the plugin is left out
    ("jax", "jax-cuda12-plugin"): "jax leaves a plugin of another version out and works on the CPU",
    ("jax", "jax-cuda13-plugin"): "jax leaves a plugin of another version out and works on the CPU",
    # the metadata of jax[tpu] pin one libtpu a release
    ("jax", "libtpu"): "each jax was released with one libtpu, and was not tried with another",
    # pyproject.toml of corolla: from what hosted notebooks have to the newest that was tried
    ("corolla", "keras"): "others were not tried",
    ("corolla", "jax"): "others were not tried",
}
"""What a pair that does not fit leads to, where it is known."""


# Versions ---------------------------------------------------------------------------------------------------------


def versions(names: tuple[str, ...]) -> dict[str, str | None]:
    """Version by name; None where it is not installed."""
    return {name: _version(name) for name in names}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


@dataclass(frozen=True)
class Need:
    """One requirement: who declares it, of what, which versions; found: the one that is installed, or None."""

    who: str
    package: str
    wanted: str
    found: str | None
    fits: bool


def needs(tpu: bool = False) -> list[Need]:
    """All that the installed roots declare, of what is installed or must be. tpu: whether there is one to run on."""
    extras = {who: EXTRAS.get(who, ()) + (TPU_EXTRA.get(who, ()) if tpu else ()) for who in ROOTS}
    return [need for who in ROOTS if _version(who) for need in _declared(who, extras[who])]


def _declared(who: str, extras: tuple[str, ...]) -> Iterator[Need]:
    from packaging.requirements import Requirement  # Keras wants it too

    for line in metadata.requires(who) or ():
        needed = Requirement(line)
        always = needed.marker is None or needed.marker.evaluate({"extra": ""})
        found = _version(needed.name)
        if always or (found and any(needed.marker and needed.marker.evaluate({"extra": extra}) for extra in extras)):
            fits = found is not None and needed.specifier.contains(found, prereleases=True)
            yield Need(f"{who} {_version(who)}", needed.name, str(needed.specifier), found, fits)


def unmet(declared: list[Need]) -> Iterator[Finding]:
    """What does not fit; a package that is missing breaks, one of another version may only be untried."""
    told = set()
    for need in declared:
        if need.fits or need.package in told:
            continue
        told.add(need.package)
        change = f"pip install '{need.package}{need.wanted}'"
        if need.found is None:
            yield Finding("broken", f"{need.who} wants {need.package}, which is not installed", change)
        else:
            why = WHY.get((need.who.split()[0], need.package))
            line = f"{need.who} wants {need.package}{need.wanted}, installed is {need.found}"
            yield Finding("warning", f"{line}: {why}" if why else line, change)


# Other things -----------------------------------------------------------------------------------------------------


def slow_checksums() -> Iterator[Finding]:
    """google-crc32c falls back to pure Python where its compiled part is missing, and says nothing."""
    if importlib.util.find_spec("google_crc32c") is None:
        return  # which `unmet` tells
    import google_crc32c

    if google_crc32c.implementation != "c":
        yield Finding(
            "warning",
            "google-crc32c is here in pure Python: checksums take about 1,000 times as long",
            "pip install --force-reinstall --only-binary :all: google-crc32c",
        )


def missing_backend() -> Iterator[Finding]:
    """KERAS_BACKEND names a package that is not there: `import keras` fails."""
    asked = os.environ.get("KERAS_BACKEND", "jax")
    if asked not in ("jax", "tensorflow", "torch"):
        yield Finding("broken", f"KERAS_BACKEND={asked} is no backend that Corolla knows", "unset KERAS_BACKEND")
    elif importlib.util.find_spec(asked) is None:
        change = f"pip install 'corolla[{asked}]', or unset KERAS_BACKEND" if asked != "jax" else "pip install jax"
        yield Finding("broken", f"KERAS_BACKEND={asked}: {asked} is not installed", change)


_GOOGLE = "0x1ae0"
_TPUS = ("0x0027", "0x0056", "0x005e", "0x0062", "0x0063", "0x006f", "0x0076")
"""PCI numbers of TPUs, as JAX looks for them (jax/_src/hardware_utils.py)."""


def accelerator(root: Path = Path("/")) -> str | None:
    """What the machine has in it, whether JAX sees it or not: "TPU", "NVIDIA GPU" or None."""
    for vendor in root.glob("sys/bus/pci/devices/*/vendor"):
        if _word(vendor) == _GOOGLE and _word(vendor.parent / "device") in _TPUS:
            return "TPU"
    if any(root.glob("dev/accel[0-9]*")):
        return "TPU"
    nvidia = ("dev/nvidia0", "dev/nvidiactl", "dev/dxg", "proc/driver/nvidia/version")
    return "NVIDIA GPU" if any((root / name).exists() for name in nvidia) else None


def _word(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def unseen_accelerator(there: str | None, platform: str) -> Iterator[Finding]:
    """The machine has an accelerator, JAX works on the CPU. platform: of JAX' devices."""
    if there is None or platform != "cpu":
        return
    extra, what = ("tpu", "a TPU") if there == "TPU" else ("gpu", f"an {there}")
    what = f"this machine has {what}, but JAX works on the CPU"
    runtimes = ("libtpu",) if extra == "tpu" else ("jax-cuda12-plugin", "jax-cuda13-plugin")
    installed = next((name for name in runtimes if _version(name)), None)
    if asked := os.environ.get("JAX_PLATFORMS"):
        yield Finding("warning", f"{what}: JAX_PLATFORMS={asked}", "unset JAX_PLATFORMS")
    elif installed is None:
        yield Finding("warning", what, f"pip install 'corolla[{extra}]'")
    else:
        look = "see that no other process holds it" if extra == "tpu" else "see whether nvidia-smi works"
        yield Finding("warning", f"{what}, though {installed} {_version(installed)} is installed", look)


def findings(tpu: bool) -> tuple[list[Finding], int]:
    """All that can be told without importing anything heavy, and how many requirements were looked at."""
    try:
        declared = needs(tpu)
    except ImportError as error:  # packaging itself
        return [Finding("broken", f"{error.name} is not installed", f"pip install {error.name}")], 0
    checks = (partial(unmet, declared), slow_checksums, missing_backend)
    return [found for check in checks for found in check()], len(declared)
