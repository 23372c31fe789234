"""A small labelled file and quick settings, for the tests of everything between a text and its result."""

import csv
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core import pipeline
from core.config import EvaluationSpec, ModelKind
from core.lstm import training
from core.measurement import evaluation
from core.quantization import ptq
from core.quantization.residents import KEPT
from core.text import inputs, tokens

CLASSES = ("grain", "metal", "money")
WORDS = {
    "grain": ("wheat", "barley", "corn", "harvest", "silo"),
    "metal": ("copper", "zinc", "ore", "smelter", "mine"),
    "money": ("bank", "rate", "loan", "credit", "bond"),
}
COMMON = ("the", "of", "a", "prices", "fell")
# Trains in under a second to better than chance and worse than perfect.
RUN = {"max_epochs": 2, "batch_size": 8, "learning_rate": 0.01}
# Quantizes without searches.
QUICK = {"ranges": "percentile", "head": "round"}


def rows_of(per_class: int, seed: int = 0) -> list[tuple[str, str]]:
    """(text, label) rows, the classes in turn; every third word or so belongs to any class or none."""
    draw = np.random.default_rng(seed)
    anything = [*COMMON, *(word for words in WORDS.values() for word in words)]
    rows = []
    for place in range(per_class * len(CLASSES)):
        label = CLASSES[place % len(CLASSES)]
        words = [draw.choice(WORDS[label] if draw.random() < 0.6 else anything) for _ in range(draw.integers(2, 9))]
        rows.append((" ".join(words), label))
    return rows


def write_rows(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


def write_corpus(path: Path, per_class: int = 40, seed: int = 0) -> Path:
    return write_rows(path, rows_of(per_class, seed))


@contextmanager
def workplace(folder: Path) -> Iterator[Path]:
    """A corpus file in `folder` and an empty artifact folder beside it, on the CPU; gives the corpus's path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BITDIAL_CACHE", str(folder / "cache"))
        patch.setenv("BITDIAL_DEVICE", "cpu")
        yield write_corpus(folder / "news.csv")


def specify(corpus: str | Path, model: ModelKind = "discriminative", bits: int = 32, **settings: Any) -> EvaluationSpec:
    return pipeline.specify(str(corpus), model, bits, **{"run": RUN, **QUICK, **settings})


def computations(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count from now on how often each computation is started."""
    counts: Counter[str] = Counter()

    def count(module: Any, name: str) -> None:
        original = getattr(module, name)

        def counted(*positional: Any, **named: Any) -> Any:
            counts[name] += 1
            return original(*positional, **named)

        monkeypatch.setattr(module, name, counted)

    for module, name in ((training, "train"), (ptq, "quantize"), (evaluation, "evaluate"), (tokens, "encode_corpus")):
        count(module, name)
    return counts


def refuse_computations(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on whoever computes anything fails."""
    for name in ("evaluate", "build_model", "build_variant"):
        monkeypatch.setattr(pipeline, name, lambda *_, **__: pytest.fail("nothing is computed unasked"))


def forget_corpora() -> None:
    """Do as a new process would: no corpus in memory."""
    for cached in (inputs._load, inputs._encode, inputs._encode_split, inputs._corrupted, inputs._alphabet):
        cached.cache_clear()
    KEPT.clear()


class Memory:
    """Checkpoints as a store keeps them, tensors by value, the rest as JSON; only the first `kept` are."""

    def __init__(self, kept: int | None = None) -> None:
        self.kept, self.saved = kept, list[tuple[dict[str, torch.Tensor], str]]()

    def load(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        if not self.saved:
            return None
        tensors, meta = self.saved[-1]
        return {name: tensor.clone() for name, tensor in tensors.items()}, json.loads(meta)

    def save(self, tensors: dict[str, torch.Tensor], meta: dict[str, Any]) -> None:
        if self.kept is None or len(self.saved) < self.kept:
            self.saved.append(({name: tensor.clone() for name, tensor in tensors.items()}, json.dumps(meta)))
