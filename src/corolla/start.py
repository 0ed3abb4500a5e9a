"""What the processes of a run start with: hosts that differ would train nonsense, or wait for each other for ever.

Takes: what was wished, and the data. Gives: `refuse_differences`, which compares with process 0 and names the first
thing that differs. With one process it does nothing.
"""

import hashlib
import json
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import google_crc32c
import jax

import corolla
from corolla import hosts
from corolla.backend import is_jax, keras
from corolla.errors import WishError
from corolla.records.shards import find_split
from corolla.run import versions
from corolla.storage import AnyPath

LOOKED_AT_BYTES = 65_536
"""Bytes at the start of each shard on a disk that are compared, beside its size."""


def refuse_differences(wishes: dict[str, Any], data: AnyPath, splits: Iterable[str], image_size: int | None) -> None:
    """Refuse hosts that started with other wishes, other data or other code than process 0.

    Raises WishError, on all hosts, also for another backend than JAX; DataError where a split is missing.
    """
    if not hosts.several():
        return
    if not is_jax():
        raise WishError(f"KERAS_BACKEND={keras.backend.backend()} works on one host: unset it, for JAX").of_all()
    shards = hosts.together(lambda: {split: _shards(data, split, image_size) for split in splits})
    own = {"settings": wishes, "data": shards, "code": _code(), "devices": _devices()}
    told = [json.loads(one) for one in hosts.gather(json.dumps(own, default=str).encode())]
    for process, other in enumerate(told):
        for kind, facts in other.items():
            if difference := _difference(facts, told[0][kind]):
                line = f"process {process} started with other {kind} than process 0: {difference}"
                raise WishError(f"{line}; start all with the same").of_all()


def _difference(own: dict[str, Any], first: dict[str, Any]) -> str:
    """The first name whose value differs, and both values where they are short."""
    for name in sorted(own.keys() | first.keys()):
        if own.get(name) != first.get(name):
            values = f" is {own.get(name)}, there {first.get(name)}"
            return name + (values if len(values) < 100 else " differs")
    return ""


def _shards(data: AnyPath, split: str, image_size: int | None) -> dict[str, Any]:
    """Name and size of each shard; of those on a disk also the checksum of the first bytes."""
    paths = [shard.path for shard in find_split(data, split, image_size).shards]
    return {path.name: [path.stat().st_size, _first_bytes(path)] for path in paths}


def _first_bytes(path: AnyPath) -> int | None:
    if not isinstance(path, Path):  # it would be fetched whole
        return None
    with path.open("rb") as file:
        return google_crc32c.value(file.read(LOOKED_AT_BYTES))


def _code() -> dict[str, Any]:
    digest = hashlib.sha256()
    root = Path(str(corolla.__file__)).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return {"corolla's own files": digest.hexdigest()[:12], "python": platform.python_version(), **versions()}


def _devices() -> dict[str, Any]:
    own = jax.local_devices()
    return {"kind": own[0].device_kind, "number": len(own)}
