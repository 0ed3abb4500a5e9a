"""The same training, prediction and probe on 1, 2, 4 and 8 devices: a program that `test_step` runs and reads.

Prints JSON; wants XLA_FLAGS=--xla_force_host_platform_device_count=8.
"""

import json
import math
import re
from typing import Any

import jax
import numpy as np

from corolla.config import CROP_AND_FLIP, Augmentation, TrainSettings
from corolla.inference import Predictor, Values
from corolla.losses import Objective
from corolla.mesh import copied, make_mesh
from corolla.network import build
from corolla.optim import AdamW
from corolla.order import Lanes, epoch_order
from corolla.probe import solve
from corolla.resident import ResidentFeed, make_feed
from corolla.step import Learner, empty_sums, train_steps
from flow import CLASSES, lanes_of, photos, small_learner, softened, start

Mesh = jax.sharding.Mesh


def flat(leaves: list[jax.Array]) -> list[float]:
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in leaves]).tolist()


def trained(learner: Learner, mesh: Mesh, batch_size: int, soft: bool) -> tuple[Any, Any]:
    """State and sums after three steps; the last of them is padded. soft: from targets in the place of labels."""
    data = photos(3 * batch_size - 1)
    data = softened(data) if soft else data
    feed = ResidentFeed(mesh, lanes_of(data, batch_size), data)
    feed.start(epoch_order(feed.lanes, seed=0, epoch=1))
    return train_steps(learner, mesh)(*start(learner, mesh), *feed.take(0, 3))


def outputs(learner: Learner, mesh: Mesh) -> list[float]:
    """Logits of seven photos in batches of three, with the weights of the start."""
    data, state = photos(7), start(learner, mesh)[0]
    feed = ResidentFeed(mesh, lanes_of(data, 3), data)
    seen = Predictor(learner.model, mesh, learner.image_size)(Values(state.trainable, state.non_trainable), feed)
    return seen.ravel().tolist()


def head(mesh: Mesh) -> list[float]:
    """What the probe makes of thirteen photos."""
    features = photos(13).images.mean(axis=(1, 2))[:, None]
    return solve(mesh, features.astype(np.float32), photos(13).labels, CLASSES).logits(features[:, 0]).ravel().tolist()


def collectives(mesh: Mesh) -> list[tuple[str, str, int]]:
    """Name, dtype and elements of each operation of a compiled train step of `micro` that talks between devices."""
    side, settings = 64, TrainSettings(model="micro", weights="none", image_size=64, batch_norm="batch", batch_size=8)
    model, settings = build(settings, 4, mesh)
    learner = Learner(model, AdamW(0.01, 0.1, 0.01, 0.9), side, Objective(0.1), CROP_AND_FLIP)
    data = photos(16, side)
    feed = make_feed(mesh, Lanes(16, 8), data, resident=True)
    feed.start(epoch_order(feed.lanes, 0, 1))
    given = jax.device_put((learner.initial_state(), empty_sums(4)), copied(mesh))
    text = train_steps(learner, mesh).lower(*given, *feed.take(0, 1)).compile().as_text()
    kinds = "all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter|collective-broadcast|send|recv"
    found = []
    for result, name in re.findall(rf"= (.*?) ({kinds})(?:-start)?\(", text):
        for dtype, shape in re.findall(r"(\w+)\[([\d,]*)\]", result):
            found.append((name, dtype, math.prod(int(size) for size in shape.split(",") if size)))
    return found


def main() -> None:
    """Print everything, by kind and number of devices."""
    mixed = Augmentation(crop_area=0.5, flip=True, rotate=20, mixup=0.4, cutmix=1.0)
    kinds = {
        "batch statistics, 8 a batch": ("batch", 8, CROP_AND_FLIP),
        "frozen statistics, 6 a batch": ("frozen", 6, CROP_AND_FLIP),
        "mixed images, 6 a batch": ("frozen", 6, mixed),
        "soft labels, mixed images, 6 a batch": ("frozen", 6, mixed),
    }
    told: dict[str, Any] = {name: {} for name in (*kinds, "sums", "outputs", "head")}
    for count in (1, 2, 4, 8):
        mesh = make_mesh(jax.devices()[:count])
        for name, (batch_norm, batch_size, how) in kinds.items():
            learner = small_learner(batch_norm, dropout=0.3, augmentation=how)
            told[name]["start"] = flat(learner.initial_state().trainable)
            state, sums = trained(learner, mesh, batch_size, name.startswith("soft"))
            told[name][count] = flat([*state.trainable, *state.non_trainable[:2]])[: len(told[name]["start"])]
            told["sums"][count] = flat(list(sums))
        told["outputs"][count] = outputs(small_learner(), mesh)
        told["head"][count] = head(mesh)
    told["collectives"] = collectives(make_mesh(jax.devices()[:4]))
    told["image size"] = 64 * 64 * 3
    print(json.dumps(told))


if __name__ == "__main__":
    main()
