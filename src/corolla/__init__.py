"""Corolla: trains, judges and serves classifiers of 104 kinds of flowers from TFRecords, on TPU, GPU and CPU.

Importing this package touches no device, no environment variable, no logging and no seed. What it offers to Keras users
is imported when it is first asked for: `classifier`, `load_split`, `CrossEntropy`, `Seen`.
"""

TYPE_CHECKING = False  # as in typing, whose import would cost more than this whole module
if TYPE_CHECKING:
    from corolla.dataset import load_split
    from corolla.losses import CrossEntropy, Seen
    from corolla.models.registry import classifier

__all__ = ["CrossEntropy", "Seen", "__version__", "classifier", "load_split"]
__version__ = "0.1.0"

_PLACES = {
    "classifier": "corolla.models.registry",
    "load_split": "corolla.dataset",
    "CrossEntropy": "corolla.losses",
    "Seen": "corolla.losses",
}


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _PLACES:
        raise AttributeError(f"module 'corolla' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
