"""Several processes on this machine, over the loopback: they train, evaluate and predict as one, and end together."""

import http.server
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corolla import hosts
from corolla.config import HostsWish, TrainSettings
from corolla.errors import RunError, WishError
from corolla.records.framing import frame
from corolla.run import RunFolder
from flow import options
from tiny import example, write_shard, write_tiny

pytestmark = pytest.mark.xdist_group("pods")

SETTINGS = TrainSettings(model="micro", weights="none", image_size=32, epochs=2, batch_size=5, checkpoint_minutes=0)
CLUSTERS = ("SLURM_STEP_NUM_TASKS", "TPU_WORKER_HOSTNAMES", "GCE_METADATA_HOST", "TPU_SKIP_MDS_QUERY", *hosts.NOTEBOOKS)


# ------------------------------------------------------------------------------------------------ starting processes


def address() -> str:
    """A port that nobody listens at now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


def start(words: list[str], devices: int) -> subprocess.Popen:
    environment = {**os.environ, "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    environment["JAX_PLATFORMS"] = "cpu"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, *words], env=environment, text=True, **pipes)


def alone(*words: str) -> str:
    """Run the command as one process of two devices; what it prints."""
    process = start(["-m", "corolla.cli", *words], devices=2)
    printed, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return printed


def pod(count: int, *words: str, own: dict[int, list[str]] | None = None) -> list[subprocess.Popen]:
    """Start the command as `count` processes of one device each. own: more words for some of them."""
    place = address()
    joined = ["-m", "corolla.cli", *words, "--coordinator", place, "--process-count", str(count), "--heartbeat", "10"]
    return [start([*joined, "--process-index", str(i), *(own or {}).get(i, [])], 1) for i in range(count)]


def ended(processes: list[subprocess.Popen]) -> list[tuple[int, str, str]]:
    """Exit code, output and error output of each."""
    told = [process.communicate(timeout=300) for process in processes]
    return [(process.returncode, *one) for process, one in zip(processes, told, strict=True)]


def all_well(processes: list[subprocess.Popen]) -> list[str]:
    """What each printed; they must have ended well."""
    told = ended(processes)
    assert [code for code, _, _ in told] == [0] * len(told), told
    return [printed for _, printed, _ in told]


def last_lines(told: list[tuple[int, str, str]]) -> list[str]:
    return [errors.splitlines()[-1] for _, _, errors in told]


def arrays(folder: Path, kind: str = "checkpoints") -> dict[str, np.ndarray]:
    """The newest checkpoint of a run, or its best weights."""
    run = RunFolder(folder)
    saved = run.newest_checkpoint()[0] if kind == "checkpoints" else run.best()
    assert saved is not None
    return saved.arrays


def assert_same_weights(one: Path, other: Path, within: float) -> None:
    for kind in ("checkpoints", "best"):
        first, second = arrays(one, kind), arrays(other, kind)
        assert first.keys() == second.keys()
        for name, values in first.items():
            np.testing.assert_allclose(values, second[name], rtol=0, atol=within, err_msg=f"{kind} {name}")


def train_words(data: Path | str, out: Path, **changes: Any) -> list[str]:
    return [
        "train",
        str(data),
        "--out",
        str(out),
        *options(SETTINGS),
        *(str(w) for pair in changes.items() for w in pair),
    ]


# ------------------------------------------------------------------------------------------------------- fixtures


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("pods") / "tiny")


@pytest.fixture(scope="module")
def lonely(tiny, tmp_path_factory) -> Path:
    """A run by one process with two devices."""
    out = tmp_path_factory.mktemp("pods") / "alone"
    alone(*train_words(tiny, out))
    return out


@pytest.fixture(scope="module")
def paired(tiny, tmp_path_factory) -> Path:
    """The same run by two processes with a device each."""
    out = tmp_path_factory.mktemp("pods") / "paired"
    printed = all_well(pod(2, *train_words(tiny, out)))
    assert printed == [f"{out}\n", ""]  # the first speaks, the others are silent; nothing of Gloo's
    return out


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> dict[int, list[dict[str, Any]]]:
    """What the program `pod.py` says, by the number of processes: one (with two devices), two and three."""
    data = tmp_path_factory.mktemp("pods")
    write_tiny(data / "clean")
    broken_data(data / "broken" / "train")
    program, found = str(Path(__file__).with_name("pod.py")), {}
    for count in (1, 2, 3):
        place = address()
        running = [start([program, place, str(count), str(i), str(data)], 2 if count == 1 else 1) for i in range(count)]
        found[count] = [json.loads(printed.splitlines()[-1]) for printed in all_well(running)]
    return found


def broken_data(folder: Path) -> None:
    """Five shards; records of the first three are broken, the last repeats an id of the first: places move."""
    for number in range(5):
        write_shard(folder, number, [example(6 * number + i) for i in range(6)])
    for number in range(3):
        path = folder / f"{number:02d}-32x32-6.tfrec"
        content = bytearray(path.read_bytes())
        content[200] ^= 1
        path.write_bytes(bytes(content))
    path = folder / "04-32x32-6.tfrec"
    first = (folder / "03-32x32-6.tfrec").read_bytes()
    length = int.from_bytes(first[:8], "little")
    rest = path.read_bytes()
    path.write_bytes(frame(first[12 : 12 + length]) + rest[12 + int.from_bytes(rest[:8], "little") + 4 :])


# ---------------------------------------------------------------------------------------------------- speaking


@pytest.mark.parametrize("count", [2, 3])
def test_processes_hear_each_other(told, count):
    for own, heard in enumerate(one["spoken"] for one in told[count]):
        assert heard["gather"] == [1000 * i for i in range(count)] and heard["empty"] == [""] * count
        assert heard["rows"] == [[i, i] for i in range(count) for _ in range(i)]
        assert heard["agreed"] == {"clock": 0.1, "text": "ä"}
        assert heard["arrays"] == {"a": [[0, 1, 2], "<i8"], "b": [[[], []], "<f8"]}
        assert heard["together"] == own and heard["several"] and heard["first"] == (own == 0)
        mine = ["WishError", "not so", 2, True] if own == 1 else ["OtherHostError", "process 1: not so", 2, True]
        assert heard["one fails"] == mine
        broken = ["DataError", "broken", 1, True] if own == 0 else ["OtherHostError", "process 0: broken", 1, True]
        assert heard["first fails"] == broken


@pytest.mark.parametrize("count", [2, 3])
def test_processes_that_started_differently_refuse(told, count):
    for heard in told[count]:
        same, other = heard["different"]
        line = "process 1 started with other settings than process 0: seed is 1, there 0; start all with the same"
        assert same == [] and other == ["WishError", line, 2, True]


# ------------------------------------------------------------------------------------------------------ reading


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("what", ["read 1", "read 5", "read 7", "read 24", "read 40", "skip"])
def test_each_reads_its_share_and_all_know_the_whole(told, count, what):
    for one in told[count]:
        heard = one[what]
        assert heard["place"] == heard["wanted"] and heard["fingerprint"] == told[1][0][what]["fingerprint"]
        assert all(heard[name] for name in ("pixels", "ids", "labels", "bad"))
    if what != "read 1":  # with batches of one there is one lane, and the others only repeat the last record
        assert len({tuple(one[what]["place"]) for one in told[count]}) == count


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_bad_record_stops_all(told, count):
    lines = [one["fail"] for one in told[count]]
    assert all("record 0 at byte 0: damaged data" in line and code == 1 for _, line, code, _ in lines)
    assert count == 1 or all(everywhere for *_, everywhere in lines)


@pytest.mark.parametrize("count", [2, 3])
def test_feeds_of_shares_train_as_the_whole(told, count):
    heard = {one[f"trained, {kind}"] for one in told[count] for kind in ("resident", "stream")}
    assert len(heard) == 1
    assert count == 3 or heard == {told[1][0]["trained, resident"]}  # of three terms the order of adding moves bits


# ------------------------------------------------------------------------------------------------------ whole runs


def test_two_processes_train_as_one(lonely, paired):
    assert_same_weights(lonely, paired, within=0)
    assert RunFolder(lonely).scores()["per_class"] == RunFolder(paired).scores()["per_class"]
    one, other = (json.loads((run / "config.json").read_text()) for run in (lonely, paired))
    assert one == other


def test_two_processes_fit_as_one(tiny, tmp_path):
    """Keras' own `fit`, in batches that two devices do not divide."""
    all_well(pod(2, *train_words(tiny, tmp_path / "paired", **{"--loop": "keras", "--epochs": 1})))
    alone(*train_words(tiny, tmp_path / "alone", **{"--loop": "keras", "--epochs": 1}))
    assert_same_weights(tmp_path / "alone", tmp_path / "paired", within=0)


def test_a_pod_reads_from_the_web(tiny, lonely, tmp_path):
    pytest.importorskip("aiohttp", reason="aiohttp is not installed (make test-extras)")
    served = partial(http.server.SimpleHTTPRequestHandler, directory=str(tiny))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), served) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        all_well(pod(2, *train_words(f"http://127.0.0.1:{server.server_port}/", tmp_path / "run")))
        server.shutdown()
    assert_same_weights(lonely, tmp_path / "run", within=0)


def test_another_backend_is_refused_by_all(tiny, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    told = ended(pod(2, *train_words(tiny, tmp_path / "run", **{"--loop": "keras"})))
    assert [code for code, _, _ in told] == [2, 2]
    assert last_lines(told)[0] == "corolla: KERAS_BACKEND=torch works on one host: unset it, for JAX"


def test_a_pod_evaluates_and_predicts_as_one(tiny, lonely, paired, tmp_path):
    """The run folder lies with process 0 alone."""
    words = ["evaluate", str(paired), "--data", str(tiny), "--json"]
    printed = all_well(pod(2, *words))
    assert json.loads(printed[0]) == json.loads(alone("evaluate", str(lonely), "--data", str(tiny), "--json"))
    assert printed[1] == ""
    out = tmp_path / "submission.csv"
    all_well(pod(2, "predict", str(paired), "--data", str(tiny), "--out", str(out), "--tta", "flip"))
    alone("predict", str(lonely), "--data", str(tiny), "--out", str(tmp_path / "alone.csv"), "--tta", "flip")
    assert out.read_text() == (tmp_path / "alone.csv").read_text()


def test_a_signal_to_one_saves_all_at_one_step_and_four_go_on(tiny, tmp_path):
    """Stopped as two, gone on as four and as one: the same weights, up to the order of adding."""
    out = tmp_path / "stopped"
    words = train_words(tiny, out, **{"--epochs": 4})
    running = pod(2, *words)
    wait_for_line(running[0], "compiling")
    running[1].send_signal(signal.SIGTERM)
    stopped = ended(running)
    assert [code for code, _, _ in stopped] == [75, 75]
    lines = last_lines(stopped)
    assert lines[0] == lines[1] and re.match(
        r"corolla: stopped at epoch \d+, step \d+; the same command goes", lines[0]
    )
    shutil.copytree(out, tmp_path / "one")
    all_well(pod(4, *words))
    alone(*train_words(tiny, tmp_path / "one", **{"--epochs": 4}))
    assert_same_weights(out, tmp_path / "one", within=2e-5)


@pytest.mark.parametrize("lost", [0, 1])
def test_one_is_killed_and_the_others_end(tiny, tmp_path, lost):
    running = pod(2, *train_words(tiny, tmp_path / "run", **{"--epochs": 500}))
    wait_for_line(running[0], "epoch")
    time.sleep(random.random())
    running[lost].kill()
    begin = time.monotonic()
    told = ended(running)
    assert told[1 - lost][0] not in (0, 75) and time.monotonic() - begin < 60
    assert RunFolder(tmp_path / "run").newest_checkpoint()[0] is not None


def test_one_that_hangs_is_missed(tiny, tmp_path):
    running = pod(2, *train_words(tiny, tmp_path / "run", **{"--epochs": 500}))
    wait_for_line(running[0], "epoch")
    running[1].send_signal(signal.SIGSTOP)
    running[0].communicate(timeout=120)
    running[1].kill()
    running[1].communicate()
    assert running[0].returncode not in (0, 75)


def test_other_settings_on_one_are_refused_by_all(tiny, tmp_path):
    told = ended(pod(2, *train_words(tiny, tmp_path / "run"), own={1: ["--seed", "5"]}))
    assert [code for code, _, _ in told] == [2, 2]
    line = "corolla: process 1 started with other settings than process 0: seed is 5, there 0; start all with the same"
    assert last_lines(told) == [line, line] and not (tmp_path / "run").exists()


def test_a_folder_with_another_run_is_refused_by_all(tiny, paired):
    told = ended(pod(2, *train_words(tiny, paired, **{"--batch-size": 6})))
    assert [code for code, _, _ in told] == [2, 2]
    assert "holds a run with other settings (batch_size was 5, is 6)" in last_lines(told)[0]
    assert last_lines(told)[1].startswith("corolla: process 0: ")


def wait_for_line(process: subprocess.Popen, start_of_line: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(start_of_line):
            return
    raise AssertionError(f"no line {start_of_line!r}; exit code {process.wait()}")


# ------------------------------------------------------------------------------------------------ finding a cluster


@pytest.fixture
def nowhere(monkeypatch) -> pytest.MonkeyPatch:
    for name in CLUSTERS:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    "environment, found",
    [
        ({}, None),
        ({"SLURM_STEP_NUM_TASKS": "2"}, "SLURM"),
        ({"SLURM_STEP_NUM_TASKS": "1"}, None),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, "GKE"),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, None),
        ({"TPU_WORKER_HOSTNAMES": "a,b", "KAGGLE_KERNEL_RUN_TYPE": "Batch"}, None),
        ({"SLURM_STEP_NUM_TASKS": "2", "COLAB_RELEASE_TAG": "release"}, None),
    ],
)
def test_clusters_are_found_by_what_they_set(nowhere, environment, found):
    for name, value in environment.items():
        nowhere.setenv(name, value)
    assert hosts.cluster() == found


@pytest.fixture
def metadata() -> Iterator[str]:
    """A metadata server as on a Cloud TPU VM of two hosts."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path.endswith("/instance/attributes/worker-network-endpoints")
            self.send_response(200 if known and self.headers["Metadata-Flavor"] == "Google" else 404)
            self.end_headers()
            self.wfile.write(b"unknown:8470:10.0.0.1,unknown:8470:10.0.0.2" if known else b"")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_cloud_tpu_vm_is_asked_where_it_has_chips(nowhere, metadata):
    nowhere.setenv("GCE_METADATA_HOST", metadata)
    nowhere.setattr(hosts, "_has_tpu", lambda: True)
    assert hosts.cluster() == "Cloud TPU"
    nowhere.setenv("TPU_SKIP_MDS_QUERY", "1")
    assert hosts.cluster() is None
    nowhere.delenv("TPU_SKIP_MDS_QUERY")
    nowhere.setattr(hosts, "_has_tpu", lambda: False)
    assert hosts.cluster() is None


def test_a_metadata_server_that_is_not_there_is_none(nowhere):
    nowhere.setenv("GCE_METADATA_HOST", address())
    nowhere.setattr(hosts, "_has_tpu", lambda: True)
    assert hosts.cluster() is None


@pytest.mark.parametrize(
    "wish, line",
    [
        (HostsWish(coordinator="a:1"), "belong together"),
        (HostsWish(distributed=True, process_count=2), "belong together"),
        (HostsWish(coordinator="a", process_count=2, process_index=0), "it must be HOST:PORT"),
        (HostsWish(coordinator="a:1", process_count=2, process_index=2), "must lie between 0 and 1"),
    ],
)
def test_wishes_that_make_no_sense(nowhere, wish, line):
    with pytest.raises(WishError, match=line):
        hosts.connect(wish)


def test_nothing_tells_who_the_others_are(nowhere, tiny, tmp_path):
    (told,) = ended([start(["-m", "corolla.cli", *train_words(tiny, tmp_path / "run"), "--distributed"], devices=1)])
    assert told[0] == 2 and not (tmp_path / "run").exists()
    line = last_lines([told])[0]
    assert line.startswith("corolla: --distributed: nothing tells who the other processes are (")
    assert line.endswith("or give --coordinator HOST:PORT --process-count N --process-index I")


def test_a_coordinator_that_does_not_answer(nowhere):
    nowhere.setattr(hosts, "MEETING_SECONDS", 0)
    with pytest.raises(RunError, match=r"process 0 does not answer at 127.0.0.1:\d+ \(Connection refused\): start it"):
        hosts.connect(HostsWish(coordinator=address(), process_count=2, process_index=1))


def test_tests_of_a_group_stay_together(request):
    """Processes that time each other out must not share two cores with another such test: xdist may lose the groups."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        assert request.node.nodeid.endswith("@pods")


def test_one_process_talks_to_nobody():
    hosts.connect(HostsWish())
    assert hosts.first() and not hosts.several()
    assert hosts.gather(b"a") == [b"a"] and hosts.agreed(3) == 3 and hosts.together(lambda: 4) == 4
    with pytest.raises(RunError):
        hosts.from_first(lambda: (_ for _ in ()).throw(RunError("own")))
