"""Reads an old PyTorch checkpoint (`.pth`, the format before torch 1.6) without PyTorch and without running its code.

Takes: a path and, where it is known, the SHA-256 the file must have.
Gives: `read_checkpoint`: a dict of parameter name -> numpy array.

Such a file is five pickles in a row (magic number, protocol, machine, the state dict, storage keys) and then the raw
storages. A pickle can name any Python callable, so the unpickler here knows four names (OrderedDict, tensor rebuild,
float and integer storages) and refuses all others. Nothing is allocated that the file's own bytes do not fill.
"""

import hashlib
import io
import pickle
import struct
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from corolla.errors import RunError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_STORAGES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


@dataclass(frozen=True, slots=True)
class _Storage:
    """What the pickle says of a storage: its elements come later in the file."""

    key: str
    dtype: np.dtype
    count: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A view of a storage; offset and strides count elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    numbers = [offset, *shape, *strides]
    if not isinstance(storage, _Storage) or not all(type(n) is int and n >= 0 for n in numbers):
        raise pickle.UnpicklingError("a tensor is not made of a storage and whole numbers")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


class _Unpickler(pickle.Unpickler):
    """Knows what a state dict needs and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no weights file needs")

    def persistent_load(self, pid: Any) -> _Storage:
        match pid:
            case ("storage", np.dtype() as dtype, str(key), str(), int(count), None) if count >= 0:
                return _Storage(key, dtype, count)
        raise pickle.UnpicklingError("a storage is described in an unknown way")


def _load(file: io.BytesIO) -> Any:
    return _Unpickler(file, encoding="utf-8").load()


def _read_header(file: io.BytesIO) -> None:
    if _load(file) != _MAGIC or _load(file) != _PROTOCOL:
        raise pickle.UnpicklingError("it does not begin like a PyTorch checkpoint of the old format")
    machine = _load(file)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise pickle.UnpicklingError("it was not written on a little-endian machine")


def _read_storage(file: io.BytesIO, storage: _Storage) -> NDArray[Any]:
    (count,) = struct.unpack("<q", file.read(8))
    data = file.read(storage.count * storage.dtype.itemsize)
    if count != storage.count or len(data) != storage.count * storage.dtype.itemsize:
        raise pickle.UnpicklingError(f"storage {storage.key} has not the size it should have")
    return np.frombuffer(data, storage.dtype)


def _view(tensor: _Tensor, elements: NDArray[Any]) -> NDArray[Any]:
    """Copy the tensor out of its storage. The bound matters: as_strided itself checks nothing."""
    last = tensor.offset + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True))
    if 0 in tensor.shape or last >= elements.size or np.prod(tensor.shape) > elements.size:
        raise pickle.UnpicklingError(f"a tensor reaches beyond storage {tensor.storage.key}")
    strides = [s * elements.itemsize for s in tensor.strides]
    return np.lib.stride_tricks.as_strided(elements[tensor.offset :], tensor.shape, strides).copy()


def _parse(data: bytes) -> dict[str, NDArray[Any]]:
    file = io.BytesIO(data)
    _read_header(file)
    state, keys = _load(file), _load(file)
    if not isinstance(state, dict) or not all(isinstance(t, _Tensor) for t in state.values()):
        raise pickle.UnpicklingError("it holds something else than named tensors")
    storages = {t.storage.key: t.storage for t in state.values()}
    if not isinstance(keys, list) or sorted(storages) != sorted(keys):
        raise pickle.UnpicklingError("its list of storages is not the one its tensors need")
    elements = {key: _read_storage(file, storages[key]) for key in keys}
    return {str(name): _view(t, elements[t.storage.key]) for name, t in state.items()}


def _refuse(path: Path, reason: str) -> NoReturn:
    raise RunError(f"{path}: not a weights file that Corolla can read: {reason}. Install its package again.")


def read_checkpoint(path: Path, sha256: str | None = None) -> dict[str, NDArray[Any]]:
    """Return the named tensors of an old-format PyTorch checkpoint as numpy arrays (float32 or int64).

    path: the `.pth` file. sha256: the hex digest it must have (None: not checked).
    Raises RunError where the file is missing, damaged, of another format, or asks for any other Python name.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        _refuse(path, str(error.strerror))
    if sha256 is not None and (found := hashlib.sha256(data).hexdigest()) != sha256:
        _refuse(path, f"its SHA-256 begins with {found[:8]}, it should begin with {sha256[:8]}")
    try:
        return _parse(data)
    except (pickle.UnpicklingError, struct.error, *_BROKEN_PICKLE) as error:
        _refuse(path, str(error) or type(error).__name__)


_BROKEN_PICKLE = (EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError, OverflowError, MemoryError)
"""What damaged bytes make Python's pickle raise besides its own error."""
