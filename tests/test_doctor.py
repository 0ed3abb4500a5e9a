"""The doctor: rates that are measured, a run that is foretold from them, and an installation that does not work."""

import dataclasses
import json
import shutil
import subprocess
import sys

import pytest

from corolla import doctor as clinic
from corolla import installation, trial
from corolla.config import DoctorWish
from corolla.doctor import STAGES, Memory, advice, doctor, faults, run_seconds
from corolla.errors import DataError, RunError, WishError
from corolla.records.shards import find_split
from corolla.trial import Vitals
from flow import Recorder

SMALL = DoctorWish(model="micro", image_size=32, batch_size=16, epochs=2)
ROOM = Memory(10**10, 10**10, 10**11, 10**9, True, 10**9, True)
MEASURED = Vitals(
    devices="8 TPU v5 lite",
    platform="tpu",
    device_count=8,
    backend="jax",
    host_free_bytes=10**10,
    device_free_bytes=10**11,
    reading=1000.0,
    reading_again=1000.0,
    photo_bytes=15_000.0,
    data_size=100,
    damaged=0,
    train_records=1000,
    val_records=500,
    transfer_bytes_per_second=1e8,
    streaming=200.0,
    training=400.0,
    evaluation=1000.0,
    train_compile_seconds=20.0,
    predict_compile_seconds=5.0,
    train_blocks=-1,
    blocks=18,
)


@pytest.fixture(autouse=True)
def briefly(monkeypatch):
    """Measure each part for a moment."""
    monkeypatch.setattr(trial, "SECONDS", dict.fromkeys(trial.SECONDS, 0.05))
    monkeypatch.setattr(trial, "PHOTOS_READ", 24)
    monkeypatch.setattr(trial, "BLOCK_BYTES", 2**20)


def changed(**changes) -> Vitals:
    return dataclasses.replace(MEASURED, **changes)


# Measuring --------------------------------------------------------------------------------------------------------


def test_a_healthy_machine(flowers):
    recorder = Recorder()
    found = doctor(flowers, SMALL, recorder)
    assert found.usable and not [finding for finding in found.findings if finding.level == "broken"]
    seen = found.vitals
    assert seen and (seen["train_records"], seen["val_records"], seen["data_size"], seen["damaged"]) == (30, 26, 32, 0)
    rates = ("reading", "reading_again", "transfer_bytes_per_second", "streaming", "training", "evaluation")
    assert all(seen[name] > 0 for name in (*rates, "train_compile_seconds", "predict_compile_seconds"))
    assert found.run and tuple(found.run) == STAGES and found.bottleneck in STAGES and found.change
    assert found.memory and found.memory.pixels == 56 * 32 * 32 * 3 and found.memory.resident
    assert found.memory.competition_pixels == 16_465 * 32 * 32 * 3
    assert recorder.notes[0] == f"reading {flowers}" and "compiling the train step" in recorder.notes
    assert json.loads(json.dumps(found.to_json()))["versions"]["jax"]


def test_without_data_photos_are_painted(tmp_path, monkeypatch):
    monkeypatch.setattr(trial.tempfile, "tempdir", str(tmp_path))
    with trial.painted(64) as files:
        read = trial.reading(files)
    assert read.photos.images.shape == (24, 64, 64, 3) and read.photos.bad == []
    assert 20 < read.photos.images.std() < 60 and 1000 < read.photo_bytes < 6000  # no blanks, no white noise
    assert list(tmp_path.iterdir()) == []


def test_only_the_first_records_are_read(flowers):
    """Of 30, in two shards: 24."""
    files = trial.first_shards(find_split(flowers, "train"))
    assert len(files.shards) == 2 and len(trial.reading(files).photos) == 24


def test_damage_is_told(flowers, tmp_path):
    data = shutil.copytree(flowers, tmp_path / "data")
    shard = sorted((data / "train").iterdir())[0]
    content = shard.read_bytes()
    shard.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    found = doctor(data, SMALL)
    (finding,) = [finding for finding in found.findings if "damaged" in finding.what]
    assert finding.what == "1 of the records read are damaged" and finding.change == f"corolla check {data}"
    assert found.usable


def test_wishes_and_data_that_are_not_there(flowers, tmp_path):
    with pytest.raises(DataError, match="there is no such folder"):
        doctor(tmp_path / "missing", SMALL)
    with pytest.raises(WishError, match="No model is called 'micra'"):
        doctor(flowers, dataclasses.replace(SMALL, model="micra"))
    with pytest.raises(WishError, match="--batch-size is 0"):
        doctor(None, dataclasses.replace(SMALL, batch_size=0))


# A broken installation --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raised", "what", "change"),
    [
        (
            RuntimeError("jaxlib version 9 is newer\nthan jax"),
            "training fails here: RuntimeError: jaxlib version 9",
            "install corolla into",
        ),
        (
            RunError("KERAS_BACKEND=torch: torch is not installed"),
            "training fails here: RunError: KERAS_BACKEND",
            "install corolla into",
        ),
        (ValueError("RESOURCE_EXHAUSTED: 20G of 16G"), "the devices have not the memory for this", "a smaller"),
    ],
)
def test_what_fails_is_a_finding(monkeypatch, raised, what, change):
    def fail(*_):
        raise raised

    monkeypatch.setattr(trial, "vitals", fail)
    found = doctor(None, SMALL)
    (finding,) = [finding for finding in found.findings if finding.level == "broken"]
    assert finding.what.startswith(what) and finding.change.startswith(change) and "\n" not in finding.what
    assert not found.usable and found.vitals is None and found.run is None and found.bottleneck is None


def test_modules_that_cannot_be_imported(tmp_path):
    """A jaxlib that jax refuses: the doctor still tells which versions there are, and ends with 1."""
    (tmp_path / "jax").mkdir()
    (tmp_path / "jax" / "__init__.py").write_text("raise RuntimeError('jaxlib is version 0.1, jax requires >= 0.2')")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from corolla.cli import main; main(['doctor'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    words = " ".join(done.stdout.split())
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "training fails here: RuntimeError: jaxlib is version 0.1, jax requires >= 0.2" in words
    assert "requirements met" in words and "not usable as it is" in words


def test_findings_of_the_installation_are_passed_on(monkeypatch):
    finding = installation.Finding("broken", "jax 1 wants jaxlib, which is not installed", "pip install jaxlib")
    monkeypatch.setattr(installation, "findings", lambda tpu: ([finding], 7))
    monkeypatch.setattr(trial, "vitals", lambda *_: MEASURED)
    found = doctor(None, SMALL)
    assert finding in found.findings and found.requirements == 7 and not found.usable
    monkeypatch.setattr(trial, "vitals", lambda *_: 1 / 0)
    assert doctor(None, SMALL).findings[-1].change == "first what is told above"


# A run, foretold --------------------------------------------------------------------------------------------------


def test_seconds_of_a_run_whose_pixels_stay():
    found = run_seconds(MEASURED, epochs=3, resident=True, batch_size=300)
    assert found == {
        "reading": 1.5,  # 1,500 photos
        "transfer": pytest.approx(1500 * 30_000 / 1e8),
        "compiling": 30.0,  # one train step, two predictions
        "features": 2.5,  # both views of 1,000, one of 500
        "steps": 9.0,  # three times four steps of 300 places
        "evaluation": 1.5,
    }
    assert run_seconds(MEASURED, epochs=0, resident=True, batch_size=300)["compiling"] == 10.0
    assert run_seconds(changed(training=None), 3, True, 300) is None


def test_streamed_photos_are_waited_for():
    """A step's images take 1/400 s on the devices and 1/200 s to arrive; evaluation's 1/1000 s."""
    found = run_seconds(MEASURED, epochs=3, resident=False, batch_size=300)
    assert found["steps"] == 9.0
    assert found["transfer"] == pytest.approx(3600 * (1 / 200 - 1 / 400) + (1500 + 1250) * (1 / 200 - 1 / 1000))
    fast = run_seconds(changed(streaming=1e6), epochs=3, resident=False, batch_size=300)
    assert fast["transfer"] == 0


WISH = DoctorWish(image_size=224, batch_size=32)
BIG = dataclasses.replace(ROOM, device=4 * 10**9, pixels=12 * 10**9, resident=False)


@pytest.mark.parametrize(
    ("bottleneck", "found", "memory", "words"),
    [
        (
            "reading",
            changed(reading_again=5000.0),
            ROOM,
            "copy the data to a faster disk: from memory they are read at 5,0",
        ),
        ("reading", changed(data_size=512), ROOM, "read photos of 224 px: these have 512, and the model sees 224"),
        ("reading", changed(data_size=224), ROOM, "more CPU cores"),
        ("transfer", MEASURED, ROOM, "nothing: pixels are sent once a run"),
        (
            "transfer",
            changed(platform="gpu", train_records=12_753, val_records=3712, data_size=512),
            BIG,
            "--image-size 192: streamed",
        ),
        ("transfer", changed(train_records=10**6), BIG, "more devices: streamed from the host, 200 images/s arrive"),
        ("compiling", MEASURED, ROOM, "nothing: programs are kept"),
        ("features", MEASURED, ROOM, "--batch-size 1024: 4 images a step and device leave it idle"),
        ("steps", MEASURED, ROOM, "--batch-size 1024: 4 images a step and device leave it idle"),
        (
            "steps",
            changed(device_count=1, platform="cpu", train_blocks=9),
            ROOM,
            "--train-blocks 4 (now 9 of 18), a smaller",
        ),
        ("steps", changed(platform="cpu", train_blocks=1), ROOM, "a smaller --image-size or --model"),
        ("evaluation", changed(platform="cpu"), ROOM, "a smaller --image-size or --model"),
    ],
)
def test_advice(bottleneck, found, memory, words):
    assert advice(bottleneck, found, memory, WISH).startswith(words)


def test_every_stage_has_its_advice():
    assert all(advice(stage, MEASURED, ROOM, WISH) for stage in STAGES)


def test_faults_that_show_while_measuring(tmp_path):
    assert list(faults(MEASURED, ROOM, None)) == []
    tight = dataclasses.replace(ROOM, disk=10**8, host=10**8)
    ill = changed(training=None, backend="torch", not_native="no C++ compiler was found")
    found = [finding.what for finding in faults(ill, tight, tmp_path)]
    assert found == [
        "0.1 GB free on the disk here",
        "1.0 GB of pixels are read into memory, of which 0.1 GB are free",
        "Keras runs on torch: only JAX's steps are measured",
        "depthwise convolutions run in XLA's own form, a tenth slower: no C++ compiler was found",
    ]


def test_a_busy_machine_is_told():
    assert list(clinic.busy(0.9, 2)) == []
    (finding,) = clinic.busy(7.0, 2)
    assert finding.what.startswith("other programs kept 2.0 of 2 cores busy in the last minute")


def test_the_command_line(flowers, tmp_path):
    words = ["--model", "micro", "--image-size", "32", "--batch-size", "16", "--out", str(tmp_path / "found.json")]
    command = [sys.executable, "-m", "corolla.cli", "doctor", str(flowers), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80 and len(lines) < 28
    assert any(line.startswith("bottleneck") for line in lines) and any(line.startswith("change") for line in lines)
    stored = json.loads((tmp_path / "found.json").read_text())
    assert stored["usable"] and stored["vitals"]["train_records"] == 30 and stored["painted"] is False
    assert stored["seconds"] > 0
