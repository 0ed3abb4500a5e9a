"""TPUs that are not there: their compiler is a Python package, and compiles for any of them by name.

Takes: a name such as "v5e:2x4", "v5e-8" or "v3". Gives: `Topology`: the chips, and a mesh of devices that programs can
be compiled for but never run on.
"""

import os
import re
from dataclasses import dataclass
from typing import Any

from jax.sharding import Mesh

from corolla.chips import CHIPS, Chip, chip_of
from corolla.errors import RunError, WishError, nearest
from corolla.mesh import make_mesh

HOSTS = {"v2": "2x2", "v3": "2x2", "v4": "2x2x1", "v5e": "2x4", "v5p": "2x2x1", "v6e": "2x4", "tpu7x": "2x2x1"}
"""The chips of one host, by generation: what a name without a shape means."""

_SPELLINGS = {"v5litepod": "v5e", "v5lite": "v5e", "v6litepod": "v6e", "trillium": "v6e", "ironwood": "tpu7x"}
_FLAT = {1: "1x1", 4: "2x2", 8: "2x4", 16: "4x4", 32: "4x8", 64: "8x8", 128: "8x16", 256: "16x16"}
"""Shapes of slices of v5e and v6e by their number of chips, as Google Cloud offers them."""


@dataclass(frozen=True)
class Topology:
    """Chips in a shape. name: as the compiler calls it; mesh: all of its devices, in Corolla's one axis."""

    name: str
    chip: Chip
    mesh: Mesh

    @property
    def chips(self) -> int:
        """Number of chips; each may be several devices."""
        return self.mesh.size // self.chip.devices


def full_name(wish: str) -> str:
    """The compiler's name for what was wished: "v3", "v3-8" and "v3:2x2" are all "v3:2x2".

    Raises WishError for a generation that is not known, with the nearest one, and for a shape that is none.
    """
    name = wish.strip().lower()
    generation, shape = re.fullmatch(r"([^:-]*)(?:[:-](.*))?", name).groups()  # pyright: ignore[reportOptionalMemberAccess]
    generation = _SPELLINGS.get(generation, generation)
    if not re.fullmatch(r"(tpu|v)\d+\w*", generation):
        known = ", ".join(HOSTS)
        raise WishError(f"--topology {wish}: no such TPU{nearest(generation, list(HOSTS))}; known: {known}")
    if shape is None:
        shape = HOSTS.get(generation)
    elif "-" in name and shape.isdigit():
        shape = _shape_of_count(generation, int(shape))
    if shape is None or not re.fullmatch(r"\d+(x\d+){0,2}", shape):
        raise WishError(f"--topology {wish}: name its shape in chips, such as v5e:2x4 or v4:2x2x1")
    return f"{generation}:{shape}"


def _shape_of_count(generation: str, count: int) -> str | None:
    """The shape of a slice named by a number: of chips for v5e and v6e, of cores (two a chip) for those before."""
    if generation in ("v5e", "v6e"):
        return _FLAT.get(count)
    return HOSTS.get(generation) if count == 8 else None


def topology(wish: str) -> Topology:
    """The chips of a name. Raises WishError where the compiler does not know it, or is not installed."""
    name = full_name(wish)
    for variable, value in (("TPU_SKIP_MDS_QUERY", "1"), ("TPU_WORKER_HOSTNAMES", "localhost")):
        os.environ.setdefault(variable, value)  # or the compiler asks Google Cloud's metadata server where it is
    devices = _devices(name)
    kind = devices[0].device_kind
    chip = CHIPS.get(name.split(":")[0]) or chip_of(kind)
    if chip is None:
        raise RunError(f"--topology {name}: peaks of {kind} are not known to Corolla (chips.py)")
    return Topology(name, chip, make_mesh(devices))


def _devices(name: str) -> list[Any]:
    """A v4 is asked for as Cloud TPU runs it: both of its cores as one device ("megacore")."""
    try:
        import libtpu  # noqa: F401  # pyright: ignore
        from jax.experimental import topologies

        settings = {"chip_config_name": "megacore"} if name.startswith("v4:") else {}
        return list(topologies.get_topology_desc(platform="tpu", topology_name=name, **settings).devices)
    except ImportError as error:
        raise WishError(
            f"--topology {name} wants the compiler of TPUs, which is not installed: pip install 'corolla[tpu-plan]'"
        ) from error
    except (RuntimeError, ValueError, NotImplementedError) as error:
        raise WishError(f"--topology {name}: {' '.join(str(error).split())}") from error
