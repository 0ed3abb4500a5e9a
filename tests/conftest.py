"""Fixtures that several test modules use, and one folder for what XLA compiles."""

import dataclasses
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

from tiny import write_tiny

# A busy machine makes single examples slow; the suite as a whole is timed instead.
settings.register_profile("corolla", deadline=None, max_examples=50)
settings.load_profile("corolla")

CACHE = "JAX_COMPILATION_CACHE_DIR"


def pytest_configure(config: pytest.Config) -> None:
    """Share what XLA compiles between tests, workers and child processes: compiling is most of the suite's time.

    The folder is new in every session, so nothing stale or foreign is ever loaded.
    """
    if CACHE in os.environ:  # a worker, whose parent made it
        return
    folder = tempfile.mkdtemp(prefix="corolla-xla-")
    os.environ[CACHE] = folder
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.5"
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that compile for TPUs need their compiler; one process at a time, which is what it allows."""
    there = importlib.util.find_spec("libtpu") is not None
    for item in items:
        if item.get_closest_marker("tpu_compiler"):
            item.add_marker(pytest.mark.xdist_group("libtpu"))
            if not there:
                item.add_marker(pytest.mark.skip(reason="libtpu is not installed (pip install corolla[tpu-plan])"))


@pytest.fixture(scope="session", autouse=True)
def one_device_a_core() -> None:
    """As every command has it: whoever touches JAX first decides how many devices a CPU is, for all tests after it."""
    from corolla.mesh import make_mesh

    make_mesh()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The real photos (6,211 train, 1,555 val, 909 test at 224 px); never copied, never committed."""
    folder = Path(__file__).parents[2] / "shared" / "data" / "flowers104-224"
    if not folder.is_dir():
        pytest.skip(f"the real photos are not on this machine ({folder})")
    return folder


@pytest.fixture
def tiny_data(tmp_path: Path) -> Path:
    """A data set in the competition's layout: 32 px, 6 of the 104 classes, 24 train, 12 val, 10 test without labels."""
    return write_tiny(tmp_path / "tiny")


@pytest.fixture
def fake_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type:
    """An empty store behind `fake://`, and hardly any patience: see `fake_store.FakeStore`."""
    import fsspec

    from corolla.storage import stores, transfers
    from fake_store import FakeStore

    fsspec.register_implementation("fake", FakeStore, clobber=True)
    stores.forget()
    root = tmp_path / "fake-store"
    root.mkdir()
    for name, value in (("root", root), ("script", []), ("calls", [])):
        monkeypatch.setattr(FakeStore, name, value, raising=False)
    monkeypatch.setattr(transfers, "PATIENCE", transfers.Patience(4, 0.001, 0.002, 5, 5))
    return FakeStore


@pytest.fixture(scope="session")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set that is hard enough for scores to mean something (see `flow.write_flowers`)."""
    from flow import write_flowers

    return write_flowers(tmp_path_factory.mktemp("flowers") / "data")


@pytest.fixture(scope="session")
def finished(flowers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of an uninterrupted training with `flow.SETTINGS`; nobody may change it."""
    from corolla.train import train
    from flow import SETTINGS

    folder = tmp_path_factory.mktemp("finished") / "run"
    train(flowers, folder, SETTINGS)
    return folder


@pytest.fixture(scope="session")
def probed(flowers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a probe alone, with another seed; nobody may change it."""
    from corolla.train import train
    from flow import PROBE

    folder = tmp_path_factory.mktemp("probed") / "run"
    train(flowers, folder, dataclasses.replace(PROBE, seed=1))
    return folder
