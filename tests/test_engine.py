import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
import safetensors.torch
import torch
from models import CLASSES, HIDDEN, VOCABULARY, documents, grid_twin, levels_of, real_states, tiny, whole
from torch import Tensor

from core import engine
from core.brevitas_models import BrevitasTwin, compile_variant
from core.config import BIT_WIDTHS, MODEL_KINDS, PRESETS, ModelKind, Preset, Recipe
from core.engine import GATES, LSTM_SITES, Quantizer, Variant
from core.tokens import PAD, Batch, make_batch

DOCUMENTS = documents(12)
BATCH = whole(DOCUMENTS)
POOLINGS = ("last", "mean")
Make = Callable[..., Variant]


@cache
def grid_variant(kind: ModelKind = "generative", bits: int = 4, preset: Preset = "uniform", **spec: object) -> Variant:
    return compile_variant(grid_twin(kind, Recipe.preset(preset, bits), **spec))


@cache
def float_variant(kind: ModelKind = "generative", **spec: object) -> Variant:
    return engine.from_float(tiny(kind, **spec))


def run(variant: Variant, batch: Batch, observe: engine.Observer | None = None) -> Tensor:
    return engine.run_lstm(engine.prepare(variant), batch, observe)


def slow_quantize(value: float, quantizer: Quantizer) -> float:
    return max(quantizer.low, min(quantizer.high, round(value / quantizer.scale))) * quantizer.scale


def slow_product(matrix: engine.Matrix, row: int, values: list[float]) -> float:
    """One row of a weight times a vector, in float64."""
    scale = float(matrix.scale.reshape(-1)[row if matrix.scale.numel() > 1 else 0])
    return sum(int(level) * scale * value for level, value in zip(matrix.levels[row].tolist(), values, strict=True))


def slow_states(variant: Variant, ids: list[int]) -> list[list[float]]:
    """The hidden states of one document, unit by unit: the LSTM of the paper with a quantizer at every site."""

    def at(site: str, value: float) -> float:
        return slow_quantize(value, variant.sites[site])

    hidden, cell, states = [0.0] * HIDDEN, [0.0] * HIDDEN, []
    scale = float(variant.embedding.scale)
    for word in ids:
        entered = [int(level) * scale for level in variant.embedding.levels[word].tolist()]
        before = hidden
        hidden = []
        for unit in range(HIDDEN):
            gates = {}
            for place, gate in enumerate(GATES):
                row = place * HIDDEN + unit
                total = slow_product(variant.input, row, entered) + slow_product(variant.recurrent, row, before)
                gates[gate] = at(f"{gate}_accumulator", total + float(variant.bias[row]))
            opened = {
                gate: at(f"{gate}_sigmoid", 1 / (1 + math.exp(-gates[gate]))) for gate in ("input", "forget", "output")
            }
            candidate = at("cell_tanh", math.tanh(gates["cell"]))
            kept = at("cell_state", opened["forget"] * cell[unit])
            cell[unit] = at("cell_state", kept + at("cell_state", opened["input"] * candidate))
            shown = at("hidden_tanh", math.tanh(cell[unit]))
            hidden.append(at("hidden_state", opened["output"] * shown))
        states.append(hidden)
    return states


def document_ids(batch: Batch, row: int) -> list[int]:
    return batch.ids[row, : batch.lengths[row]].tolist()


# Quantizers


@pytest.mark.parametrize(
    ("value", "level"),
    [
        (0.0, 0),
        (0.49, 0),
        (0.5, 0),
        (0.51, 1),
        (1.5, 2),
        (2.5, 2),
        (-0.5, 0),
        (-1.5, -2),
        (-2.5, -2),
        (-3.5, -4),
        (3.4, 3),
        (3.5, 3),
        (99.0, 3),
        (-99.0, -4),
    ],
)
def test_to_levels_rounds_half_to_even_then_clamps(value: float, level: int) -> None:
    for scale in (1.0, 0.25):
        quantizer = Quantizer(scale, -4, 3)
        assert float(engine.to_levels(torch.tensor([value * scale]), quantizer)) == level
        assert float(engine.quantize(torch.tensor([value * scale]), quantizer)) == level * scale


def test_an_unsigned_quantizer_has_no_negative_level() -> None:
    quantizer = Quantizer.of_range(1.0, 3, signed=False)
    values = torch.tensor([-1.0, 0.0, 0.6, 1.0, 2.0])
    assert engine.to_levels(values, quantizer).tolist() == [0, 0, 4, 7, 7]


def test_quantizing_leaves_its_input_alone() -> None:
    values = torch.tensor([0.3, -0.7])
    engine.quantize(values, Quantizer(0.5, -4, 3))
    assert values.tolist() == torch.tensor([0.3, -0.7]).tolist()
    assert engine.quantize(values, None) is values


@pytest.mark.parametrize("bits", BIT_WIDTHS)
def test_a_quantizer_of_a_range_is_the_one_brevitas_makes(bits: int) -> None:
    twin = BrevitasTwin(tiny("discriminative"), Recipe.preset("uniform", bits))
    for site, largest in product(("cell_state", "input_sigmoid"), (0.37, 1.0, 5.3)):
        twin.set_range(site, largest)  # kept in float32
        theirs, ours = (
            twin.quantizer(site),
            Quantizer.of_range(float(np.float32(largest)), bits, signed=site == "cell_state"),
        )
        assert (np.float32(theirs.scale), theirs.low, theirs.high) == (np.float32(ours.scale), ours.low, ours.high)
        assert ours.largest == pytest.approx(largest, rel=1e-7)


# The LSTM


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("bits", BIT_WIDTHS)
def test_the_lstm_equals_a_plain_loop_bit_for_bit(bits: int, preset: Preset) -> None:
    variant = grid_variant(bits=bits, preset=preset)
    states = run(variant, BATCH)
    for row in range(6):
        expected = torch.tensor(slow_states(variant, document_ids(BATCH, row)))
        found = states[row, : BATCH.lengths[row]]
        assert torch.equal(levels_of(found, variant), levels_of(expected, variant))
    assert levels_of(real_states(states, BATCH), variant).unique().numel() > 3


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_the_float_variant_equals_the_layers_of_torch(kind: ModelKind) -> None:
    model = tiny(kind)
    expected = model.lstm(model.embedding(BATCH.ids))[0]
    torch.testing.assert_close(run(engine.from_float(model), BATCH), expected, rtol=0, atol=1e-6)


def test_a_document_has_the_same_states_alone_and_in_any_batch() -> None:
    variant = grid_variant(bits=4)
    together = run(variant, BATCH)
    for row in range(len(DOCUMENTS)):
        alone = run(variant, make_batch(DOCUMENTS, np.array([row])))
        assert torch.equal(alone[0], together[row, : BATCH.lengths[row]])


def test_the_order_of_a_batch_changes_nothing() -> None:
    variant = grid_variant(bits=4)
    order = np.random.default_rng(1).permutation(len(DOCUMENTS))
    assert torch.equal(run(variant, make_batch(DOCUMENTS, order)), run(variant, BATCH)[torch.from_numpy(order)])


def test_float_states_do_not_depend_on_the_batch_either() -> None:
    variant = float_variant()
    together = run(variant, BATCH)
    for row in range(len(DOCUMENTS)):
        alone = run(variant, make_batch(DOCUMENTS, np.array([row])))
        torch.testing.assert_close(alone[0], together[row, : BATCH.lengths[row]], rtol=0, atol=1e-6)


@pytest.mark.parametrize("variant", [float_variant(), grid_variant()], ids=["float", "quantized"])
def test_every_site_is_observed_at_real_tokens_only(variant: Variant) -> None:
    seen: dict[str, list[Tensor]] = {}
    run(variant, BATCH, lambda site, values: seen.setdefault(site, []).append(values.clone()))
    tokens = int(BATCH.lengths.sum())
    assert set(seen) == set(LSTM_SITES)
    for site, parts in seen.items():  # the cell state is quantized three times: both summands and their sum
        assert sum(map(len, parts)) == tokens * (3 if site == "cell_state" else 1)
    assert all(part.shape[1:] == (HIDDEN,) for parts in seen.values() for part in parts)


def test_what_is_observed_does_not_depend_on_the_padding() -> None:
    ids = torch.where(BATCH.mask, BATCH.ids, VOCABULARY - 1)
    assert not torch.equal(ids, BATCH.ids)
    assert PAD not in ids
    seen: tuple[list[Tensor], list[Tensor]] = ([], [])
    run(grid_variant(), BATCH, lambda site, values: seen[0].append(values))
    run(grid_variant(), replace(BATCH, ids=ids), lambda site, values: seen[1].append(values))
    assert torch.equal(torch.cat(seen[0]), torch.cat(seen[1]))


def test_observing_changes_no_state() -> None:
    variant = grid_variant()
    assert torch.equal(run(variant, BATCH, lambda site, values: None), run(variant, BATCH))


def test_observers_see_values_before_their_quantizer() -> None:
    variant = grid_variant(bits=3)
    seen: dict[str, Tensor] = {}
    run(variant, BATCH, lambda site, values: seen.setdefault(site, values))
    first = variant.embedding.value[BATCH.ids[:, 0]] @ variant.input.value.T + variant.bias
    torch.testing.assert_close(seen["input_accumulator"], first[:, :HIDDEN], rtol=0, atol=1e-6)
    torch.testing.assert_close(seen["output_accumulator"], first[:, 3 * HIDDEN :], rtol=0, atol=1e-6)


# Losses


def slow_logits(variant: Variant, state: Tensor, label: Tensor | None) -> Tensor:
    def through(values: Tensor, quantizer: Quantizer | None) -> list[float]:
        return values.tolist() if quantizer is None else [slow_quantize(v, quantizer) for v in values.tolist()]

    inputs = through(state, variant.state_input) + ([] if label is None else through(label, variant.label_input))
    return variant.head.value.double() @ torch.tensor(inputs, dtype=torch.float64) + variant.head_bias.double()


def slow_losses(variant: Variant, states: Tensor, ids: list[int]) -> tuple[Tensor, Tensor]:
    """Class losses (C,) of one document, and its token losses (T - 1, C) if generative."""
    if variant.label is None:
        pooled = states[-1] if variant.spec.pooling == "last" else states.mean(0)
        return -torch.log_softmax(slow_logits(variant, pooled, None), dim=0), torch.zeros(0)
    tokens = torch.zeros(len(ids) - 1, CLASSES, dtype=torch.float64)
    for label in range(CLASSES):
        for place, target in enumerate(ids[1:]):
            logits = slow_logits(variant, states[place], variant.label.value[label])
            tokens[place, label] = -torch.log_softmax(logits, dim=0)[target]
    return tokens.sum(0), tokens


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("kind", MODEL_KINDS)
@pytest.mark.parametrize("make", [float_variant, grid_variant], ids=["float", "quantized"])
def test_class_losses_equal_a_plain_loop(make: Make, kind: ModelKind, pooling: str) -> None:
    variant = make(kind, pooling=pooling)
    hidden = run(variant, BATCH)
    losses, tokens = engine.class_losses(variant, BATCH, hidden)
    slow = [
        slow_losses(variant, hidden[row, : BATCH.lengths[row]], document_ids(BATCH, row)) for row in range(len(hidden))
    ]
    torch.testing.assert_close(losses.double(), torch.stack([loss for loss, _ in slow]), rtol=1e-5, atol=1e-5)
    assert (tokens is None) == (kind == "discriminative")
    if tokens is not None:
        torch.testing.assert_close(tokens.double(), torch.cat([loss for _, loss in slow]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_head_logits_take_the_labels_in_turn(kind: ModelKind) -> None:
    variant = grid_variant(kind)
    states = torch.linspace(-1, 1, 5 * HIDDEN).reshape(5, HIDDEN)
    labels = None if variant.label is None else variant.label.value
    rows = [slow_logits(variant, state, None if labels is None else labels[i % 3]) for i, state in enumerate(states)]
    torch.testing.assert_close(engine.head_logits(variant, states).double(), torch.stack(rows), rtol=1e-5, atol=1e-5)


# The stored form


@pytest.mark.parametrize("kind", MODEL_KINDS)
@pytest.mark.parametrize("make", [float_variant, grid_variant], ids=["float", "quantized"])
def test_stored_then_loaded_equals_before(make: Make, kind: ModelKind) -> None:
    variant = make(kind)
    tensors, meta = engine.to_tensors(variant)
    stored, text = safetensors.torch.save(tensors), json.dumps(meta)
    loaded = engine.from_tensors(safetensors.torch.load(stored), json.loads(text))
    assert (loaded.spec, loaded.sites) == (variant.spec, variant.sites)
    assert (loaded.state_input, loaded.label_input) == (variant.state_input, variant.label_input)
    again, _ = engine.to_tensors(loaded)
    assert again.keys() == tensors.keys()
    assert all(again[name].dtype == tensors[name].dtype and torch.equal(again[name], tensors[name]) for name in tensors)
    before, after = (engine.class_losses(one, BATCH, run(one, BATCH))[0] for one in (variant, loaded))
    assert torch.equal(before, after)


@pytest.mark.parametrize("kind", MODEL_KINDS)
@pytest.mark.parametrize("make", [float_variant, grid_variant], ids=["float", "quantized"])
def test_a_variant_knows_its_classes_and_what_is_quantized(make: Make, kind: ModelKind) -> None:
    variant = make(kind)
    weights = [getattr(variant, name) for name in engine.MATRICES if getattr(variant, name)]
    assert variant.classes == CLASSES
    assert len(weights) == (5 if kind == "generative" else 4)
    assert {weight.quantized for weight in weights} == {make is grid_variant}


def test_moving_to_a_device_keeps_the_variant() -> None:
    variant = grid_variant()
    moved = engine.to_device(variant, torch.device("cpu"))
    assert torch.equal(run(moved, BATCH), run(variant, BATCH))
