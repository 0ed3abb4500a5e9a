"""What a TPU's finished code takes, operation by operation: scheduled instructions, HBM traffic, compiler's estimate.

Takes: a topology, a model, which program. Gives: images a second by each of the three, and the dearest operations.
Wants the compiler of TPUs (`pip install 'corolla[tpu-plan]'`) and five to twenty minutes on two cores.

    JAX_PLATFORMS=cpu python bench/schedule.py --topology v5e-8 --model efficientnet_lite0
"""

import argparse
import re
import tempfile
from pathlib import Path
from typing import Any

from corolla import classes, hlo, network, programs, schedule
from corolla.config import TrainSettings
from corolla.order import Lanes
from corolla.topology import Topology, topology

RECORDS = 12_753
"""Of the competition's training split."""


def lowered(wish: argparse.Namespace, there: Topology) -> Any:
    """The train step, or the evaluation, of a model from random weights: nothing in a program hangs on their values."""
    batch = wish.images * there.chips
    settings = TrainSettings(model=wish.model, weights="none", batch_size=batch)
    model, settings = network.build(settings, classes.COUNT, there.mesh)
    learner, side = network.learner_of(settings, model), settings.image_size
    if wish.program == "train":
        return programs.lower_training(learner, there.mesh, Lanes(RECORDS, batch), side)
    return programs.lower_prediction(learner, there.mesh, Lanes(2 * batch, batch), side)


def report(wish: argparse.Namespace, there: Topology, compiled: Any, folder: Path) -> None:
    reading, operations = programs.read(compiled), hlo.operations(compiled.as_text())
    scheduled, chip = schedule.read(folder), there.chip
    images = wish.images * there.chips
    own, rate = images / there.mesh.size, chip.hbm_rate / chip.devices
    took = schedule.seconds(operations, scheduled, chip)
    hbm, estimate = reading.traffic.hbm_bytes, reading.traffic.cycles
    print(f"{there.name} {wish.model} {wish.program}, {images} images a step")
    print(f"  scheduled, or HBM where longer  {images / took:12,.0f} images/s")
    print(
        f"  HBM alone                       {images / (hbm / rate):12,.0f} images/s  {hbm / own / 1e6:.1f} MB an image"
    )
    print(f"  XLA's bytes accessed            {images / (reading.accessed / rate):12,.0f} images/s  ", end="")
    print(f"{reading.accessed / own / 1e6:.1f} MB an image")
    print(f"  the compiler's estimate         {images / (estimate / chip.clock):12,.0f} images/s")
    print(f"  temporaries a device            {reading.temporaries / 2**30:12.2f} GiB")
    print("cycles scheduled, of HBM, estimated [1,000]; operation")
    rows = [
        (scheduled.get(each.name, 0), int(each.hbm_bytes / rate * chip.clock), each)
        for each in operations
        if not each.beside
    ]
    for code, memory, each in sorted(rows, key=lambda row: -max(row[:2]))[: wish.top]:
        source = re.sub(r"jit\(\w*\)/|while/body/|cond/branch_\d_fun/", "", each.source)[-70:]
        print(f"{code / 1e3:9,.0f} {memory / 1e3:9,.0f} {each.cycles / 1e3:9,.0f}  {each.shape[:40]}  {source}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--topology", default="v5e-8")
    parser.add_argument("--model", default="efficientnet_lite0")
    parser.add_argument("--program", choices=("train", "evaluation"), default="train")
    parser.add_argument("--images", type=int, default=128, help="a chip")
    parser.add_argument("--top", type=int, default=20, help="operations to list")
    wish = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        schedule.write_to(Path(place))
        there = topology(wish.topology)
        report(wish, there, lowered(wish, there).compile(), Path(place))


if __name__ == "__main__":
    main()
