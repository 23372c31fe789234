"""The evaluator: a variant as plain tensors, run on integer levels exactly as its Brevitas graph would.

Every quantized signal is a level (an integer, kept in float32, where products and sums below 2**24 are
exact) times a scale. Rounding is defined once, in `to_levels`: round half to even, then clamp, as Brevitas's
IntQuant does. A site without a quantizer is float and passes through unchanged, so that one loop serves float
models, calibration and quantized variants.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from core.config import ModelSpec
from core.models import Classifier, GenerativeLSTM, next_tokens, pool, token_losses
from core.tokens import Batch

GATES = ("input", "forget", "cell", "output")
LSTM_SITES = (
    *(f"{gate}_accumulator" for gate in GATES),
    *(f"{gate}_sigmoid" for gate in ("input", "forget", "output")),
    "cell_tanh",
    "cell_state",
    "hidden_tanh",
    "hidden_state",
)


@dataclass(frozen=True)
class Quantizer:
    """A uniform quantizer: levels `low..high` (inclusive integers), each worth `scale`."""

    scale: float
    low: int
    high: int

    @classmethod
    def of_range(cls, largest: float, bits: int, signed: bool = True) -> "Quantizer":
        """Cover [-largest, largest] (or [0, largest]) with `bits` bits, as Brevitas scales them."""
        levels = 2 ** (bits - 1) if signed else 2**bits - 1
        return cls(largest / levels, -levels if signed else 0, levels - 1 if signed else levels)

    @property
    def largest(self) -> float:
        """The range this quantizer was made for: scale times the number of positive steps."""
        return self.scale * (-self.low if self.low else self.high)


def to_levels(values: Tensor, quantizer: Quantizer) -> Tensor:
    """Return the integer levels of `values`, as floats: divide, round half to even, clamp."""
    return torch.round(values / quantizer.scale).clamp_(quantizer.low, quantizer.high)


def quantize(values: Tensor, quantizer: Quantizer | None) -> Tensor:
    """Return `values` on their quantizer's grid; unchanged where there is no quantizer."""
    return values if quantizer is None else to_levels(values, quantizer).mul_(quantizer.scale)


@dataclass(frozen=True)
class Matrix:
    """A weight as levels times scale: int8 levels if quantized, the float32 weight itself (scale 1) if not.

    The scale is a scalar (1,), or (rows, 1) where blocks of rows have one each, as LSTM gates do.
    """

    levels: Tensor
    scale: Tensor

    @property
    def value(self) -> Tensor:
        """The weight in float32; equal to what Brevitas's quant_weight returns."""
        return self.levels.float() * self.scale

    @property
    def quantized(self) -> bool:
        return self.levels.dtype == torch.int8


@dataclass(frozen=True)
class Variant:
    """A float model or a calibrated quantized one, without modules.

    embedding (V, E), input (4H, E) and recurrent (4H, H) in gate order input, forget, cell, output, bias (4H,),
    head (C, H) or (V, H + L), head_bias; a generative variant has label (C, L). `sites` holds the quantizers
    of the LSTM by LSTM_SITES; `state_input` and `label_input` those of the head's two inputs.
    """

    spec: ModelSpec
    embedding: Matrix
    input: Matrix
    recurrent: Matrix
    bias: Tensor
    head: Matrix
    head_bias: Tensor
    label: Matrix | None = None
    sites: dict[str, Quantizer] = field(default_factory=dict)
    state_input: Quantizer | None = None
    label_input: Quantizer | None = None

    @property
    def classes(self) -> int:
        return len(self.label.levels if self.label else self.head.levels)


Observer = Callable[[str, Tensor], None]
MATRICES = ("embedding", "input", "recurrent", "head", "label")


def from_float(model: Classifier) -> Variant:
    """Return the float variant of a model, sharing its weights."""
    lstm = model.lstm
    return Variant(
        model.spec,
        embedding=_float(model.embedding.weight),
        input=_float(lstm.weight_ih_l0),
        recurrent=_float(lstm.weight_hh_l0),
        bias=torch.add(lstm.get_parameter("bias_ih_l0"), lstm.get_parameter("bias_hh_l0")).detach(),
        head=_float(model.head.weight),
        head_bias=model.head.bias.detach(),
        label=_float(model.label_embedding.weight) if isinstance(model, GenerativeLSTM) else None,
    )


def to_tensors(variant: Variant) -> tuple[dict[str, Tensor], dict]:
    """Return a variant as named tensors and JSON, the form in which it is stored."""
    tensors = {"bias": variant.bias, "head_bias": variant.head_bias}
    for name in MATRICES:
        if matrix := getattr(variant, name):
            tensors |= {f"{name}.levels": matrix.levels, f"{name}.scale": matrix.scale}
    named = {"state_input": variant.state_input, "label_input": variant.label_input, **variant.sites}
    quantizers = {site: asdict(quantizer) for site, quantizer in named.items() if quantizer}
    return tensors, {"model": variant.spec.model_dump(mode="json"), "quantizers": quantizers}


def from_tensors(tensors: dict[str, Tensor], meta: dict) -> Variant:
    """Read `to_tensors` back."""
    quantizers = {site: Quantizer(**values) for site, values in meta["quantizers"].items()}
    return Variant(
        ModelSpec.model_validate(meta["model"]),
        embedding=_matrix(tensors, "embedding"),
        input=_matrix(tensors, "input"),
        recurrent=_matrix(tensors, "recurrent"),
        bias=tensors["bias"],
        head=_matrix(tensors, "head"),
        head_bias=tensors["head_bias"],
        label=_matrix(tensors, "label") if "label.levels" in tensors else None,
        sites={site: quantizer for site, quantizer in quantizers.items() if site in LSTM_SITES},
        state_input=quantizers.get("state_input"),
        label_input=quantizers.get("label_input"),
    )


def to_device(variant: Variant, device: torch.device) -> Variant:
    """Return the variant with every tensor on `device`."""
    tensors, meta = to_tensors(variant)
    return from_tensors({name: tensor.to(device) for name, tensor in tensors.items()}, meta)


@dataclass(frozen=True)
class Prepared:
    """A variant with what its loop reuses: the embedding-to-gate product of every word (V, 4H), and W_hh (H, 4H)."""

    variant: Variant
    table: Tensor
    recurrent: Tensor


def prepare(variant: Variant) -> Prepared:
    """Tabulate the input products; on integer levels their sums are exact and scales are applied once."""
    products = variant.embedding.levels.float() @ variant.input.levels.float().T
    table = products * (variant.embedding.scale * variant.input.scale.reshape(-1))
    return Prepared(variant, table, variant.recurrent.value.T.contiguous())


@torch.inference_mode()
def run_lstm(prepared: Prepared, batch: Batch, observe: Observer | None = None) -> Tensor:
    """Return the hidden states (B, T, H) of a right-padded batch, exact for every real token.

    `observe(site, values)` sees each site's float values before its quantizer, ended documents left out.
    """
    variant, table = prepared.variant, prepared.table
    size, steps = batch.ids.shape
    hidden = table.new_zeros(size, len(prepared.recurrent))
    cell, states = hidden, table.new_empty(steps, size, hidden.shape[1])
    for step in range(steps):
        signal = _Signals(variant.sites, observe, batch.lengths > step if observe else None)
        gates = table[batch.ids[:, step]].add_(hidden @ prepared.recurrent).add_(variant.bias)
        hidden, cell = _cell(signal, gates, cell)
        states[step] = hidden
    return states.transpose(0, 1)


def head_inputs(variant: Variant, hidden: Tensor) -> tuple[Tensor, Tensor | None]:
    """Quantize what enters the head: states (..., H), and the label embeddings (C, L) if generative."""
    labels = variant.label.value if variant.label else None
    return quantize(hidden, variant.state_input), None if labels is None else quantize(labels, variant.label_input)


def head_logits(variant: Variant, states: Tensor) -> Tensor:
    """Return the head's outputs for states (M, H): (M, C), or (M, V) with the classes' labels in turn."""
    states, labels = head_inputs(variant, states)
    if labels is not None:
        states = torch.cat([states, labels[torch.arange(len(states), device=states.device) % len(labels)]], dim=1)
    return states @ variant.head.value.T + variant.head_bias


@torch.inference_mode()
def class_losses(variant: Variant, batch: Batch, hidden: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return each document's loss under each class (B, C) in nats, and the token losses (M, C) if generative.

    Discriminative: -log softmax (paper, equation 4). Generative: summed token losses (equation 13).
    """
    if variant.label is None:
        logits = head_logits(variant, pool(hidden, batch, variant.spec.pooling))
        return -torch.log_softmax(logits, dim=-1), None
    states, targets, rows = next_tokens(hidden, batch)
    states, labels = head_inputs(variant, states)
    assert labels is not None
    tokens = token_losses(states, labels, variant.head.value, variant.head_bias, targets)
    totals = tokens.new_zeros(len(batch.ids), tokens.shape[1]).index_add_(0, rows, tokens)
    return totals, tokens


class _Signals:
    """Quantize each named signal, showing it to the observer first."""

    def __init__(self, sites: dict[str, Quantizer], observe: Observer | None, live: Tensor | None) -> None:
        self.sites, self.observe, self.live = sites, observe, live

    def __call__(self, site: str, values: Tensor) -> Tensor:
        if self.observe:
            self.observe(site, values[self.live])
        return quantize(values, self.sites.get(site))


def _cell(signal: _Signals, gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """One LSTM step in the order of Brevitas's cell: gates (B, 4H), cell (B, H) -> hidden, cell."""
    i, f, g, o = (signal(f"{gate}_accumulator", part) for gate, part in zip(GATES, gates.chunk(4, dim=1), strict=True))
    i, f, o = (
        signal(f"{gate}_sigmoid", torch.sigmoid(part)) for gate, part in (("input", i), ("forget", f), ("output", o))
    )
    g = signal("cell_tanh", torch.tanh(g))
    cell = signal("cell_state", signal("cell_state", f * cell) + signal("cell_state", i * g))
    return signal("hidden_state", o * signal("hidden_tanh", torch.tanh(cell))), cell


def _matrix(tensors: dict[str, Tensor], name: str) -> Matrix:
    return Matrix(tensors[f"{name}.levels"], tensors[f"{name}.scale"])


def _float(weight: Any) -> Matrix:
    return Matrix(weight.detach(), torch.ones(1, device=weight.device))
