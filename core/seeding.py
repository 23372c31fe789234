"""One named random stream per purpose, so that a noise draw never moves the data split."""

import hashlib

import numpy as np
import torch


def derive(seed: int, *purpose: object) -> int:
    """Return a 63-bit seed for a purpose, e.g. `derive(0, "noise", 17)`: stable across machines."""
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(seed: int, *purpose: object) -> np.random.Generator:
    return np.random.default_rng(derive(seed, *purpose))


def torch_generator(seed: int, *purpose: object) -> torch.Generator:
    return torch.Generator().manual_seed(derive(seed, *purpose))
