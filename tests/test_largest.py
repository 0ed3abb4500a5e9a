"""The largest batch is found with few programs, whatever the compiler makes of memory."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corolla.largest import MOST_COMPILES, Largest, search, unit


def found(needed, capacity: float, images: int, limit: int = 10_000) -> tuple[Largest, list[int]]:
    """Search, and the numbers of images that were compiled for on the way."""
    asked = []

    def compile_for(n: int) -> float:
        asked.append(n)
        return needed(n)

    return search(compile_for, capacity, images, needed(images), limit), asked


def test_memory_that_grows_in_proportion_takes_two_programs():
    """One at the line's end, one to see that the next does not fit."""
    result, asked = found(lambda n: 500 + 10 * n, 3000, 128)
    assert result == Largest(fits=248, too_many=256, compiles=len(asked))
    assert len(asked) <= 3 and asked[-1] in (248, 256)


def test_a_first_program_that_does_not_fit():
    result, _ = found(lambda n: 500 + 10 * n, 1000, 128)
    assert (result.fits, result.too_many) == (48, 56)


def test_nothing_fits():
    assert found(lambda n: 5000 + n, 1000, 128)[0].fits == 0


def test_a_compiler_that_refuses_and_does_not_say():
    result, asked = found(lambda n: 10.0 * n if n <= 200 else math.inf, 10_000, 128)
    assert result.fits <= 200 < (result.too_many or 0) and result.compiles == len(asked) <= MOST_COMPILES
    assert (result.too_many or 0) - result.fits <= 32


def test_a_compiler_that_saves_memory_near_the_limit():
    """Memory stands still from 300 images on, because things are computed twice; from 700 on that no longer helps."""
    result, _ = found(lambda n: min(10 * n, 3000) if n <= 700 else 10 * n, 3100, 128)
    assert 300 < result.fits <= 700


def test_settings_have_an_end():
    result, asked = found(lambda n: float(n), 10**9, 128, limit=1000)
    assert result.fits == 896 and result.too_many is None and max(asked) <= 1000


@pytest.mark.parametrize(("images", "step"), [(1, 8), (511, 8), (512, 128), (5000, 128)])
def test_units(images, step):
    assert unit(images) == step


@given(
    fixed=st.integers(0, 10**6),
    each=st.integers(1, 10**5),
    jag=st.integers(0, 1000),
    capacity=st.integers(1, 10**8),
    images=st.integers(1, 2000),
)
def test_whatever_memory_does_what_fits_was_compiled(fixed, each, jag, capacity, images):
    def needed(n: int) -> float:
        return fixed + each * n + jag * (n % 7)

    result, asked = found(needed, capacity, images, limit=5000)
    assert len(asked) == len(set(asked)) == result.compiles <= MOST_COMPILES
    tried = {images, *asked}
    assert result.fits == max((n for n in tried if needed(n) <= capacity), default=0)
    assert result.too_many == min((n for n in tried if needed(n) > capacity), default=None)
    if jag == 0 and result.compiles < MOST_COMPILES and result.too_many:
        assert result.too_many - result.fits <= max(unit(result.fits + 1), unit(result.too_many))
