"""A model that needs nothing of Corolla's: the same layers, names and weights out of Keras' own classes.

Takes: a model of `registry`. Gives: `plain`, which lets Keras save it so that it loads without Corolla.
"""

from typing import Any

from corolla.backend import keras

_OWN = "corolla"


def plain(model: keras.Model) -> keras.Model:
    """Return the same object, its layers and initializers of Keras' classes again.

    Corolla's classes are forms of Keras' classes of the same name that run faster, and `lowering.fast_on_cpu` brings
    them in.
    """
    for layer in model._flatten_layers():
        _give_back_class(layer)
        for name, value in list(vars(layer).items()):
            if isinstance(value, keras.initializers.Initializer):
                object.__setattr__(layer, name, _stock(value))
    return model


def _is_own(kind: type) -> bool:
    return kind.__module__.startswith(_OWN)


def _give_back_class(layer: keras.Layer) -> None:
    stock = next(kind for kind in type(layer).__mro__ if not _is_own(kind))
    if stock is not type(layer):
        object.__setattr__(layer, "__class__", stock)  # as in `lowering.fast_on_cpu`


def _stock(initializer: Any) -> Any:
    """Keras' initializer of the same name: the weights are there already, it only stands in the file."""
    kind = type(initializer)
    return getattr(keras.initializers, kind.__name__)() if _is_own(kind) else initializer
