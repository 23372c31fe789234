"""Which training documents calibrate a quantized model (paper, sections 5.3, 5.4 and 6.1).

Of the 4,388 training documents of reuters-r8, a quarter is 1,097: `conditional` asks each of 8 classes for 137.
Grain has 33 and ship 86; they give all, and the other six share the 155 that are missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.config import CalibrationSpec
from core.errors import InputError
from core.seeding import numpy_generator


@dataclass(frozen=True, eq=False)
class Calibration:
    """Positions `index` (n,) int64 in the training split, ascending, and how many of each class they are.

    `note` says which classes have fewer documents than their share, "" if none.
    """

    index: np.ndarray
    counts: dict[str, int]
    note: str


def choose(labels: np.ndarray, class_names: Sequence[str], spec: CalibrationSpec) -> Calibration:
    """Draw the calibration documents from the training split's labels (N,), positions in `class_names`.

    The size is `spec.count`, or `spec.fraction` of all N. `unconditional` draws from all documents alike,
    `conditional` in equal shares from every class, `classes` in equal shares from those it names, `mix` in the
    proportions it gives (largest remainders round up, ties in class order). A class with fewer documents than
    its share gives all, and the others share the rest; only `classes` and `mix` can run short of the size.
    A class's draw depends on the seed, its name and how many it gives; giving more, it adds to the same ones.

    Raises InputError for an unknown or repeated class, and for a size of 0 or beyond the split.
    """
    size = _size(len(labels), spec)
    if spec.scheme == "unconditional":
        index, note = numpy_generator(spec.seed, "calibration").permutation(len(labels))[:size], ""
    else:
        available = np.bincount(labels, minlength=len(class_names))
        weights = _weights(class_names, spec)
        counts = _fill(weights, available, size)
        if counts.sum() == 0:
            raise InputError(f"the training split has no document of the classes in {spec.label!r}; name others")
        index, note = _draw(labels, class_names, counts, spec.seed), _note(class_names, weights, counts, size)
    drawn = np.bincount(labels[index], minlength=len(class_names))
    return Calibration(np.sort(index), dict(zip(class_names, drawn.tolist(), strict=True)), note)


def _size(documents: int, spec: CalibrationSpec) -> int:
    size = spec.count or round(spec.fraction * documents)
    if size == 0:
        raise InputError(
            f"a fraction of {spec.fraction:g} of {documents:,} training documents is none; raise it or set a count"
        )
    if size > documents:
        raise InputError(
            f"count={size:,}, but the training split has {documents:,} documents; choose 1 to {documents:,}"
        )
    return size


def _weights(class_names: Sequence[str], spec: CalibrationSpec) -> np.ndarray:
    """Return each class's share of the draw (C,), in any unit."""
    asked = spec.mix or [(name, 1.0) for name in spec.classes or class_names]
    names = [name for name, _ in asked]
    if unknown := [name for name in names if name not in class_names]:
        raise InputError(f"class {', '.join(map(repr, unknown))} is not known; choose from: {', '.join(class_names)}")
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"class {', '.join(map(repr, repeated))} is given more than once; give it once")
    shares: Mapping[str, float] = dict(asked)
    return np.array([shares.get(name, 0.0) for name in class_names])


def _fill(weights: np.ndarray, available: np.ndarray, size: int) -> np.ndarray:
    """Return how many documents each class gives (C,): its share, or all it has, the rest shared again."""
    counts = np.zeros(len(weights), dtype=np.int64)
    while (open_ := (weights > 0) & (counts < available)).any():
        shares = _round(np.where(open_, weights, 0.0), size - counts[~open_].sum())
        short = open_ & (shares > available)
        if not short.any():
            return np.where(open_, shares, counts)
        counts[short] = available[short]
    return counts


def _round(weights: np.ndarray, size: int) -> np.ndarray:
    """Split `size` in proportion to `weights` into integers, rounding the largest remainders up."""
    exact = size * weights / weights.sum()
    shares = np.floor(exact).astype(np.int64)
    largest = np.argsort(shares - exact, kind="stable")[: size - shares.sum()]
    shares[largest] += 1
    return shares


def _draw(labels: np.ndarray, class_names: Sequence[str], counts: np.ndarray, seed: int) -> np.ndarray:
    generators = (numpy_generator(seed, "calibration", name) for name in class_names)
    return np.concatenate(
        [
            generator.permutation(np.flatnonzero(labels == label))[: counts[label]]
            for label, generator in enumerate(generators)
        ]
    )


def _note(class_names: Sequence[str], weights: np.ndarray, counts: np.ndarray, size: int) -> str:
    asked = _round(weights, size)
    short = [
        f"{name} has {count:,} of the {share:,} asked"
        for name, count, share in zip(class_names, counts, asked, strict=True)
        if count < share
    ]
    total = [f"{counts.sum():,} of {size:,} documents in all"] if counts.sum() < size else []
    return "; ".join(short + total)
