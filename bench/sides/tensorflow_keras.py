"""The side of TensorFlow: tf.data, and Keras' fit and predict on it. Run in an environment with both; see `rounds`."""

import os
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from rounds import HELD, TOLD, Round, macro_f1, serve


def reading(wish: dict[str, Any]) -> Round:
    """A split's shards to batches of uint8 pixels, by the documentation's advice: parallel reads and maps, prefetch."""
    found = _records(wish, wish["split"], deterministic=False)

    def once() -> int:
        if not wish.get("keep"):
            return sum(len(labels) for _, labels in found.batch(wish["batch"]).prefetch(-1))
        HELD.append(found.cache().batch(wish["batch"]).prefetch(-1))  # the first pass fills the cache
        return sum(len(labels) for _, labels in HELD[-1])

    once()
    HELD.clear()
    return once


def _records(wish: dict[str, Any], split: str, deterministic: bool) -> Any:
    """(image, label) of a split, decoded; deterministic: in the order of the files."""
    import tensorflow as tf

    files = sorted(tf.io.gfile.glob(f"{wish['data']}/{split}/*.tfrec"))
    files = files or sorted(
        tf.io.gfile.glob(f"{wish['data']}/tfrecords-jpeg-{wish['size']}x{wish['size']}/{split}/*.tfrec")
    )
    features = {name: tf.io.FixedLenFeature([], kind) for name, kind in (("image", tf.string), ("class", tf.int64))}

    def decode(record: Any) -> Any:
        parsed = tf.io.parse_single_example(record, features)
        image = tf.io.decode_jpeg(parsed["image"], channels=3)
        return tf.ensure_shape(image, (wish["size"], wish["size"], 3)), parsed["class"]

    found = tf.data.TFRecordDataset(files, num_parallel_reads=tf.data.AUTOTUNE)
    return found.map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=deterministic)


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


def notebook(wish: dict[str, Any]) -> Round:
    """The competition's notebook: a head on a pretrained body, Adam, `fit` on tf.data, until a macro F1 is reached.

    Shuffled by 2,048, mirrored at random, batches of 16. body: frozen, or (`learns`) all of it trained. Done when it is
    ready: when validation photos reach the target, or after so many epochs.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    body = keras.saving.load_model(wish["pretrained"], compile=False)
    body.trainable = wish["learns"]
    model = keras.Sequential([body, keras.layers.Dense(104, "softmax", dtype="float32")])
    rate = 3e-4 if wish["learns"] else 1e-3
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", jit_compile=False)
    fed = _records(wish, "train", deterministic=False).shuffle(2048).batch(16)
    fed = fed.map(lambda images, labels: (tf.image.random_flip_left_right(images), labels), -1).prefetch(-1)
    seen = _records(wish, "val", deterministic=True).batch(16).cache().prefetch(-1)
    labels = np.concatenate([batch for _, batch in seen.as_numpy_iterator()])
    TOLD.update(macro_f1=0.0, epochs=0)
    while TOLD["macro_f1"] < wish["target"] and TOLD["epochs"] < wish["epochs"]:
        model.fit(fed, verbose=2)
        found = macro_f1(labels, model.predict(seen, verbose=0).argmax(axis=1))
        TOLD.update(macro_f1=found, epochs=TOLD["epochs"] + 1)
        print(TOLD, flush=True)
    return lambda: 1


if __name__ == "__main__":
    serve(
        {
            "input": reading,
            "train": training,
            "predict": prediction,
            "photo": photo,
            "frozen": notebook,
            "finetune": notebook,
        },
        ("tensorflow-cpu", "keras", "numpy"),
    )
