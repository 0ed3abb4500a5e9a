"""How training makes up for classes with few records: by logits, by weights in the loss, or by how often they come.

Takes: the number of records of each class. Gives: `logit_offset`, `class_weights` and `shares`, a number a class.
"""

import numpy as np
from numpy.typing import NDArray

from corolla.types import ClassWeights

BETA = 0.999
"""Of effective numbers: a class counts as if it had at most 1 / (1 - BETA) different records."""


def logit_offset(counts: NDArray, strength: float) -> tuple[float, ...]:
    """What training adds to the logits, a number a class; none without strength. counts: int[classes].

    The logarithm of the classes' frequencies (of one record more each), so that a model that has to reach the same
    loss says more for rare classes. Source: Menon et al. (2021), https://arxiv.org/abs/2007.07314.
    """
    if not strength:
        return ()
    raised = counts + 1.0
    return tuple((strength * np.log(raised / raised.sum())).tolist())


def class_weights(counts: NDArray, how: ClassWeights) -> tuple[float, ...]:
    """What the loss of a record of each class is multiplied by; none for "none". counts: int[classes].

    balanced: the classes weigh the same together. effective: they weigh by (1 - BETA ** n) / (1 - BETA), the effective
    number of their records (Cui et al., 2019, https://arxiv.org/abs/1901.05555), so that very rare ones do not rule.
    The mean over the records is 1, so that the learning rate keeps its meaning; absent classes have 1.
    """
    if how == "none":
        return ()
    numbers = np.maximum(counts, 1)
    raw = 1 / numbers if how == "balanced" else (1 - BETA) / (1 - BETA**numbers)
    found = raw * counts.sum() / (raw * counts).sum()
    return tuple(np.where(counts > 0, found, 1.0).tolist())


def shares(labels: NDArray, strength: float) -> NDArray[np.float64]:
    """How often each record should come, relative to the others: float64[n], with mean 1.

    Proportional to the size of its class to the power of -strength: at 1 all classes come equally often, at 0.5 as the
    square roots of their sizes (Kang et al., 2020, https://arxiv.org/abs/1910.09217).
    """
    counts = np.bincount(labels).astype(np.float64)
    found = counts[labels] ** -strength
    return found / found.mean()
