"""Photos and changed copies of them, for tests of the audit."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps


def scene(seed: int, side: int = 96) -> NDArray[np.uint8]:
    """A picture with the spectrum of a photo: uint8[side, side, 3]; no two seeds look alike."""
    random = np.random.default_rng(seed)
    order = np.arange(side)
    waves = np.cos(np.pi * order[:, None] * (order + 0.5) / side)
    heights = random.normal(size=(3, side, side)) / np.maximum(np.hypot(order[:, None], order), 1)
    pixels = waves.T @ heights @ waves
    pixels = 120 + 45 * (pixels - pixels.mean(axis=(1, 2), keepdims=True)) / pixels.std(axis=(1, 2), keepdims=True)
    return np.clip(pixels, 0, 255).astype(np.uint8).transpose(1, 2, 0).copy()


def encoded(pixels: NDArray[np.uint8], quality: int = 92) -> bytes:
    """As a JPEG file."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=quality)
    return content.getvalue()


def cropped(pixels: NDArray[np.uint8], top: int, left: int, kept: float = 0.9) -> NDArray[np.uint8]:
    """A part, as large as the whole."""
    side = round(len(pixels) * kept)
    part = Image.fromarray(pixels).crop((left, top, left + side, top + side))
    return np.asarray(part.resize(pixels.shape[1::-1], Image.Resampling.LANCZOS))


def brightened(pixels: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """Lighter or darker."""
    return np.asarray(ImageEnhance.Brightness(Image.fromarray(pixels)).enhance(factor))


def resized(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Half the size, and back: fine detail is gone."""
    side = len(pixels)
    return np.asarray(Image.fromarray(pixels).resize((side // 2, side // 2)).resize((side, side)))


def squared(tall: int, wide: int, how: str, seed: int) -> NDArray[np.uint8]:
    """A photo of other sides as a square of 96 px: cut, pressed, or laid on black."""
    photo = Image.fromarray(scene(seed, max(tall, wide))[:tall, :wide])
    if how == "pressed":
        return np.asarray(photo.resize((96, 96), Image.Resampling.BICUBIC))
    laid = {"cut": ImageOps.fit, "laid": ImageOps.pad}[how]
    return np.asarray(laid(photo, (96, 96), Image.Resampling.BICUBIC))


COPIES = {
    "resized": lambda pixels: encoded(resized(pixels)),
    "recompressed": lambda pixels: encoded(pixels, 50),
    "mirrored": lambda pixels: encoded(pixels[:, ::-1]),
    "cropped in the middle": lambda pixels: encoded(cropped(pixels, 5, 5)),
    "cropped in a corner": lambda pixels: encoded(cropped(pixels, 0, 9)),
    "cropped and mirrored": lambda pixels: encoded(cropped(pixels, 2, 7)[:, ::-1]),
    "lighter": lambda pixels: encoded(brightened(pixels, 1.2)),
    "darker": lambda pixels: encoded(brightened(pixels, 0.8)),
}
