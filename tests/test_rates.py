"""The learning rate rises to its peak and falls to nothing."""

import numpy as np
import pytest

from corolla.rates import part_of_peak


def test_it_rises_to_the_peak_and_falls_to_nothing():
    assert part_of_peak(np.array([0.0, 0.05, 0.1, 0.55, 1.0]), 0.1) == pytest.approx([0, 0.5, 1, 0.5, 0], abs=1e-7)
    assert part_of_peak(np.array([0.01, 0.5, 1.0]), 0.0) == pytest.approx([0.99975, 0.5, 0], abs=1e-5)
