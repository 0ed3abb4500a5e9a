"""Photos are scaled as Pillow does it, nearer to the filter than Pillow is, and the same everywhere."""

from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import layouts
from corolla.build import scaling
from corolla.build.scaling import MOST_WEIGHT, STEPS, WORTH_REDUCING, scaled

pytestmark = pytest.mark.usefixtures("form")


@pytest.fixture(params=["c++", "numpy"])
def form(request, monkeypatch):
    """Both forms do all that is said here."""
    if request.param == "numpy":
        monkeypatch.setattr(scaling, "_library", lambda: None)
    elif scaling._library() is None:
        pytest.skip("no C++ form here")


PILLOW = {"lanczos": Image.Resampling.LANCZOS, "area": Image.Resampling.BOX}
SIZES = [(500, 500, 512, 512), (512, 512, 224, 224), (100, 333, 37, 99), (3, 5, 16, 16), (1, 1, 8, 8), (40, 7, 13, 7)]
SIZES += [(300, 301, 300, 60), (301, 300, 60, 300), (257, 129, 64, 32)]


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.asarray(layouts.scene(seed, width, height))


def exact(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Lanczos' filter in double precision, rounded nowhere."""

    def matrix(size: int, wanted: int) -> np.ndarray:
        scale = size / wanted
        x = (np.arange(size) + 0.5 - (np.arange(wanted)[:, None] + 0.5) * scale) / max(scale, 1)
        found = np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)
        return found / found.sum(axis=1, keepdims=True)

    down, across = matrix(pixels.shape[0], height), matrix(pixels.shape[1], width)
    across_first = across @ pixels.astype(float)  # [h, width, 3]
    return np.tensordot(down, across_first, axes=1).clip(0, 255)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("resample", PILLOW)
def test_it_is_what_pillow_gives(size, resample):
    height, width, *wanted = size
    found = scaled(photo(height, width), *wanted, resample).astype(int)
    pillow = np.asarray(Image.fromarray(photo(height, width)).resize(tuple(wanted[::-1]), PILLOW[resample])).astype(int)
    assert found.shape == (*wanted, 3) and np.abs(found - pillow).max() <= 2


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_it_is_no_farther_from_the_filter_than_pillow(size):
    """Hard edges from black to white, where Pillow cuts off what overshoots between its passes."""
    height, width, *wanted = size
    hard = np.where(np.random.default_rng(1).random((height, width, 3)) < 0.5, 0, 255).astype(np.uint8)
    aim = exact(hard, *wanted)
    pillow = np.asarray(Image.fromarray(hard).resize(tuple(wanted[::-1]), PILLOW["lanczos"]))
    found = np.abs(scaled(hard, *wanted, "lanczos") - aim)
    assert found.max() < 1.6 and found.mean() <= np.abs(pillow - aim).mean() + 0.01


def test_sums_are_exact_in_float32():
    """Else their order, and with it the processor, would decide about the last bit."""
    sizes = [*range(1, 40), 100, 333, 500, 1000], [1, 2, 3, 16, 37, 115, 224, 512]
    for (size, wanted), resample in product(product(*sizes), PILLOW):
        _, steps = scaling._weights(size, wanted, resample)
        assert (steps.sum(axis=1) == STEPS).all() and np.abs(steps).sum(axis=1).max() < MOST_WEIGHT * STEPS
    assert 256 * MOST_WEIGHT**2 * STEPS <= 2**24


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    wanted=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    resample=st.sampled_from([*PILLOW]),
    apart=st.integers(0, 5),
    seed=st.integers(0, 9),
)
def test_both_forms_give_the_same_bytes(size, wanted, resample, apart, seed):
    """Of noise and hard edges, also where rows do not lie beside each other."""
    noise = np.random.default_rng(seed).integers(0, 256, (size[0], size[1] + apart, 3), dtype=np.uint8)
    pixels = (noise if seed % 2 else np.where(noise < 128, 0, 255).astype(np.uint8))[:, : size[1]]
    np.testing.assert_array_equal(
        (scaling._by_cpp if scaling._library() else scaling._by_numpy)(pixels, *wanted, resample),
        scaling._by_numpy(pixels, *wanted, resample),
    )


def test_blocks_and_strips_do_not_show(monkeypatch):
    monkeypatch.setattr(scaling, "_library", lambda: None)
    pixels = photo(301, 203)
    whole = scaled(pixels, 130, 77, "lanczos")
    for strip, down, across, most in ((16, 3, 5, 4096), (1, 1, 1, 1), (10_000, 500, 500, 1 << 40)):
        for name, value in (("_STRIP", strip), ("_DOWN", down), ("_ACROSS", across), ("ONE_THREAD", most)):
            monkeypatch.setattr(scaling, name, value)
        scaling._blocks.cache_clear(), scaling._interleaved.cache_clear()
        np.testing.assert_array_equal(scaled(pixels, 130, 77, "lanczos"), whole)
    scaling._blocks.cache_clear(), scaling._interleaved.cache_clear()


def test_threads_do_not_write_into_each_other():
    photos = [photo(90 + i, 70 + i, i) for i in range(40)]
    alone = [scaled(one, 64, 48, "lanczos") for one in photos]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda one: scaled(one, 64, 48, "lanczos"), photos))
    for own, together in zip(alone, found, strict=True):
        np.testing.assert_array_equal(own, together)


def test_what_it_gives_is_its_own():
    first = scaled(photo(50, 50, 1), 32, 32, "area")
    kept = first.copy()
    scaled(photo(50, 50, 2), 32, 32, "area")
    np.testing.assert_array_equal(first, kept)


def test_a_part_of_a_photo_and_flat_areas():
    pixels = photo(90, 120)
    np.testing.assert_array_equal(scaled(pixels[5:65, 7:67], 40, 40, "lanczos"),
                                  scaled(pixels[5:65, 7:67].copy(), 40, 40, "lanczos"))  # fmt: skip
    for level in (0, 1, 127, 255):
        assert (scaled(np.full((333, 97, 3), level, np.uint8), 64, 64, "lanczos") == level).all()
    assert scaled(pixels, 90, 120, "lanczos").tobytes() == pixels.tobytes()


def test_much_larger_ones_are_reduced_first():
    pixels = photo(int(32 * 2 * WORTH_REDUCING) + 8, 300)
    found = scaled(pixels, 32, 32, "lanczos").astype(int)
    assert np.abs(found - exact(pixels, 32, 32)).max() < 8
