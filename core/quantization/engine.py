"""The evaluator: a variant as plain tensors, run on integer levels exactly as its Brevitas graph would.

Every quantized signal is a level times a scale (see `levels`). A site without a quantizer is float and passes through
unchanged, so that one step serves float models, calibration and quantized variants. `head_states` takes the compiled
loop of `kernels` where a variant is quantized at every site and on the CPU, CUDA a recorded step (see `captured`); all
give the same bits.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import cache, cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.config import ModelSpec
from core.lstm.models import Classifier, GenerativeLSTM, pool, read_states
from core.quantization import captured
from core.quantization.levels import Matrix, Quantizer, grid_values, quantize, to_levels
from core.quantization.products import ZERO_POINT, Product, integer_product, integers_are_exact
from core.text.tokens import Batch

FEW = 256  # documents; for fewer, one compiled loop is faster than a matrix product for every step

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


def to_device(variant: Variant, device: torch.device) -> Variant:
    """Return the variant with every tensor on `device`."""
    moved = {part.name: _moved(getattr(variant, part.name), device) for part in fields(variant)}
    return replace(variant, **moved)


@dataclass(frozen=True)
class Prepared:
    """A variant with what its loop reuses.

    table (V, 4H) is the embedding-to-gate product of every word; recurrent (H, 4H) is W_hh as float32, its levels
    where the hidden state is quantized.
    """

    variant: Variant
    table: Tensor
    recurrent: Tensor

    @cached_property
    def rescale(self) -> Tensor | None:
        """What one unit of a recurrent sum of levels is worth, (1,) or (4H,); None if the sum is of values."""
        quantizer = self.variant.sites.get("hidden_state")
        return self.variant.recurrent.scale.reshape(-1) * quantizer.scale if quantizer else None

    @cached_property
    def recurrent_product(self) -> Product:
        """Return hidden levels plus ZERO_POINT (n, H) -> what they add to the gates (n, 4H), in int8."""
        assert self.rescale is not None
        return integer_product(self.variant.recurrent.levels, self.rescale)

    @cached_property
    def compiled_form(self) -> tuple[Any, ...]:
        """What `kernels.scan` takes of a variant that is quantized at every site: inputs, recurrent, constants."""
        variant, units, at, rescale = self.variant, len(self.variant.bias) // 4, self.variant.sites, self.rescale
        assert rescale is not None
        padding = -len(self.recurrent) % compiled_kernels().GROUP
        recurrent = torch.nn.functional.pad(self.recurrent, (0, 0, 0, padding))
        grids = [at[f"{gate}_accumulator"] for gate in GATES] + [at["cell_state"], at["hidden_state"]]
        tables = torch.zeros(5, 256)
        for row, gate in enumerate(GATES):
            values = grid_values(at[f"{gate}_accumulator"])
            bent = torch.tanh(values) if gate == "cell" else torch.sigmoid(values)
            tables[row, : len(values)] = quantize(bent, at["cell_tanh" if gate == "cell" else f"{gate}_sigmoid"])
        values = grid_values(at["cell_state"])
        tables[4, : len(values)] = quantize(torch.tanh(values), at["hidden_tanh"])
        return (
            self.table.numpy().reshape(-1, 4, units),
            recurrent.numpy(),
            (
                rescale.expand(4 * units).reshape(4, units).contiguous().numpy(),
                variant.bias.numpy().reshape(4, units),
                np.array([[grid.scale, grid.low, grid.high] for grid in grids], np.float32),
                tables.numpy(),
            ),
        )


def prepare(variant: Variant) -> Prepared:
    """Tabulate the input products; on integer levels their sums are exact and scales are applied once."""
    products = variant.embedding.levels.float() @ variant.input.levels.float().T
    table = products.mul_(variant.embedding.scale * variant.input.scale.reshape(-1))
    recurrent = variant.recurrent.levels.float() if "hidden_state" in variant.sites else variant.recurrent.value
    return Prepared(variant, table, recurrent.T.contiguous())


@torch.inference_mode()
def run_lstm(prepared: Prepared, batch: Batch, observe: Observer | None = None) -> Tensor:
    """Return the hidden states (B, T, H) of a right-padded batch, exact for every real token.

    `observe(site, values)` sees each site's float values before its quantizer, ended documents left out.
    """
    variant, (size, steps) = prepared.variant, batch.ids.shape
    if not variant.sites and observe is None:
        return _float_lstm(variant, batch)
    start = prepared.table.new_zeros(size, len(prepared.recurrent))
    if captured.worthwhile(start.device) and observe is None:
        return captured.scan(partial(_step, prepared, _Signals(variant.sites)), batch.ids, start).transpose(0, 1)
    hidden, cell, states = start, start, start.new_empty(steps, *start.shape)
    for step in range(steps):
        signal = _Signals(variant.sites, observe, batch.lengths > step if observe else None)
        hidden, cell = _step(prepared, signal, batch.ids[:, step], hidden, cell)
        states[step] = hidden
    return states.transpose(0, 1)


def _step(prepared: Prepared, signal: "_Signals", ids: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Read one word of each document: ids (B,), hidden (B, H), cell (B, H) -> hidden, cell."""
    quantizer, rescale = prepared.variant.sites.get("hidden_state"), prepared.rescale
    sums = (hidden if quantizer is None else to_levels(hidden, quantizer)) @ prepared.recurrent
    gates = prepared.table[ids].add_(sums if rescale is None else sums.mul_(rescale)).add_(prepared.variant.bias)
    return _cell(signal, gates, cell)


def _float_lstm(variant: Variant, batch: Batch) -> Tensor:
    embedded = Matrix(variant.embedding.levels[batch.ids], variant.embedding.scale).value
    start = embedded.new_zeros(1, len(embedded), len(variant.bias) // 4)
    weights = [variant.input.value, variant.recurrent.value, variant.bias, torch.zeros_like(variant.bias)]
    return torch.lstm(embedded, (start, start), weights, True, 1, 0.0, False, False, True)[0]


def all_states(prepared: Prepared, batch: Batch) -> Tensor:
    """Return the hidden states of all real tokens, documents in row order, (sum of T, H)."""
    if kernels := compiled(prepared.variant):
        lengths = batch.lengths.numpy()
        return _compiled_states(kernels, prepared, batch, np.zeros_like(lengths), lengths)
    return run_lstm(prepared, batch)[batch.mask]


def head_states(prepared: Prepared, batch: Batch) -> Tensor:
    """Return the states that the head reads: one per document (B, H), or one per predicted token (M, H)."""
    spec, kernels = prepared.variant.spec, compiled(prepared.variant)
    if kernels is None:
        return read_states(spec, run_lstm(prepared, batch), batch)
    lengths = batch.lengths.numpy()
    if spec.kind == "generative":
        return _compiled_states(kernels, prepared, batch, np.zeros_like(lengths), lengths - 1)
    if spec.pooling == "last":
        return _compiled_states(kernels, prepared, batch, lengths - 1, lengths)
    padded = prepared.table.new_zeros(*batch.ids.T.shape, len(prepared.recurrent)).transpose(0, 1)  # as run_lstm's
    padded[batch.mask] = all_states(prepared, batch)
    return pool(padded, batch, spec.pooling)


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


class _Signals:
    """Quantize each named signal, showing it to the observer first."""

    def __init__(
        self, sites: dict[str, Quantizer], observe: Observer | None = None, live: Tensor | None = None
    ) -> None:
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


def compiled(variant: Variant) -> Any:
    """Return the compiled kernels if they can run this variant: quantized at every site, on the CPU, numba at hand."""
    fits = variant.bias.device.type == "cpu" and len(variant.sites) == len(LSTM_SITES)
    return compiled_kernels() if fits else None


@cache
def compiled_kernels() -> Any:
    """Return the module of compiled loops, None without numba."""
    try:
        from core.quantization import kernels
    except ImportError:
        return None
    return kernels


@torch.inference_mode()
def _compiled_states(kernels: Any, prepared: Prepared, batch: Batch, begin: np.ndarray, end: np.ndarray) -> Tensor:
    """Return the states begin..end of each document, one after the other, (sum of end - begin, H).

    Raises IndexError for a word that the variant does not have: the compiled loop would read past its table.
    """
    if (largest := int(batch.ids[batch.mask].max())) >= len(prepared.table):
        raise IndexError(f"word {largest} is out of range; the variant has {len(prepared.table)} words")
    counts = end - begin
    states = np.empty((int(counts.sum()), len(prepared.variant.bias) // 4), np.float32)
    span = (begin, end, np.cumsum(counts) - counts)
    order, ids = np.argsort(-end, kind="stable"), batch.ids.numpy()
    if len(order) > FEW and integers_are_exact():
        _step_by_step(kernels, prepared, states, ids, order, span)
    else:
        kernels.scan(states, ids, order, *span, *prepared.compiled_form)
    return torch.from_numpy(states)


def _step_by_step(
    kernels: Any,
    prepared: Prepared,
    states: np.ndarray,
    ids: np.ndarray,
    order: np.ndarray,
    span: tuple[np.ndarray, ...],
) -> None:
    """Take all documents from word to word together, so that their recurrent sums are one int8 matrix product."""
    inputs, _, (rescale, *rest) = prepared.compiled_form
    constants, units = (np.ones_like(rescale), *rest), states.shape[1]
    hidden, unused = torch.full((len(order), units), ZERO_POINT, dtype=torch.uint8), torch.empty(0)
    cell, ends = np.zeros((len(order), units), np.float32), span[1][order]
    levels, live = hidden.numpy(), np.searchsorted(-ends, -np.arange(ends[0]))
    for step, count in enumerate(live.tolist()):
        rows = order[:count]
        sums = prepared.recurrent_product(hidden[:count], unused).view(-1, 4, units)
        kernels.advance(states, levels, cell, sums.numpy(), ids, rows, step, *span, inputs, constants)


def _moved(part: Any, device: torch.device) -> Any:
    if isinstance(part, Matrix):
        return Matrix(part.levels.to(device), part.scale.to(device))
    return part.to(device) if isinstance(part, Tensor) else part


def _float(weight: Any) -> Matrix:
    return Matrix(weight.detach(), torch.ones(1, device=weight.device))
