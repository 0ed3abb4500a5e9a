"""What a run's model sees in photos: those that it learned from and takes for alike, and where it looks.

Takes: a run folder, photos. Gives: `nearest`, by the features that its head takes; `maps`, by `saliency`.
"""

from collections.abc import Sequence

import jax
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from corolla.inference import make_predictor, values_of
from corolla.interpreter import Interpreter
from corolla.judge import feed_of, frame_of, telling
from corolla.mesh import make_mesh, mesh_for
from corolla.network import feature_model, trained
from corolla.report.seen import Near, Pixels, Taught
from corolla.reporter import Reporter
from corolla.run import RunFolder
from corolla.saliency import Saliency, explainer, overlay
from corolla.types import Photos

NEAREST = 3
"""Of the photos that it learned from, shown for each mistake."""


def nearest(
    folder: RunFolder, asked: Sequence[Pixels], taught: Sequence[Taught], reporter: Reporter
) -> list[list[Near]]:
    """For each photo the `NEAREST` of those that taught, the nearest first."""
    if not asked or not taught:
        return [[] for _ in asked]
    features = _features(folder, [*asked, *(each.image for each in taught)], reporter)
    alike = features[: len(asked)] @ features[len(asked) :].T
    best = np.argsort(-alike, axis=1, kind="stable")[:, :NEAREST]
    return [[Near(taught[i], float(row[i])) for i in order] for row, order in zip(alike, best, strict=True)]


def _features(folder: RunFolder, images: Sequence[Pixels], reporter: Reporter) -> NDArray[np.float32]:
    """What the head takes, float32[n, f], rows of length 1, by the step that predicts."""
    frame = frame_of(folder)
    mesh = mesh_for(frame.batch_size)
    model = feature_model(trained(folder, mesh))
    photos = Photos("photos", np.stack(images), None, [str(i) for i in range(len(images))])
    predictor = make_predictor(model, mesh, frame.image_size)
    found = predictor(values_of(model), feed_of(photos, frame, mesh), telling(folder, reporter))[:, 0]
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


def maps(
    folder: RunFolder, images: Sequence[Pixels], labels: Sequence[int], photos: Sequence[int]
) -> tuple[list[Pixels], bool]:
    """Photos under the maps of what speaks for a label, and whether these are exact.

    photos: their numbers; maps of one photo have one scale.
    """
    saliency = _saliency(folder)
    size = saliency.image_size
    seen = [np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.LANCZOS)) for image in images]
    found = saliency(np.stack(seen), labels)
    most: dict[int, float] = {}
    for number, each in zip(photos, found, strict=True):
        most[number] = max(most.get(number, 0.0), float(each.max()))
    rows = zip(seen, found, photos, strict=True)
    return [overlay(image, each, most[number]) for image, each, number in rows], saliency.exact


def _saliency(folder: RunFolder) -> Saliency:
    graph = folder.graph()
    if graph is not None:
        return explainer(Interpreter(graph, folder.best().arrays, str(folder.path)))
    return explainer(trained(folder, make_mesh(jax.devices()[:1])))
