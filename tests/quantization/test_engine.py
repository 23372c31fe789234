import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from models import (
    CLASSES,
    HIDDEN,
    VOCABULARY,
    document_ids,
    documents,
    grid_twin,
    levels_of,
    real_states,
    slow_quantize,
    tiny,
    whole,
)
from torch import Tensor

from core.config import BIT_WIDTHS, MODEL_KINDS, PRESETS, ModelKind, Preset, Recipe
from core.quantization import engine, levels
from core.quantization.brevitas_models import compile_variant
from core.quantization.engine import GATES, LSTM_SITES, Variant
from core.text.tokens import PAD, Batch, make_batch

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


def slow_product(matrix: levels.Matrix, row: int, values: list[float]) -> float:
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
    observed, plain = (run(float_variant(), BATCH, observe) for observe in (lambda site, values: None, None))
    torch.testing.assert_close(real_states(observed, BATCH), real_states(plain, BATCH), rtol=0, atol=1e-6)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("kind", MODEL_KINDS)
@pytest.mark.parametrize("make", [float_variant, grid_variant], ids=["float", "quantized"])
def test_head_states_and_all_states_are_those_of_each_document_in_turn(
    make: Make, kind: ModelKind, pooling: str
) -> None:
    variant, every, read = make(kind, pooling=pooling), [], []
    for row, length in enumerate(BATCH.lengths.tolist()):
        states = run(variant, BATCH)[row, :length]
        pooled = states[-1:] if pooling == "last" else states.mean(0, keepdim=True)
        every.append(states)
        read.append(states[:-1] if kind == "generative" else pooled)
    prepared = engine.prepare(variant)
    torch.testing.assert_close(engine.all_states(prepared, BATCH), torch.cat(every), rtol=0, atol=1e-6)
    torch.testing.assert_close(engine.head_states(prepared, BATCH), torch.cat(read), rtol=0, atol=1e-6)
    if variant.sites and (kind == "generative" or pooling == "last"):
        assert torch.equal(engine.head_states(prepared, BATCH), torch.cat(read))


def test_observers_see_values_before_their_quantizer() -> None:
    variant = grid_variant(bits=3)
    seen: dict[str, Tensor] = {}
    run(variant, BATCH, lambda site, values: seen.setdefault(site, values))
    first = variant.embedding.value[BATCH.ids[:, 0]] @ variant.input.value.T + variant.bias
    torch.testing.assert_close(seen["input_accumulator"], first[:, :HIDDEN], rtol=0, atol=1e-6)
    torch.testing.assert_close(seen["output_accumulator"], first[:, 3 * HIDDEN :], rtol=0, atol=1e-6)


# Variants


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


def test_a_word_beyond_the_table_is_refused() -> None:
    variant, ids = grid_variant(), BATCH.ids.clone()
    ids[0, 0] = len(variant.embedding.levels)
    with pytest.raises(IndexError, match=f"word {len(variant.embedding.levels)} is out of range; the variant has"):
        engine.head_states(engine.prepare(variant), replace(BATCH, ids=ids))
