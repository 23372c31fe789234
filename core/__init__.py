"""Bitdial's engine: load, encode, train, quantize, evaluate, compare, save.

Shape letters, used in every docstring and comment of this package:
B batch, T tokens, E embedding, H hidden, L label embedding, V vocabulary, C classes, N documents.
Losses are in nats, sizes in bytes, durations in seconds unless a name says otherwise.
"""

import os
import warnings

# Threads that spin for long while they wait steal the core from those they wait for, wherever something else runs
# too; a short spin bridges the gap between two operations. Read when torch is loaded, so it has to stand here.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

# Brevitas recommends an optional package at import; nothing here uses what it is for.
warnings.filterwarnings("ignore", message="fast_hadamard_transform package not found")
