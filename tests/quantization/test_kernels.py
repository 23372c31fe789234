"""The compiled LSTM next to the plain loop, bit for bit, and next to a loop over whole numbers in numpy."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from models import HIDDEN, batch_of, document_ids, documents, grid_twin, random_variant, uneven_twin, whole
from torch import Tensor

import core.quantization
from core.config import BIT_WIDTHS, MODEL_KINDS, PRESETS, ModelKind, Preset, Recipe
from core.lstm.models import pool, read_states
from core.quantization import engine, kernels
from core.quantization.brevitas_models import compile_variant
from core.quantization.engine import GATES, Prepared, Variant
from core.quantization.levels import Matrix, Quantizer
from core.text.tokens import Batch, Encoded, make_batch

DOCUMENTS = documents(23)
BATCH = whole(DOCUMENTS)
POOLINGS = ("last", "mean")
TWINS = {"grid": grid_twin, "uneven": uneven_twin}


def compiled(variant: Variant, batch: Batch = BATCH) -> Tensor:
    assert engine.compiled(variant) is kernels
    return engine.head_states(engine.prepare(variant), batch)


def assert_equal_to_plain(variant: Variant, batch: Batch = BATCH) -> None:
    """Bit for bit; the mean of equal states to the last bits of its sum."""
    prepared = engine.prepare(variant)
    hidden, found = engine.run_lstm(prepared, batch), compiled(variant, batch)
    assert torch.equal(engine.all_states(prepared, batch), hidden[batch.mask])
    if variant.label is None and variant.spec.pooling == "mean":
        torch.testing.assert_close(found, pool(hidden, batch, "mean"), rtol=1e-6, atol=1e-6)
    else:
        assert torch.equal(found, read_states(variant.spec, hidden, batch))


def variant_of(kind: ModelKind, bits: int = 4, preset: Preset = "uniform", **sizes: object) -> Variant:
    return random_variant(kind, Recipe.preset(preset, bits).bits, **sizes)  # type: ignore[arg-type]


@cache
def twin_variant(name: str, kind: ModelKind, bits: int) -> Variant:
    return compile_variant(TWINS[name](kind, Recipe.preset("uniform", bits)))


def pooled_by(variant: Variant, pooling: str) -> Variant:
    return replace(variant, spec=variant.spec.model_copy(update={"pooling": pooling}))


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.fixture(autouse=True, params=[0, len(DOCUMENTS)], ids=["stepped", "scanned"])
def _either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few documents are scanned by one loop, many step together."""
    monkeypatch.setattr(engine, "FEW", request.param)


# Next to the plain loop


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("bits", BIT_WIDTHS)
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_states_equal_the_plain_loop_bit_for_bit(kind: ModelKind, pooling: str, bits: int, preset: Preset) -> None:
    for seed in range(4):
        variant = variant_of(kind, bits, preset, pooling=pooling, seed=seed)
        assert_equal_to_plain(variant)
        assert compiled(variant).unique().numel() > 3


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("bits", [3, 8])
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_states_of_twins_equal_the_plain_loop_bit_for_bit(kind: ModelKind, pooling: str, bits: int, name: str) -> None:
    assert_equal_to_plain(pooled_by(twin_variant(name, kind, bits), pooling))


@pytest.mark.parametrize("hidden", [1, 2, 3, 4, 5, 7, 16, 33])
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_any_number_of_units_runs(kind: ModelKind, hidden: int) -> None:
    variant = variant_of(kind, hidden=hidden)
    assert compiled(variant).shape[1] == hidden
    assert_equal_to_plain(variant)


@pytest.mark.parametrize("count", range(1, 10))
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_any_number_of_documents_runs(kind: ModelKind, count: int) -> None:
    batch = make_batch(DOCUMENTS, np.arange(count))
    assert_equal_to_plain(variant_of(kind), batch)


@pytest.mark.parametrize("lengths", [(1,), (1, 1, 1, 1, 1), (1, 9, 1, 2, 1, 1), (400, 1, 3, 2, 399), (257,)])
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_any_lengths_run(kind: ModelKind, pooling: str, lengths: tuple[int, ...]) -> None:
    variant, batch = variant_of(kind, pooling=pooling), batch_of(*lengths)
    found = compiled(variant, batch)
    assert len(found) == (sum(lengths) - len(lengths) if kind == "generative" else len(lengths))
    assert_equal_to_plain(variant, batch)


def test_the_mean_of_states_is_summed_in_one_order() -> None:
    for seed in range(4):
        variant = variant_of("discriminative", pooling="mean", seed=seed)
        hidden = engine.run_lstm(engine.prepare(variant), BATCH)
        assert torch.equal(compiled(variant), read_states(variant.spec, hidden, BATCH))


# Invariances


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_the_order_of_a_batch_changes_nothing(kind: ModelKind) -> None:
    variant, order = variant_of(kind), np.random.default_rng(1).permutation(len(DOCUMENTS))
    before, after = by_document(variant, BATCH), by_document(variant, make_batch(DOCUMENTS, order))
    assert all(torch.equal(after[place], before[document]) for place, document in enumerate(order))


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_a_document_has_the_same_states_alone_and_in_any_batch(kind: ModelKind) -> None:
    variant = variant_of(kind)
    for place, states in enumerate(by_document(variant, BATCH)):
        assert torch.equal(compiled(variant, make_batch(DOCUMENTS, np.array([place]))), states)


def by_document(variant: Variant, batch: Batch) -> tuple[Tensor, ...]:
    counts = batch.lengths - 1 if variant.label else torch.ones_like(batch.lengths)
    return compiled(variant, batch).split(counts.tolist())


@pytest.mark.parametrize("count", [1, 3, 4, 5, 9, 23])
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_the_number_of_threads_changes_nothing(kind: ModelKind, pooling: str, count: int) -> None:
    variant, batch = variant_of(kind, pooling=pooling), make_batch(DOCUMENTS, np.arange(count))
    expected = compiled(variant, batch)
    for number in (1, 2, 3, 8):
        with threads(number):
            assert torch.get_num_threads() == number
            assert torch.equal(compiled(variant, batch), expected)


def test_padding_is_never_read() -> None:
    variant = variant_of("generative")
    wild = torch.where(BATCH.mask, BATCH.ids, 10**9)
    assert torch.equal(compiled(variant, replace(BATCH, ids=wild)), compiled(variant))


def test_many_callers_at_once_get_the_same() -> None:
    prepared = engine.prepare(variant_of("generative"))
    expected = engine.head_states(prepared, BATCH)
    with threads(2), ThreadPoolExecutor(4) as callers:
        found = list(callers.map(lambda _: engine.head_states(prepared, BATCH), range(12)))
    assert all(torch.equal(states, expected) for states in found)


def test_nothing_of_the_variant_or_the_batch_is_written_to() -> None:
    variant = variant_of("generative", hidden=8)
    prepared = engine.prepare(variant)
    kept = prepared.table, prepared.recurrent, variant.bias, BATCH.ids, BATCH.lengths
    copies = [tensor.clone() for tensor in kept]
    first, second = engine.head_states(prepared, BATCH), engine.head_states(prepared, BATCH)
    assert torch.equal(first, second)
    assert all(map(torch.equal, kept, copies))


# Next to whole numbers


def level(value: np.ndarray, quantizer: Quantizer) -> np.ndarray:
    """Nearest levels of float32 values, half to even, in whole numbers."""
    assert value.dtype == np.float32
    return np.clip(np.rint(value / np.float32(quantizer.scale)), quantizer.low, quantizer.high).astype(np.int64)


def value(levels: np.ndarray, quantizer: Quantizer) -> np.ndarray:
    return levels.astype(np.float32) * np.float32(quantizer.scale)


def through(values: np.ndarray, quantizer: Quantizer) -> np.ndarray:
    return value(level(values.astype(np.float32), quantizer), quantizer)


def whole_numbers(matrix: Matrix) -> np.ndarray:
    return matrix.levels.numpy().astype(np.int64)


def slow_table(variant: Variant) -> np.ndarray:
    """What each word adds to the gates, (V, 4H)."""
    sums = whole_numbers(variant.embedding) @ whole_numbers(variant.input).T
    return sums.astype(np.float32) * (variant.embedding.scale.numpy() * variant.input.scale.numpy()[:, 0])


def slow_recurrent(variant: Variant, hidden: np.ndarray) -> np.ndarray:
    """What hidden levels (H,) add to the gates, (4H,): a sum in int64, scaled once in float32."""
    scale = variant.recurrent.scale.numpy()[:, 0] * np.float32(variant.sites["hidden_state"].scale)
    return (whole_numbers(variant.recurrent) @ hidden).astype(np.float32) * scale


Add = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
ORDERS: dict[str, Add] = {
    "documented": lambda entered, recurrent, bias: (entered + recurrent) + bias,
    "bias first": lambda entered, recurrent, bias: (entered + bias) + recurrent,
    "input last": lambda entered, recurrent, bias: (recurrent + bias) + entered,
    "rounded once": lambda entered, recurrent, bias: (
        entered.astype(np.float64) + recurrent.astype(np.float64) + bias
    ).astype(np.float32),
}


def slow_states(
    variant: Variant, ids: list[int], table: np.ndarray | None = None, add: Add | None = None
) -> np.ndarray:
    """One document's states (T, H)."""
    at, units, add = variant.sites, len(variant.bias) // 4, add or ORDERS["documented"]
    table = slow_table(variant) if table is None else table
    hidden, cell, states = np.zeros(units, np.int64), np.zeros(units, np.int64), []
    for word in ids:
        total = add(table[word], slow_recurrent(variant, hidden), variant.bias.numpy())
        gates = [through(part, at[f"{gate}_accumulator"]) for gate, part in zip(GATES, np.split(total, 4), strict=True)]
        i, f, o = (
            through(1 / (1 + np.exp(-gates[GATES.index(gate)].astype(np.float64))), at[f"{gate}_sigmoid"])
            for gate in ("input", "forget", "output")
        )
        g = through(np.tanh(gates[2].astype(np.float64)), at["cell_tanh"])
        grid = at["cell_state"]
        cell = np.clip(level(f * value(cell, grid), grid) + level(i * g, grid), grid.low, grid.high)
        shown = through(np.tanh(value(cell, grid).astype(np.float64)), at["hidden_tanh"])
        hidden = level(o * shown, at["hidden_state"])
        states.append(value(hidden, at["hidden_state"]))
    return np.array(states)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("bits", BIT_WIDTHS)
def test_states_equal_a_loop_over_whole_numbers_bit_for_bit(bits: int, preset: Preset) -> None:
    for seed, hidden in enumerate((HIDDEN, 7, 1)):
        variant = variant_of("generative", bits, preset, hidden=hidden, seed=seed)
        slow = [slow_states(variant, document_ids(BATCH, row))[:-1] for row in range(len(DOCUMENTS))]
        assert np.array_equal(compiled(variant).numpy(), np.concatenate(slow))


def prepared_with_ties(variant: Variant, first: int, second: int) -> Prepared:
    """After word `first`, word `second` brings every gate to the boundary of two levels, as near as float32 can be."""
    prepared, places = engine.prepare(variant), np.random.default_rng(0).integers(-40, 40, len(variant.bias)) + 0.5
    hidden = slow_states(variant, [first])[0] / np.float32(variant.sites["hidden_state"].scale)
    scales = np.repeat([variant.sites[f"{gate}_accumulator"].scale for gate in GATES], len(places) // 4)
    others = slow_recurrent(variant, np.rint(hidden).astype(np.int64)).astype(np.float64) + variant.bias.numpy()
    table = prepared.table.clone()
    table[second] = torch.from_numpy((places * scales - others).astype(np.float32))
    return replace(prepared, table=table)


@pytest.mark.parametrize("seed", range(4))
def test_gates_are_added_in_the_documented_order_and_no_other(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    variant, ids = variant_of("generative", 8, hidden=64, seed=seed), [5, 9, 3]
    prepared, batch = prepared_with_ties(variant, *ids[:2]), whole(encoded_of(ids))
    by_order = {name: slow_states(variant, ids, prepared.table.numpy(), add)[:-1] for name, add in ORDERS.items()}
    found = engine.head_states(prepared, batch).numpy()
    monkeypatch.setattr(engine, "compiled_kernels", lambda: None)
    assert np.array_equal(engine.head_states(prepared, batch).numpy(), found)
    assert [name for name, states in by_order.items() if np.array_equal(states, found)] == ["documented"]


def encoded_of(ids: list[int]) -> Encoded:
    return Encoded(np.array(ids, np.int32), np.array([0, len(ids)]), np.zeros(1, np.int64), 0.0, 0.0)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("name", TWINS)
def test_what_a_discriminative_head_reads_equals_a_loop_over_whole_numbers(name: str, pooling: str) -> None:
    variant, found = pooled_by(twin_variant(name, "discriminative", 3), pooling), []
    for row in range(len(DOCUMENTS)):
        states = slow_states(variant, document_ids(BATCH, row))
        found.append(states[-1] if pooling == "last" else states.astype(np.float64).mean(0))
    assert np.allclose(compiled(variant).numpy(), found, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("units", [4, 100, 1032])
@pytest.mark.parametrize("columns", [1, 4, 7, 28])
def test_sums_of_the_largest_levels_are_exact(units: int, columns: int) -> None:
    """1032 x 128 x 127 is the last below 2**24, where float32 loses its first unit."""
    draw, sums = np.random.default_rng(0), np.empty((4, columns), np.float32)
    for ends in ((-128, -128), (-128, 127), (127, 127)):
        hidden, weight = draw.choice(ends, (4, units)), draw.choice([-127, 127], (units, columns))
        weight[:, 0], hidden[0] = 127, ends[0]
        kernels._multiply(sums, hidden.astype(np.float32), weight.astype(np.float32))
        assert sums.tolist() == (hidden @ weight).tolist()


# Rounding


@pytest.mark.parametrize(("low", "high"), [(-128, 127), (0, 255), (-4, 3), (0, 7), (-1, 0)])
@pytest.mark.parametrize("scale", [1.0, 0.25, 0.0137, 3.1e-40])
def test_adding_and_taking_away_a_large_number_rounds_as_rint(low: int, high: int, scale: float) -> None:
    halves = np.arange(-300, 300, dtype=np.float32) / 2
    values = np.concatenate([halves, np.nextafter(halves, np.inf), np.nextafter(halves, -np.inf), [1e30, -1e30]])
    drawn = np.random.default_rng(0).normal(0, 60, 1000)
    values = np.concatenate([values, drawn]).astype(np.float32) * np.float32(scale)
    expected = np.clip(np.rint(values / np.float32(scale)), low, high)
    limits = np.float32(scale), np.float32(low), np.float32(high)
    assert [kernels._level(each, *limits) for each in values] == expected.tolist()


# Without numba


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_without_numba_the_plain_loop_gives_the_same_states(kind: ModelKind, monkeypatch: pytest.MonkeyPatch) -> None:
    variant = variant_of(kind)
    before = compiled(variant)
    monkeypatch.setattr(engine, "compiled_kernels", engine.compiled_kernels.__wrapped__)
    assert engine.compiled(variant) is kernels
    monkeypatch.delattr(core.quantization, "kernels")
    monkeypatch.delitem(sys.modules, "core.quantization.kernels")
    monkeypatch.setitem(sys.modules, "numba", None)
    assert engine.compiled(variant) is None
    assert torch.equal(engine.head_states(engine.prepare(variant), BATCH), before)


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_only_variants_with_every_site_quantized_are_compiled(kind: ModelKind) -> None:
    variant = variant_of(kind)
    for site in variant.sites:
        fewer = {name: quantizer for name, quantizer in variant.sites.items() if name != site}
        assert engine.compiled(replace(variant, sites=fewer)) is None
    assert engine.compiled(replace(variant, sites={})) is None
    assert engine.compiled(engine.to_device(variant, torch.device("meta"))) is None
