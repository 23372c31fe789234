"""Tiny classifiers, documents and recipes for the tests of the engine and of quantization."""

from collections import Counter

import numpy as np
import torch
from torch import Tensor

from core.config import Bits, ModelKind, ModelSpec, Recipe
from core.lstm.models import Classifier, build, read_states
from core.quantization import engine, heads
from core.quantization.brevitas_models import BrevitasTwin
from core.quantization.engine import GATES, LSTM_SITES, Variant
from core.quantization.levels import Matrix, Quantizer
from core.seeding import numpy_generator
from core.text.tokens import BOS, EOS, Batch, Encoded, make_batch

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


def batch_of(*lengths: int, seed: int = 0) -> Batch:
    """Documents of any words, with as many tokens as `lengths` says."""
    draw = numpy_generator(seed, "batch")
    ids, offsets = draw.integers(1, VOCABULARY, sum(lengths)).astype(np.int32), np.cumsum([0, *lengths])
    return whole(Encoded(ids, offsets, draw.integers(0, CLASSES, len(lengths)), 0.0, 0.0))


def whole(encoded: Encoded) -> Batch:
    return make_batch(encoded, np.arange(len(encoded)))


def real_states(states: Tensor, batch: Batch) -> Tensor:
    """The states (sum of T, H) of real tokens, of a padded batch's (B, T, H)."""
    return states[batch.mask]


def closest_tie(variant: Variant, batch: Batch) -> Tensor:
    """How far, in steps, each document (B,) stays from a boundary between two levels of any LSTM site."""
    closest, calls = torch.full((len(batch.ids),), 0.5), Counter[str]()

    def observe(site: str, values: Tensor) -> None:
        step = calls[site] // (3 if site == "cell_state" else 1)
        calls[site] += 1
        steps = values / variant.sites[site].scale
        live = batch.lengths > step
        closest[live] = closest[live].minimum((0.5 - (steps - steps.round()).abs()).amin(dim=1))

    engine.run_lstm(engine.prepare(variant), batch, observe)
    return closest


def class_losses(variant: Variant, batch: Batch, hidden: Tensor) -> tuple[Tensor, Tensor | None]:
    """What a variant's head makes of hidden states (B, T, H): losses (B, C), token losses (M, C) if generative."""
    return heads.prepare(variant).class_losses(read_states(variant.spec, hidden, batch), batch)


def generative_head(states: Tensor, labels: Tensor, weight: Tensor, bias: Tensor) -> heads.GenerativeHead:
    """A float head for states (M, H), labels (C, L), weight (V, H + L), bias (V,)."""
    size = states.shape[1]
    part, class_logits = Matrix(weight[:, :size], torch.ones(1)), labels @ weight[:, size:].T + bias
    return heads.GenerativeHead(part, class_logits, None, float(states.abs().max()) if len(states) else 1.0)


def token_losses(states: Tensor, labels: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """The losses (M, C) of `generative_head` for targets (M,)."""
    return generative_head(states, labels, weight, bias).token_losses(states, targets)


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


def uneven_twin(kind: ModelKind, recipe: Recipe, **spec: object) -> BrevitasTwin:
    """A twin with ranges as calibration finds them: no two alike, none a power of two."""
    model, batch = tiny(kind, **spec), whole(documents(16))
    twin, seen = BrevitasTwin(model, recipe), dict[str, float]()

    def observe(site: str, values: Tensor) -> None:
        seen[site] = max(seen.get(site, 0.0), float(values.abs().max()))

    engine.run_lstm(engine.prepare(engine.from_float(model)), batch, observe)
    for site in LSTM_SITES:
        twin.set_range(site, 0.97 * seen[site])
    for site in ("state_input", "label_input") if twin.generative else ("state_input",):
        twin.set_range(site, 0.97 * 0.71)
    return twin


def random_variant(kind: ModelKind, bits: Bits, hidden: int = HIDDEN, seed: int = 0, pooling: str = "last") -> Variant:
    """A variant of any size whose levels, scales and ranges are drawn: no two alike, none a power of two."""
    draw = numpy_generator(seed, "variant")

    def matrix(rows: int, columns: int, width: int, largest: float, blocks: int = 1) -> Matrix:
        last = 2 ** (width - 1) - 1
        levels = torch.from_numpy(draw.integers(-last, last + 1, (rows, columns)).astype(np.int8))
        scale = torch.from_numpy(draw.uniform(0.5, 1, (blocks, 1)).astype(np.float32) * largest / last)
        return Matrix(levels, scale[0] if blocks == 1 else scale.repeat_interleave(rows // blocks, dim=0))

    def site(width: int, largest: float, signed: bool = True) -> Quantizer:
        return Quantizer.of_range(draw.uniform(0.6, 1.2) * largest, width, signed)

    generative = kind == "generative"
    lstm = {f"{gate}_accumulator": site(bits.lstm_gate_accumulator, 4.0) for gate in GATES}
    lstm |= {f"{gate}_sigmoid": site(bits.lstm_sigmoid, 1.0, False) for gate in ("input", "forget", "output")}
    lstm |= {name: site(bits.lstm_tanh, 1.0) for name in ("cell_tanh", "hidden_tanh")}
    lstm |= {"cell_state": site(bits.lstm_cell_state, 2.0), "hidden_state": site(bits.lstm_hidden_state, 0.9)}
    sizes = {"embedding_dim": EMBEDDING, "hidden_dim": hidden, "label_dim": LABEL, "pooling": pooling}
    outputs, inputs = (VOCABULARY, hidden + LABEL) if generative else (CLASSES, hidden)
    return Variant(
        ModelSpec.model_validate({"kind": kind, **sizes}),
        embedding=matrix(VOCABULARY, EMBEDDING, bits.embedding_weight, 2.0),
        input=matrix(4 * hidden, EMBEDDING, bits.lstm_weight, 1.0, blocks=4),
        recurrent=matrix(4 * hidden, hidden, bits.lstm_weight, 3.0 / hidden**0.5, blocks=4),
        bias=torch.from_numpy(draw.normal(0, 0.5, 4 * hidden).astype(np.float32)),
        head=matrix(outputs, inputs, bits.head_weight, 1.0),
        head_bias=torch.from_numpy(draw.normal(0, 0.5, outputs).astype(np.float32)),
        label=matrix(CLASSES, LABEL, bits.label_weight, 1.0) if generative else None,
        sites=lstm,
        state_input=site(bits.head_input, 0.9),
        label_input=site(bits.head_input, 0.9) if generative else None,
    )


def slow_quantize(value: float, quantizer: Quantizer) -> float:
    return max(quantizer.low, min(quantizer.high, round(value / quantizer.scale))) * quantizer.scale


def document_ids(batch: Batch, row: int) -> list[int]:
    return batch.ids[row, : batch.lengths[row]].tolist()
