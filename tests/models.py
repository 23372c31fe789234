"""Tiny classifiers, documents and recipes for the tests of the engine and of quantization."""

import numpy as np
import torch
from torch import Tensor

from core.brevitas_models import BrevitasTwin
from core.config import Bits, ModelKind, ModelSpec, Recipe
from core.engine import LSTM_SITES, Variant
from core.models import Classifier, build
from core.seeding import numpy_generator
from core.tokens import BOS, EOS, Batch, Encoded, make_batch

VOCABULARY, CLASSES, EMBEDDING, HIDDEN, LABEL = 20, 3, 6, 8, 5
WORDS_FROM = 4
SMALLEST = 2.0**-10


def documents(count: int, longest: int = 10, seed: int = 0) -> Encoded:
    """`count` documents of 0 to `longest` random words between <bos> and <eos>; the first two have most and none."""
    draw = numpy_generator(seed, "documents")
    sizes = [longest, 0, *draw.integers(0, longest + 1, size=count)][:count]
    rows = [np.array([BOS, *draw.integers(WORDS_FROM, VOCABULARY, size=size), EOS], np.int32) for size in sizes]
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    return Encoded(np.concatenate(rows), offsets, draw.integers(0, CLASSES, size=count), 0.0, 0.0)


def whole(encoded: Encoded) -> Batch:
    return make_batch(encoded, np.arange(len(encoded)))


def real_states(states: Tensor, batch: Batch) -> Tensor:
    """The states (sum of T, H) of real tokens, of a padded batch's (B, T, H)."""
    return states[batch.mask]


def tiny(kind: ModelKind, seed: int = 0, **spec: object) -> Classifier:
    """A random float classifier with weights large enough for its states to move."""
    sizes = {"embedding_dim": EMBEDDING, "hidden_dim": HIDDEN, "label_dim": LABEL}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build(ModelSpec.model_validate({"kind": kind, **sizes, **spec}), VOCABULARY, CLASSES)
        for weight in model.parameters():
            weight.data.mul_(1.5)
    return model.eval().requires_grad_(False)


def on_grid(model: Classifier, bits: Bits) -> Classifier:
    """Move every weight to the nearest level of a grid whose scale is a power of two, reaching its last level.

    With `set_grid_ranges`, every number of the quantized model is then a small multiple of a power of two, all
    float32 sums are exact in any order, and states can be compared bit for bit on any machine.
    """
    _snap(model.embedding.weight, bits.embedding_weight, 2.0)
    for gate in range(4):
        rows = slice(gate * HIDDEN, (gate + 1) * HIDDEN)
        _snap(model.lstm.weight_ih_l0[rows], bits.lstm_weight, 0.5)
        _snap(model.lstm.weight_hh_l0[rows], bits.lstm_weight, 0.5)
    for bias in (model.lstm.bias_ih_l0, model.lstm.bias_hh_l0, model.head.bias):
        bias.copy_(torch.round(bias / SMALLEST) * SMALLEST)
    return model


def _snap(weight: Tensor, bits: int, limit: float) -> None:
    last = 2 ** (bits - 1) - 1
    scale = limit / (last + 1)
    weight.copy_(torch.round(weight / weight.abs().max() * last) * scale)


def set_grid_ranges(twin: BrevitasTwin) -> None:
    """Give every activation site a scale that is a power of two; see `on_grid`."""
    heads = ("state_input", "label_input") if twin.generative else ("state_input",)
    for site in (*LSTM_SITES, *heads):
        largest = 4.0 if site.endswith("_accumulator") else 2.0 if site == "cell_state" else 1.0
        if site.endswith("_sigmoid"):
            steps = twin.quantizer(site).high
            largest = steps / (steps + 1)
        twin.set_range(site, largest)


def grid_twin(kind: ModelKind, recipe: Recipe, **spec: object) -> BrevitasTwin:
    twin = BrevitasTwin(on_grid(tiny(kind, **spec), recipe.bits), recipe)
    set_grid_ranges(twin)
    return twin


def levels_of(states: Tensor, variant: Variant) -> Tensor:
    """The integer levels of hidden states; fails if one is not on the grid."""
    levels = states / variant.sites["hidden_state"].scale
    assert torch.equal(levels, levels.round())
    return levels.long()
