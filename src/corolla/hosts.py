"""The processes of one run: a pod has one on each of its hosts, and all of them run this same program.

Takes: a `HostsWish`, or the environment. Gives: `connect` and `leave`; and what keeps the processes together: what one
of them says and all hear (`from_first`, `arrays_from_first`), what each does and none goes on from alone (`together`,
`gather`). With one process each of these only calls what it is given.

All processes must call these functions in the same order, as with every collective: what a clock, a disk or a signal
says is no ground for a decision before it is agreed.
"""

import contextlib
import inspect
import io
import json
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from numpy.typing import NDArray

from corolla.config import HostsWish
from corolla.errors import CorollaError, RunError, WishError
from corolla.reporter import SILENT, Reporter

T = TypeVar("T")

MEETING_SECONDS = 300
"""How long the processes wait for each other at the start."""

LEAVING_SECONDS = 60
"""How long a process that ends in order waits for the others to end too."""

METADATA_SECONDS = 2.0
"""How long the metadata server of a Cloud TPU VM may take to answer; it is on the same machine."""

NOTEBOOKS = ("KAGGLE_KERNEL_RUN_TYPE", "KAGGLE_URL_BASE", "COLAB_RELEASE_TAG", "COLAB_GPU", "COLAB_TPU_ADDR")
"""Set by Kaggle and Colab, whose images also set what clusters set (TPU_PROCESS_ADDRESSES=local): one host, always."""


class OtherHostError(CorollaError):
    """Another process of the run failed; the line and the exit code are that process's own."""

    def __init__(self, process: int, line: str, exit_code: int) -> None:
        super().__init__(f"process {process}: {line}")
        self.exit_code, self.everywhere = exit_code, True


# ------------------------------------------------------------------------------------------- coming and going


def connect(wish: HostsWish, reporter: Reporter = SILENT) -> None:
    """Join the other processes of the run, where it is asked for or a cluster is found; else do nothing.

    To be called before anything else touches JAX's devices. Raises WishError where nothing tells who the others are,
    and RunError where process 0 cannot be reached. Where processes are missing JAX itself ends this one, with SIGABRT,
    after MEETING_SECONDS.
    """
    found = cluster()
    if jax.distributed.is_initialized() or not (wish.distributed or wish.coordinator or found):
        return
    told = (wish.coordinator, wish.process_count, wish.process_index)
    if told != (None, None, None):
        _check(*told)
    reporter.note(f"meeting the other processes{f' ({found})' if found else ''}, for up to {MEETING_SECONDS} s")
    _initialize(wish.heartbeat, told)
    with _standard_output_to_error():  # where Gloo, on CPUs, says that it is connected
        gather(b"")
    if first():
        reporter.note(f"{jax.process_count()} processes")


def _check(coordinator: str | None, count: int | None, index: int | None) -> None:
    """Refuse an address that nobody answers at: JAX would end the process by a signal, after minutes."""
    if coordinator is None or count is None or index is None:
        raise WishError("--coordinator, --process-count and --process-index belong together: give all three or none")
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit():
        raise WishError(f"--coordinator is {coordinator!r}; it must be HOST:PORT, of the host of process 0")
    if not 0 <= index < count:
        raise WishError(f"--process-index is {index}; it must lie between 0 and {count - 1}, as --process-count says")
    if index > 0:
        _wait_for(host, int(port))


def _wait_for(host: str, port: int) -> None:
    begin = time.monotonic()
    while True:
        try:
            socket.create_connection((host, port), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() - begin > MEETING_SECONDS:
                raise RunError(
                    f"process 0 does not answer at {host}:{port} ({error.strerror or error}): start it there, and open "
                    "the port between the hosts"
                ) from error
            time.sleep(0.5)


def _initialize(heartbeat: int, told: tuple[str | None, int | None, int | None]) -> None:
    # SIGTERM is read by `interrupt` and agreed on after a dispatch, with everything else: one way for one host and many
    _set_if_known("jax_enable_preemption_service", False)
    _set_if_known("jax_cpu_collectives_implementation", "gloo")
    takes = inspect.signature(jax.distributed.initialize).parameters
    options = {"heartbeat_timeout_seconds": heartbeat, "shutdown_timeout_seconds": LEAVING_SECONDS}
    options = {name: value for name, value in options.items() if name in takes}
    try:
        jax.distributed.initialize(*told, initialization_timeout=MEETING_SECONDS, **options)  # pyright: ignore
    except (ValueError, TypeError) as error:
        raise WishError(
            f"--distributed: nothing tells who the other processes are ({_short(error)}): start it under a cluster "
            "manager, or give --coordinator HOST:PORT --process-count N --process-index I"
        ) from error
    except RuntimeError as error:
        raise RunError(f"the processes of the run cannot meet ({_short(error)})") from error


@contextlib.contextmanager
def _standard_output_to_error() -> Iterator[None]:
    """For code that is not Python's: what it prints must not stand among a command's results."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _set_if_known(option: str, value: Any) -> None:
    with contextlib.suppress(AttributeError):  # older and newer versions of JAX lack some
        jax.config.update(option, value)


def _short(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def cluster() -> str | None:
    """What says that this process is one of several: "SLURM", "GKE", "Cloud TPU", or None. Never on Kaggle or Colab."""
    if any(name in os.environ for name in NOTEBOOKS):
        return None
    if int(os.environ.get("SLURM_STEP_NUM_TASKS") or 1) > 1:
        return "SLURM"
    if "," in os.environ.get("TPU_WORKER_HOSTNAMES", ""):
        return "GKE"
    return "Cloud TPU" if _has_tpu() and "," in _metadata("worker-network-endpoints") else None


def _has_tpu() -> bool:
    chips = (Path("/dev/accel0"), Path("/dev/vfio/0"))
    return find_spec("libtpu") is not None and any(chip.exists() for chip in chips)


def _metadata(name: str) -> str:
    """What the metadata server of a Google Cloud machine says; "" where there is none."""
    if os.environ.get("TPU_SKIP_MDS_QUERY"):
        return ""
    host = os.environ.get("GCE_METADATA_HOST") or os.environ.get("GCE_METADATA_IP") or "metadata.google.internal"
    url = f"http://{host}/computeMetadata/v1/instance/attributes/{name}"
    request = urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})
    try:
        with urllib.request.urlopen(request, timeout=METADATA_SECONDS) as answer:
            return answer.read().decode()
    except (urllib.error.URLError, OSError, ValueError):
        return ""


def leave() -> None:
    """Part from the other processes where all of them end now: the last thing before exiting.

    A process that fails alone must not come here, nor exit as usual: JAX would let it wait for the others, who wait for
    it. Ended at once (`os._exit`), it is missed: by a lost connection, or by its heartbeat.
    """
    if several():
        jax.distributed.shutdown()


def is_loss(error: Exception) -> bool:
    """Whether the error says that another process of the run is gone."""
    return several() and any(word in str(error) for word in ("Gloo", "gloo", "coordination service", "heartbeat"))


# ----------------------------------------------------------------------------------------------- who is who


def several() -> bool:
    """Whether the run has more than one process."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


def count() -> int:
    """Number of processes."""
    return jax.process_count() if several() else 1


def index() -> int:
    """Which of them this is, from 0."""
    return jax.process_index() if several() else 0


def first() -> bool:
    """Whether this is process 0, which writes and speaks."""
    return index() == 0


# ------------------------------------------------------------------------------------------- speaking and hearing


def gather(content: bytes) -> list[bytes]:
    """Tell all processes, and hear from each: one entry a process, in their order."""
    if not several():
        return [content]
    from jax.experimental.multihost_utils import process_allgather

    lengths = process_allgather(np.array([len(content)], np.int32))[:, 0]  # 2 GiB at most
    room = 1 << max(int(lengths.max()) - 1, 0).bit_length()  # few shapes, so few programs
    padded = np.zeros(room, np.uint8)
    padded[: len(content)] = np.frombuffer(content, np.uint8)
    rows = process_allgather(padded)
    return [row[:length].tobytes() for row, length in zip(rows, lengths, strict=True)]


def _broadcast(content: bytes) -> bytes:
    """What process 0 says, told to all; the others' content is not looked at."""
    from jax.experimental.multihost_utils import broadcast_one_to_all

    size = int(broadcast_one_to_all(np.array([len(content)], np.int32))[0])
    padded = np.zeros(1 << max(size - 1, 0).bit_length(), np.uint8)
    if first():
        padded[:size] = np.frombuffer(content, np.uint8)
    return broadcast_one_to_all(padded)[:size].tobytes()


def gather_rows(rows: NDArray) -> NDArray:
    """Join the rows that each process holds, in their order: [m, ...] of one dtype and width -> [n, ...]."""
    if not several():
        return rows
    parts = gather(np.ascontiguousarray(rows).tobytes())
    return np.concatenate([np.frombuffer(part, rows.dtype).reshape(-1, *rows.shape[1:]) for part in parts])


def agreed(value: T) -> T:
    """What process 0 holds, of plain data: what a clock says, say."""
    return from_first(lambda: value)


def any_of(flag: bool) -> bool:
    """Whether any process says so."""
    return b"1" in gather(b"1" if flag else b"0")


def from_first(make: Callable[[], T]) -> T:
    """Call `make` on process 0 alone and give all what it returns, plain data for JSON. Its error becomes everybody's.

    An error of another kind than CorollaError ends process 0, and the others when they miss it.
    """
    if not several():
        return make()
    answer, error = _attempt(make) if first() else (None, None)
    heard = json.loads(_broadcast(json.dumps({"answer": answer, "error": _told(error)}).encode()))
    _raise(error, [heard["error"]])
    return heard["answer"]


def arrays_from_first(arrays: dict[str, NDArray]) -> dict[str, NDArray]:
    """The arrays that process 0 holds, by name."""
    if not several():
        return arrays
    content = io.BytesIO()
    if first():
        np.savez(content, **arrays)  # pyright: ignore
    with np.load(io.BytesIO(_broadcast(content.getvalue())), allow_pickle=False) as heard:
        return {name: heard[name] for name in heard.files}


def together(work: Callable[[], T]) -> T:
    """Call `work` on every process. Where one of them fails (CorollaError, OSError), all do, with its line.

    An error of another kind ends that process, and the others when they miss it.
    """
    if not several():
        return work()
    answer, error = _attempt(work)
    heard = [json.loads(one) for one in gather(json.dumps(_told(error)).encode())]
    _raise(error, heard)
    assert not error
    return answer  # pyright: ignore  # only None where there is an error


def _attempt(work: Callable[[], T]) -> tuple[T | None, CorollaError | None]:
    try:
        return work(), None
    except CorollaError as error:
        return None, error
    except OSError as error:
        return None, RunError(f"{error.filename or 'the machine'}: {error.strerror or error}")


def _told(error: CorollaError | None) -> dict[str, Any] | None:
    return error and {"line": str(error), "exit_code": error.exit_code}


def _raise(own: CorollaError | None, heard: list[dict[str, Any] | None]) -> None:
    if own:
        raise own.of_all()
    for process, error in enumerate(heard):
        if error:
            raise OtherHostError(process, error["line"], error["exit_code"])
