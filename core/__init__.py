"""Bitdial's engine: load, encode, train, quantize, evaluate, compare, save.

Shape letters, used in every docstring and comment of this package:
B batch, T tokens, E embedding, H hidden, L label embedding, V vocabulary, C classes, N documents.
Losses are in nats, sizes in bytes, durations in seconds unless a name says otherwise.
"""

import warnings

# Brevitas recommends an optional package at import; nothing here uses what it is for.
warnings.filterwarnings("ignore", message="fast_hadamard_transform package not found")
