"""Two thumbnails laid over each other: how alike they are where they show the same.

Takes: gray thumbnails uint8[m, 64, 64], in pairs. Gives: `Aligned`: the structural similarity (SSIM) of each pair
after the best cropping, and how large the crop was.

One of a pair may be a part of the other: of each size down to `SMALLEST` of the sides, the place where it fits best is
found by normalised cross-correlation, computed by Fourier transforms (Lewis, 1995, "Fast Template Matching"). SSIM is
that of Wang et al. (2004, "Image Quality Assessment: From Error Visibility to Structural Similarity"), with windows of
7 x 7 px. A pair takes 0.2 to 0.8 ms of one core; memory: `BLOCK` pairs at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import uniform_filter

from corolla.likeness.views import SIDE

SIZES = (61, 58, 55, 51)
"""Sides [px] at which one thumbnail is looked for in the other; 58 is a crop of 10 %."""
SMALLEST = SIZES[-1] / SIDE

ROUGH, ROUGH_SIZES = 0.85, (30, 29, 27, 26)
"""First all is done at half the size, in a quarter of the time; what correlates less there is no twin."""

BLOCK = 256
_WINDOW = 7
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Aligned:
    """Of m pairs: ssim float32[m], -1 where a rough look said no; side int64[m], of what both show [px of 64]."""

    ssim: Floats
    side: NDArray[np.int64]


@dataclass
class _Best:
    """The best alignment so far: correlation, then how. part: which of the two lies within the other."""

    correlation: Floats
    side: NDArray[np.int64]
    part: NDArray[np.int64]
    top: NDArray[np.int64]
    left: NDArray[np.int64]

    def take(self, correlation: Floats, top: NDArray, left: NDArray, side: int, part: int) -> None:
        """Keep what is better."""
        better = correlation > self.correlation
        self.correlation[better], self.top[better], self.left[better] = correlation[better], top[better], left[better]
        self.side[better], self.part[better] = side, part


def align(first: NDArray[np.uint8], second: NDArray[np.uint8], mirrored: NDArray[np.bool_]) -> Aligned:
    """Lay each of `first` uint8[m, 64, 64], turned where it is mirrored (bool[m]), over its partner in `second`."""
    turned = np.where(mirrored[:, None, None], first[:, :, ::-1], first)
    parts = [_aligned(turned[i : i + BLOCK], second[i : i + BLOCK]) for i in range(0, len(first), BLOCK)]
    if not parts:
        return Aligned(np.empty(0, np.float32), np.empty(0, np.int64))
    return Aligned(np.concatenate([part.ssim for part in parts]), np.concatenate([part.side for part in parts]))


def _aligned(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Aligned:
    one, other = first.astype(np.float32), second.astype(np.float32)
    ssim, sides = np.full(len(one), -1, np.float32), np.full(len(one), SIDE)
    likely = _best(_halved(one), _halved(other), ROUGH_SIZES).correlation >= ROUGH
    if likely.any():
        images = one[likely], other[likely]
        best = _best(*images, SIZES)
        ssim[likely], sides[likely] = _compared(images, best), best.side
    return Aligned(ssim, sides)


def _compared(images: tuple[Floats, Floats], best: "_Best") -> Floats:
    """SSIM of what both show."""
    ssim = np.empty(len(best.side), np.float32)
    for side in (SIDE, *SIZES):
        for part in (0, 1):
            own = (best.side == side) & (best.part == part)
            if own.any():
                small, large = images[part][own], images[1 - part][own]
                ssim[own] = _ssim(_shrunk(small, side), _cut(large, best.top[own], best.left[own], side))
    return ssim


def _halved(images: Floats) -> Floats:
    return images.reshape(len(images), SIDE // 2, 2, SIDE // 2, 2).mean(axis=(2, 4))


def _best(one: Floats, other: Floats, sizes: Sequence[int]) -> _Best:
    images, m = (one, other), len(one)
    best = _Best(_correlation(one, other), np.full(m, one.shape[1]), *(np.zeros(m, np.int64) for _ in range(3)))
    spectra, sums = [_spectrum(each) for each in images], [_Sums(each) for each in images]
    for side in sizes:
        for part in (0, 1):
            best.take(*_fitted(_shrunk(images[part], side), spectra[1 - part], sums[1 - part]), side, part)
    return best


def _correlation(one: Floats, other: Floats) -> Floats:
    """Of whole thumbnails: float32[m]."""
    one, other = (each - each.mean(axis=(1, 2), keepdims=True) for each in (one, other))
    norms = np.linalg.norm(one, axis=(1, 2)) * np.linalg.norm(other, axis=(1, 2))
    return ((one * other).sum(axis=(1, 2)) / np.maximum(norms, 1)).astype(np.float32)


def _spectrum(images: Floats) -> NDArray[np.complex64]:
    return fft.rfft2(images)  # pyright: ignore


def _fitted(small: Floats, spectrum: NDArray[np.complex64], sums: "_Sums") -> tuple[Floats, NDArray, NDArray]:
    """Where small ones fit best into large ones, given by their spectra and sums: correlation, top, left."""
    side, whole = small.shape[1], spectrum.shape[1]
    small = small - small.mean(axis=(1, 2), keepdims=True)
    places = whole - side + 1
    turned = fft.rfft2(small, (whole, whole)).conj()  # pyright: ignore
    found = fft.irfft2(spectrum * turned, (whole, whole))[:, :places, :places]  # pyright: ignore
    norms = np.maximum(np.linalg.norm(small, axis=(1, 2)), 1)[:, None, None] * sums.spreads(side)
    flat = (found / norms).reshape(len(small), -1).astype(np.float32)
    place = flat.argmax(axis=1)
    return flat[np.arange(len(flat)), place], place // places, place % places


class _Sums:
    """Running sums of images and of their squares, by which those over any square are known at once."""

    def __init__(self, images: Floats) -> None:
        whole = images.astype(np.int64)
        self.once, self.squared = _running(whole), _running(whole**2)

    def spreads(self, side: int) -> Floats:
        """Root of the summed squared deviations in every square of a side: float32[m, places, places]."""
        once, squared = _squares(self.once, side), _squares(self.squared, side)
        return np.sqrt(np.maximum(squared - once**2 / side**2, 1)).astype(np.float32)


def _running(images: NDArray[np.int64]) -> NDArray[np.int64]:
    found = np.zeros((len(images), images.shape[1] + 1, images.shape[2] + 1), np.int64)
    images.cumsum(axis=1).cumsum(axis=2, out=found[:, 1:, 1:])
    return found


def _squares(running: NDArray[np.int64], side: int) -> NDArray[np.int64]:
    low, high = slice(None, -side), slice(side, None)
    return running[:, high, high] - running[:, low, high] - running[:, high, low] + running[:, low, low]


def _shrunk(images: Floats, side: int) -> Floats:
    """Scaled to a smaller side, by areas."""
    whole = images.shape[1]
    if side == whole:
        return images
    edges, pixels = np.arange(side + 1) * whole / side, np.arange(whole)
    within = np.clip(edges[1:, None], pixels, pixels + 1) - np.clip(edges[:-1, None], pixels, pixels + 1)
    weights = (within * side / whole).astype(np.float32)
    return weights @ images @ weights.T


def _cut(images: Floats, top: NDArray, left: NDArray, side: int) -> Floats:
    inside = np.arange(side)
    rows, columns = top[:, None, None] + inside[:, None], left[:, None, None] + inside
    return images[np.arange(len(images))[:, None, None], rows, columns]


def _ssim(one: Floats, other: Floats) -> Floats:
    """Mean SSIM of images float32[m, s, s]: float32[m].

    The second is brought to the mean and spread of the first: twins that were made lighter or darker are twins.
    """
    level = (other - _mean(other)) * (_spread(one) / np.maximum(_spread(other), 1)) + _mean(one)
    size = (1, _WINDOW, _WINDOW)
    middle = slice(_WINDOW // 2, -(_WINDOW // 2))
    mean_one, mean_other, squares_one, squares_other, products = (
        uniform_filter(each, size)[:, middle, middle]  # pyright: ignore
        for each in (one, level, one * one, level * level, one * level)
    )
    varies = squares_one - mean_one**2 + squares_other - mean_other**2
    together = products - mean_one * mean_other
    means = (2 * mean_one * mean_other + _C1) / (mean_one**2 + mean_other**2 + _C1)
    return (means * (2 * together + _C2) / (np.maximum(varies, 0) + _C2)).mean(axis=(1, 2)).astype(np.float32)


def _mean(images: Floats) -> Floats:
    return images.mean(axis=(1, 2), keepdims=True)


def _spread(images: Floats) -> Floats:
    return images.std(axis=(1, 2), keepdims=True)
