"""Corolla: trains, judges and serves classifiers of 104 kinds of flowers from TFRecords, on TPU, GPU and CPU.

Importing this package touches no device, no environment variable, no logging and no seed.
"""

__version__ = "0.1.0"
