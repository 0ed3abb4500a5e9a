"""Plans: what a run needs and how fast it can be, on TPUs that are not there and on the devices at hand."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from corolla import plan as planning
from corolla.config import PlanWish
from corolla.errors import RunError, WishError
from corolla.mesh import image_bytes, make_mesh
from corolla.models import registry
from corolla.plan import plan
from flow import Recorder

SMALL = PlanWish(model="micro", image_size=32, batch_size=16, train_records=100, val_records=40)
KEPT = sorted((Path(__file__).parent / "golden" / "plans").glob("*.json"))
PLANS = [path for path in KEPT if "convnext" not in path.stem or path.stem.endswith("v3-8")]
"""ConvNeXt takes five to ten minutes of a core to compile: its other plans are compared by `make plans` alone."""
NEW = {"images_per_second_scheduled", "largest_batch_compiled", "too_large_batch_size"}
"""Fields that plans kept before them do not have."""


@pytest.fixture(scope="module")
def at_hand():
    """A plan for the devices of this machine, which is measured."""
    return plan(SMALL)


def test_a_plan_for_the_devices_at_hand_measures(at_hand):
    assert at_hand.images_per_second_measured > 0 and at_hand.images_per_second_bound is None
    assert at_hand.batch_size == 16 and at_hand.precision == "float32" and at_hand.resident
    assert at_hand.collectives == [] or {each["kind"] for each in at_hand.collectives} == {"all-reduce"}
    assert at_hand.host_calls == at_hand.float64 == 0
    pixels = (100 + 40) * 32 * 32 * 3 / at_hand.devices
    assert pixels <= at_hand.hbm_parts["pixels"] <= pixels + 2
    assert at_hand.hbm_bytes_per_chip == sum(at_hand.hbm_parts.values()) < at_hand.hbm_capacity_bytes


def test_a_batch_larger_than_the_split_is_noted(at_hand):
    assert at_hand.notes == []
    case = planning._case(dataclasses.replace(SMALL, batch_size=128), make_mesh(), None)
    (note,) = planning._notes(case, 0)
    assert note.startswith("a step has room for 28 images more than there are records")
    assert planning._notes(case, case.capacity + 1)[1].startswith("this does not fit")


def test_a_plan_is_json(at_hand):
    stored = json.loads(json.dumps(at_hand.to_json()))
    wanted = "topology chips hbm_bytes_per_chip hbm_capacity_bytes flops_per_image bytes_per_image collectives"
    assert {*wanted.split(), "compile_seconds", "images_per_second_bound", "bound_by"} <= set(stored)
    assert planning.Plan(**stored) == at_hand


def test_the_command_line_prints_a_plan(tmp_path):
    words = ["--model", "micro", "--image-size", "32", "--batch-size", "16", "--out", str(tmp_path / "plan.json")]
    done = subprocess.run([sys.executable, "-m", "corolla.cli", "plan", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("micro at 32 px on ") and "16 images a step in float32" in lines[0]
    assert any(re.match(r"training, measured +[\d,]+ images/s$", line) for line in lines)
    assert json.loads((tmp_path / "plan.json").read_text())["model"] == "micro"


def test_a_plan_kept_is_not_made_again(tmp_path, monkeypatch, at_hand):
    wish, recorder = dataclasses.replace(SMALL, topology="v5e-8"), Recorder()
    kept = dataclasses.replace(at_hand, topology="v5e:2x4")
    (tmp_path / f"{planning._key(wish)}.json").write_text(json.dumps(kept.to_json()))
    assert plan(wish, recorder, tmp_path) == kept
    assert recorder.notes[0].startswith("nothing has changed since this plan was made (")
    other = [dataclasses.replace(wish, batch_size=32), dataclasses.replace(wish, topology="v3-8")]
    keys = {planning._key(one) for one in (wish, *other)}
    monkeypatch.setattr(planning, "_versions", lambda: {"jax": "another"})
    assert len(keys | {planning._key(wish)}) == 4


def test_the_largest_batch_is_searched_by_compiling(monkeypatch):
    """On the devices at hand, pretending that they have little memory."""
    real, recorder = planning._case, Recorder()
    monkeypatch.setattr(planning, "_case", lambda *given: dataclasses.replace(real(*given), capacity=6_000_000))
    monkeypatch.setattr(planning, "_measure", lambda *_: 1.0)
    made = plan(dataclasses.replace(SMALL, search=True), recorder)
    assert made.largest_batch_compiled and made.too_large_batch_size
    assert 16 < made.largest_batch_size < made.too_large_batch_size <= made.largest_batch_size + 8 * made.devices
    assert made.largest_batch_size % (8 * made.devices) == 0
    for told in (
        f"{made.largest_batch_size:,} images a step fit: ",
        f"{made.too_large_batch_size:,} images a step do not",
    ):
        assert any(note.startswith(told) for note in recorder.notes)


def test_a_compiler_that_refuses_is_believed(monkeypatch):
    """It keeps a part of the memory to itself: by the sum of its parts, every batch would fit."""
    real, recorder = planning._compile, Recorder()

    def compile_or_refuse(case, lowered):
        if case.settings.batch_size > 40:
            raise planning._TooMuchError(case, case.settings.batch_size, 40.0)
        return real(case, lowered)

    monkeypatch.setattr(planning, "_compile", compile_or_refuse)
    monkeypatch.setattr(planning, "_measure", lambda *_: 1.0)
    made = plan(dataclasses.replace(SMALL, search=True), recorder)
    assert 16 <= made.largest_batch_size <= 40 < made.too_large_batch_size
    assert any(" do not fit: " in note for note in recorder.notes)


def test_a_schedule_is_of_a_topology():
    with pytest.raises(WishError, match=r"^--schedule counts .* name its --topology$"):
        plan(dataclasses.replace(SMALL, schedule=True))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_kept_plans_are_sound(path):
    """No image crosses chips, no float64, no call to the host; and they have what a plan has today."""
    kept = json.loads(path.read_text())
    assert {each["kind"] for each in kept["collectives"]} == {"all-reduce"}
    assert max(each["largest"] for each in kept["collectives"]) <= 4 * kept["parameters"]
    assert kept["float64"] == kept["host_calls"] == 0 and kept["precision"] == "bfloat16" and kept["resident"]
    assert kept["hbm_bytes_per_chip"] == sum(kept["hbm_parts"].values()) < kept["hbm_capacity_bytes"]
    assert kept["images_per_second_bound"] >= kept["images_per_second_estimate"] > 0
    assert {each.name for each in dataclasses.fields(planning.Plan)} - set(kept) <= NEW


# On chips that are not there --------------------------------------------------------------------------------------


@pytest.mark.tpu_compiler
@pytest.mark.parametrize("topology", ["v5e-8", "v3-8"])
def test_no_image_crosses_chips(topology):
    """All there is between chips is gradients, sums of the loss and counts; no float64, no call to the host."""
    made = plan(dataclasses.replace(SMALL, topology=topology, batch_size=256, train_records=2000))
    assert {each["kind"] for each in made.collectives} == {"all-reduce"}
    weights = 4 * made.parameters
    assert max(each["largest"] for each in made.collectives) <= weights + 104 * 104 * 4 + 1024
    assert made.float64 == made.host_calls == 0 and made.precision == "bfloat16"
    (known,) = [one for one in registry.listing() if one.name == "micro"]
    assert 2.5 < made.flops_per_image / (known.gflops * 1e9) < 8  # three passes, and the augmentation
    assert made.evaluation["flops_per_image"] < made.flops_per_image / 2
    assert made.bound_by in ("flops", "hbm", "links") and made.images_per_second_bound > 1e6
    assert made.images_per_second_bound >= made.images_per_second_estimate > 0


@pytest.mark.tpu_compiler
def test_weak_scaling_costs_nothing_but_the_links():
    """From 4 to 16 chips with as many images each: the same work, traffic, memory and gradients a chip."""
    one, other = (
        plan(dataclasses.replace(SMALL, topology=f"v5e-{chips}", batch_size=32 * chips, train_records=320 * chips))
        for chips in (4, 16)
    )
    assert other.flops_per_image == pytest.approx(one.flops_per_image, rel=0.01)
    assert other.bytes_per_image == pytest.approx(one.bytes_per_image, rel=0.05)
    assert other.hbm_bytes_per_chip == pytest.approx(one.hbm_bytes_per_chip, rel=0.05)
    assert sum(each["bytes"] for each in other.collectives) == sum(each["bytes"] for each in one.collectives)


@pytest.mark.tpu_compiler
def test_a_schedule_is_a_closer_bound(tmp_path):
    """In a process of its own: the compiler must be told before it is loaded. Of 128 lanes, pixels lie there once."""
    wish = "--model micro --image-size 64 --batch-size 128 --topology v5e-1 --train-records 20000 --schedule --json"
    beside = {**os.environ, "ALLOW_MULTIPLE_LIBTPU_LOAD": "1", "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "corolla.cli", "plan", *wish.split()]
    ran = subprocess.run(command, capture_output=True, text=True, env=beside)
    assert ran.returncode == 0, ran.stderr
    made = json.loads(ran.stdout)
    assert made["images_per_second_bound"] >= made["images_per_second_scheduled"] > made["images_per_second_bound"] / 50
    assert made["hbm_parts"]["temporaries"] < 20_000 * image_bytes(64, "tpu")


@pytest.mark.tpu_compiler
def test_a_schedule_wants_a_compiler_that_was_not_loaded(monkeypatch):
    monkeypatch.setenv("LIBTPU_INIT_ARGS", "")  # and back again
    plan(dataclasses.replace(SMALL, topology="v5e-1"))
    with pytest.raises(RunError, match=r"^--schedule: the compiler wrote no code; it was loaded before"):
        plan(dataclasses.replace(SMALL, topology="v5e-1", schedule=True))


@pytest.mark.tpu_compiler
def test_a_batch_that_does_not_fit_is_a_wish():
    with pytest.raises(WishError, match=r"^--batch-size 65536 does not fit: a device needs \d+\.\d+ GiB of 15"):
        plan(dataclasses.replace(SMALL, topology="v5e-1", image_size=256, batch_size=65_536))


@pytest.mark.tpu_compiler
@pytest.mark.skipif(not PLANS, reason="no plans are kept")
@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_plans_are_those_that_are_kept(path):
    """`make plans` writes them anew. Another version of the compiler may do a little better or worse."""
    kept = json.loads(path.read_text())
    wish = {each.name: kept[each.name] for each in dataclasses.fields(PlanWish) if each.name in kept}
    made = plan(PlanWish(**wish | {"precision": "auto", "batch_norm": "frozen"})).to_json()
    near = {"flops_per_image": 0.02, "bytes_per_image": 0.1, "hbm_bytes_per_chip": 0.1, "images_per_second_bound": 0.1}
    for name, tolerance in near.items():
        assert made[name] == pytest.approx(kept[name], rel=tolerance), name
    assert {each["kind"] for each in made["collectives"]} == {each["kind"] for each in kept["collectives"]}
    for name in ("chips", "devices", "batch_size", "resident", "float64", "host_calls", "parameters", "precision"):
        assert made[name] == kept[name], name
