"""Old PyTorch checkpoints are read without PyTorch, and anything else than tensors in them is refused."""

import io
import pickle
import struct
from collections import OrderedDict
from typing import ClassVar

import numpy as np
import pytest

from corolla.errors import RunError
from corolla.models import torch_weights

MAGIC = 0x1950A86A20F9469CFC6C
MACHINE = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


class Named:
    """Pickles as a bare global, as torch's own classes appear in a checkpoint."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Rebuilt:
    """A tensor: torch._utils._rebuild_tensor_v2 called on these arguments."""

    def __init__(self, key, count, offset, shape, strides, kind="FloatStorage"):
        self.pid = ("storage", Named("torch", kind), key, "cpu", count, None)
        self.arguments = offset, shape, strides


class Writer(pickle._Pickler):
    """Writes what `torch.save` wrote before version 1.6, without torch."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_named(self, thing):
        self.write(pickle.GLOBAL + f"{thing.module}\n{thing.name}\n".encode())

    def save_rebuilt(self, thing):
        self.save(Named("torch._utils", "_rebuild_tensor_v2"))
        self.write(pickle.MARK)
        self.save(thing.pid)
        self.write(pickle.BINPERSID)
        for part in (*thing.arguments, False, OrderedDict()):
            self.save(part)
        self.write(pickle.TUPLE + pickle.REDUCE)

    dispatch[Named] = save_named
    dispatch[Rebuilt] = save_rebuilt


def checkpoint(state, storages, magic=MAGIC, machine=MACHINE, counts=None):
    file = io.BytesIO()
    for part in (magic, 1001, machine, state, sorted(storages)):
        Writer(file, 2).dump(part)
    for key in sorted(storages):
        file.write(struct.pack("<q", (counts or {}).get(key, storages[key].size)) + storages[key].tobytes())
    return file.getvalue()


def read(tmp_path, data, sha256=None):
    path = tmp_path / "weights.pth"
    path.write_bytes(data)
    return torch_weights.read_checkpoint(path, sha256)


NUMBERS = {"1": np.arange(12, dtype="<f4"), "2": np.array([7], "<i8")}


def good_state():
    return OrderedDict(
        a=Rebuilt("1", 12, 0, (3, 4), (4, 1)),
        turned=Rebuilt("1", 12, 0, (4, 3), (1, 4)),
        part=Rebuilt("1", 12, 5, (2,), (3,)),
        count=Rebuilt("2", 1, 0, (), (), "LongStorage"),
    )


def test_tensors_come_back_with_their_offsets_and_strides(tmp_path):
    found = read(tmp_path, checkpoint(good_state(), NUMBERS))
    np.testing.assert_array_equal(found["a"], np.arange(12.0).reshape(3, 4))
    np.testing.assert_array_equal(found["turned"], np.arange(12.0).reshape(3, 4).T)
    np.testing.assert_array_equal(found["part"], [5.0, 8.0])
    assert found["count"] == 7 and found["count"].dtype == np.int64


@pytest.mark.parametrize(("module", "name"), [("os", "system"), ("builtins", "eval"), ("torch", "HalfStorage")])
def test_any_other_name_is_refused_before_it_is_imported(tmp_path, module, name):
    with pytest.raises(RunError, match=rf"it asks for {module}\.{name}, which no weights file needs"):
        read(tmp_path, checkpoint({"a": Named(module, name)}, {}))


BROKEN = {
    "begin like a PyTorch checkpoint": {"magic": 1},
    "little-endian": {"machine": {"little_endian": False}},
    "something else than named tensors": {"state": {"a": 3}},
    "its list of storages is not the one its tensors need": {"storages": {"1": NUMBERS["1"]}},
    "reaches beyond storage 1": {"state": {"a": Rebuilt("1", 12, 1, (3, 4), (4, 1))}, "storages": {"1": NUMBERS["1"]}},
    "storage 1 has not the size": {"counts": {"1": 11}},
    "storage and whole numbers": {"state": {"a": Rebuilt("1", 12, 0, (3, 4), (4, -1))}},
    "described in an unknown way": {"state": {"a": Rebuilt("1", -12, 0, (3,), (1,))}},
}


@pytest.mark.parametrize("reason", BROKEN)
def test_a_broken_file_is_refused_with_the_reason(tmp_path, reason):
    parts = {"state": good_state(), "storages": NUMBERS} | BROKEN[reason]
    with pytest.raises(
        RunError, match=rf"weights\.pth: not a weights file that Corolla can read: .*{reason}.*\. Install"
    ):
        read(tmp_path, checkpoint(**parts))


def test_a_size_that_no_file_has_allocates_nothing(tmp_path):
    """A storage of 2^60 floats is read as far as the file goes."""
    state = {"a": Rebuilt("1", 2**60, 0, (2**60,), (1,))}
    with pytest.raises(RunError, match="storage 1 has not the size"):
        read(tmp_path, checkpoint(state, {"1": NUMBERS["1"]}, counts={"1": 2**60}))


def test_every_cut_and_every_wrong_sum_is_found(tmp_path):
    data = checkpoint(good_state(), NUMBERS)
    for length in range(0, len(data), 7):
        with pytest.raises(RunError):
            read(tmp_path, data[:length])
    with pytest.raises(RunError, match=r"its SHA-256 begins with [0-9a-f]{8}, it should begin with 00000000"):
        read(tmp_path, data, "0" * 64)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RunError, match=r"absent\.pth: .*No such file"):
        torch_weights.read_checkpoint(tmp_path / "absent.pth")
