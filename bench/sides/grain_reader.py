"""Grain's side, on JPEG files. Run in an environment with Grain; see `rounds`."""

from pathlib import Path
from typing import Any

from rounds import HELD, Round, serve


def reading(wish: dict[str, Any]) -> Round:
    """JPEG files in class folders to batches of uint8 arrays, decoded as Corolla decodes them, in threads."""
    import grain
    import numpy as np
    import simplejpeg

    files = sorted(Path(wish["photos"]).rglob("*.jpg"))

    def decode(path: Path) -> dict[str, Any]:
        return {"image": simplejpeg.decode_jpeg(path.read_bytes()), "label": int(path.parent.name)}

    found = grain.MapDataset.source(files).map(decode).batch(wish["batch"])
    options = grain.ReadOptions(num_threads=wish["cores"], prefetch_buffer_size=4 * wish["batch"])

    def once() -> int:
        if not wish.get("keep"):
            return sum(len(batch["label"]) for batch in found.to_iter_dataset(options))
        HELD.append(np.concatenate([batch["image"] for batch in found.to_iter_dataset(options)]))
        return len(HELD[0])

    once()
    HELD.clear()
    return once


if __name__ == "__main__":
    serve({"input": reading}, ("grain", "simplejpeg", "numpy"))
