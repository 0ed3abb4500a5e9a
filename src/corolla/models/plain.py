"""A model that needs nothing of Corolla's: the same layers, names and weights out of Keras' own classes.

Takes: a functional model of `registry`. Gives: `plain`, a copy that Keras saves and loads without Corolla.
"""

from typing import Any

from corolla.backend import keras

_OWN = "corolla"


def plain(model: keras.Model) -> keras.Model:
    """Return a copy whose layers and initializers are Keras' own, all of them trainable as in `model`.

    Corolla's classes are forms of Keras' classes of the same name that run faster, so the copy computes the same.
    """
    copy = keras.models.clone_model(model, clone_function=_stock, recursive=True)
    copy.set_weights(model.get_weights())
    for layer, original in zip(copy.layers, model.layers, strict=True):
        layer.trainable = original.trainable
    return copy


def _stock(layer: keras.Layer) -> keras.Layer:
    kind = next(kind for kind in type(layer).__mro__ if not kind.__module__.startswith(_OWN))
    return kind.from_config(_stock_initializers(layer.get_config()))


def _stock_initializers(config: Any) -> Any:
    """The config with Keras' own classes in the place of Corolla's; weights are set anyway."""
    if not isinstance(config, dict):
        return config
    if str(config.get("registered_name", "")).startswith(f"{_OWN}>"):
        return {"module": "keras.initializers", "class_name": config["class_name"], "config": {}}
    return {name: _stock_initializers(value) for name, value in config.items()}
