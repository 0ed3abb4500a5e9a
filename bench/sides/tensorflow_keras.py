"""The side of TensorFlow: tf.data, and Keras' fit and predict on it. Run in an environment with both; see `rounds`."""

import os
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from rounds import Round, serve


def reading(wish: dict[str, Any]) -> Round:
    """A split's shards to batches of uint8 pixels, by the documentation's advice: parallel reads and maps, prefetch."""
    import tensorflow as tf

    files = tf.io.gfile.glob(f"{wish['data']}/{wish['split']}/*.tfrec")
    features = {name: tf.io.FixedLenFeature([], kind) for name, kind in (("image", tf.string), ("class", tf.int64))}

    def decode(record: Any) -> Any:
        parsed = tf.io.parse_single_example(record, features)
        image = tf.io.decode_jpeg(parsed["image"], channels=3)
        return tf.ensure_shape(image, (wish["size"], wish["size"], 3)), parsed["class"]

    found = tf.data.TFRecordDataset(files, num_parallel_reads=tf.data.AUTOTUNE)
    found = found.map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=False)
    found = found.batch(wish["batch"]).prefetch(tf.data.AUTOTUNE)

    def once() -> int:
        return sum(len(labels) for _, labels in found)

    once()
    return once


def _model(wish: dict[str, Any]) -> Any:
    import keras

    body = keras.saving.load_model(wish["keras"], compile=False)
    if wish.get("norm", "frozen") == "frozen":
        for layer in body._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
    return keras.Sequential([body, keras.layers.Dense(104, dtype="float32")])


def training(wish: dict[str, Any]) -> Round:
    """`fit` on images that are ready in memory, no augmentation; the very layers that Corolla trains."""
    import keras
    import numpy as np
    import tensorflow as tf

    model, n, size = _model(wish), wish["steps"] * wish["batch"], wish["size"]
    model.compile(
        keras.optimizers.AdamW(3e-4, weight_decay=0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,  # what `compile` would choose by itself is several times slower on CPUs
    )
    random = np.random.default_rng(0)
    images = random.uniform(0, 255, (n, size, size, 3)).astype(np.float32)
    labels = random.integers(0, 104, n)
    fed = tf.data.Dataset.from_tensor_slices((images, labels)).batch(wish["batch"]).prefetch(2)

    def once() -> int:
        model.fit(fed, verbose=0)
        return n

    once()
    return once


def prediction(wish: dict[str, Any]) -> Round:
    """`predict` on images that are ready in memory."""
    import numpy as np

    model, n, size = _model(wish), wish["steps"] * wish["batch"], wish["size"]
    model.compile(jit_compile=False)
    images = np.random.default_rng(0).uniform(0, 255, (n, size, size, 3)).astype(np.float32)

    def once() -> int:
        model.predict(images, batch_size=wish["batch"], verbose=0)
        return n

    once()
    return once


def photo(wish: dict[str, Any]) -> Round:
    """Class scores of one photo, from a `.keras` file. Done when it is ready."""
    import keras
    import numpy as np

    model = keras.saving.load_model(wish["keras"], compile=False)
    seen = keras.utils.load_img(wish["photo"], target_size=(wish["size"], wish["size"]), interpolation="bicubic")
    print(np.argsort(np.asarray(model(np.asarray(seen, np.float32)[None])))[0, -5:])
    return lambda: 1


if __name__ == "__main__":
    serve(
        {"input": reading, "train": training, "predict": prediction, "photo": photo},
        ("tensorflow-cpu", "keras", "numpy"),
    )
