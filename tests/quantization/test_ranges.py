import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from models import CLASSES, HIDDEN, LABEL, documents, real_states, tiny, whole
from torch import Tensor

from core.config import MODEL_KINDS, ModelKind, Recipe
from core.lstm.models import Classifier
from core.quantization import engine, ranges
from core.quantization.brevitas_models import BrevitasTwin, compile_variant
from core.quantization.engine import LSTM_SITES, Variant
from core.quantization.levels import Quantizer, quantize
from core.quantization.ranges import Magnitudes
from core.text.tokens import batches

DOCUMENTS = documents(40)
BATCH = whole(DOCUMENTS)
PRECISION = 2.0**-11
SIGNED, UNSIGNED = Quantizer.of_range(1.0, 3), Quantizer.of_range(1.0, 3, signed=False)

floats = hnp.arrays(np.float32, st.integers(1, 60), elements=st.floats(-1e3, 1e3, width=32))


def magnitudes(values: np.ndarray, pieces: int = 1) -> Magnitudes:
    seen = Magnitudes()
    for piece in np.array_split(values, pieces):
        seen.add(torch.from_numpy(piece))
    return seen


def slow_percentile(values: np.ndarray, percent: float) -> float:
    """The smallest magnitude that at least `percent` of the values do not exceed."""
    ordered = np.sort(np.abs(values))
    return float(ordered[max(math.ceil(percent / 100 * len(ordered)), 1) - 1])


def square_error(values: Tensor, quantizer: Quantizer, largest: float) -> float:
    levels = quantizer.high if not quantizer.low else -quantizer.low
    sized = Quantizer(largest / levels, quantizer.low, quantizer.high)
    signed = torch.cat([values, -values]) if quantizer.low else values
    return float((quantize(signed, sized) - signed).double().square().sum())


def observed(variant: Variant, batch_size: int) -> tuple[dict[str, Magnitudes], list[float]]:
    shares: list[float] = []
    return ranges.observe(variant, list(batches(DOCUMENTS, batch_size)), shares.append), shares


def calibrated(model: Classifier, bits: int) -> tuple[Variant, dict[str, Magnitudes]]:
    """A quantized variant whose ranges are the largest values seen, and what was seen."""
    twin = BrevitasTwin(model, Recipe.preset("uniform", bits))
    quantized = compile_variant(twin)
    seen, _ = observed(replace(quantized, sites={}, state_input=None, label_input=None), 64)
    for site in LSTM_SITES:
        twin.set_range(site, seen[site].largest)
    return compile_variant(twin), seen


def with_ranges(variant: Variant, chosen: dict[str, float]) -> Variant:
    old = variant.sites
    sites = {
        site: replace(old[site], scale=old[site].scale * size / old[site].largest) for site, size in chosen.items()
    }
    return replace(variant, sites=sites)


def states(variant: Variant) -> Tensor:
    return real_states(engine.run_lstm(engine.prepare(variant), BATCH), BATCH)


def error(variant: Variant, target: Tensor) -> float:
    return ranges.hidden_error(engine.prepare(variant), BATCH, target)


# Magnitudes


@given(floats, st.floats(50.5, 99.99))
def test_a_percentile_equals_that_of_the_sorted_values(values: np.ndarray, percent: float) -> None:
    exact, found = slow_percentile(values, percent), magnitudes(values).percentile(percent)
    assert exact <= found <= max(exact * (1 + PRECISION), 1e-40)


@pytest.mark.parametrize("percent", [50.0, 90.0, 99.0, 99.9, 99.99])
def test_percentiles_of_many_values(percent: float) -> None:
    values = np.random.default_rng(0).standard_t(3, size=50_000).astype(np.float32)
    found = magnitudes(values).percentile(percent)
    assert found == pytest.approx(slow_percentile(values, percent), rel=PRECISION)
    assert found == pytest.approx(np.percentile(np.abs(values), percent, method="inverted_cdf"), rel=PRECISION)


@given(floats)
def test_the_hundredth_percentile_is_the_exact_maximum(values: np.ndarray) -> None:
    assert magnitudes(values).percentile(100) == float(np.abs(values).max())


@given(floats, st.integers(2, 7))
def test_many_adds_equal_one(values: np.ndarray, pieces: int) -> None:
    one, many = magnitudes(values), magnitudes(values, pieces)
    assert (one.largest, int(one.counts.sum())) == (many.largest, len(values))
    assert torch.equal(one.counts, many.counts)


def test_adding_does_not_change_the_values_and_takes_any_shape() -> None:
    values = torch.linspace(-2, 3, 24).reshape(2, 3, 4)
    before, seen = values.clone(), Magnitudes()
    seen.add(values.transpose(0, 2))
    assert torch.equal(values, before)
    assert (seen.largest, int(seen.counts.sum())) == (3.0, 24)


def test_zeros_and_nothing_have_no_magnitude() -> None:
    assert [magnitudes(np.zeros(5, np.float32)).percentile(percent) for percent in (60, 99.99, 100)] == [0, 0, 0]
    assert [Magnitudes().percentile(percent) for percent in (60, 100)] == [0, 0]
    mostly = magnitudes(np.array([0, -0.0, 0, 0, 2], np.float32))
    assert mostly.percentile(80) == pytest.approx(0, abs=1e-40)
    assert mostly.percentile(81) == 2


@pytest.mark.parametrize("quantizer", [SIGNED, UNSIGNED], ids=["signed", "unsigned"])
@pytest.mark.parametrize("tail", [1.5, 3, 100])
def test_the_least_square_range_is_found_by_brute_force_too(quantizer: Quantizer, tail: float) -> None:
    values = torch.from_numpy(np.abs(np.random.default_rng(1).standard_t(tail, size=3000)).astype(np.float32))
    found = magnitudes(values.numpy()).least_square_range(quantizer)
    tries = float(values.max()) * np.geomspace(0.01, 1, 800)
    same_tries = float(values.max()) * ranges.RANGE_SHARES.numpy()
    best, best_of_same = (min(square_error(values, quantizer, float(s)) for s in one) for one in (tries, same_tries))
    assert square_error(values, quantizer, found) <= 1.05 * best
    assert square_error(values, quantizer, found) <= 1.001 * best_of_same
    assert found <= float(values.max()) * (1 + 1e-6)


def test_a_heavy_tail_is_clipped_and_a_flat_one_is_not() -> None:
    flat = np.linspace(0, 1, 2000, dtype=np.float32)
    assert magnitudes(flat).least_square_range(UNSIGNED) > 0.9
    assert magnitudes(np.append(flat, np.float32(3))).least_square_range(UNSIGNED) < 1.5


# What calibration sees


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_observing_counts_real_tokens_only(kind: ModelKind) -> None:
    seen, shares = observed(engine.from_float(tiny(kind)), 16)
    tokens = int(DOCUMENTS.lengths.sum())
    read = tokens - len(DOCUMENTS) if kind == "generative" else len(DOCUMENTS)
    expected = dict.fromkeys(LSTM_SITES, tokens * HIDDEN) | {"cell_state": 3 * tokens * HIDDEN}
    expected |= {"state_input": read * HIDDEN} | ({"label_input": CLASSES * LABEL} if kind == "generative" else {})
    assert {site: int(one.counts.sum()) for site, one in seen.items()} == expected
    assert shares == pytest.approx([1 / 3, 2 / 3, 1])


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_what_is_observed_does_not_depend_on_the_batches(kind: ModelKind) -> None:
    variant = engine.from_float(tiny(kind))
    (small, _), (large, _) = observed(variant, 4), observed(variant, 64)
    for site, one in small.items():
        assert one.largest == pytest.approx(large[site].largest, rel=1e-5)
        for percent in (60, 90, 99.9):
            assert one.percentile(percent) == pytest.approx(large[site].percentile(percent), rel=PRECISION)


def test_the_sites_of_the_float_model_are_observed_as_torch_computes_them() -> None:
    model = tiny("discriminative")
    seen, _ = observed(engine.from_float(model), 64)
    hidden = model.lstm(model.embedding(BATCH.ids))[0]
    last = hidden[torch.arange(len(hidden)), BATCH.lengths - 1]
    assert seen["hidden_state"].largest == pytest.approx(float(real_states(hidden, BATCH).abs().max()), rel=1e-5)
    assert seen["state_input"].largest == pytest.approx(float(last.abs().max()), rel=1e-5)


# Errors of the states that the head reads


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_reference_states_are_those_of_the_float_model(kind: ModelKind, pooling: str) -> None:
    model = tiny(kind, pooling=pooling)
    hidden, rows = model.lstm(model.embedding(BATCH.ids))[0], []
    for document, length in zip(hidden, BATCH.lengths.tolist(), strict=True):
        real = document[:length]
        read = {"last": real[-1:], "mean": real.mean(0, keepdim=True)}[pooling]
        rows.append(real[:-1] if kind == "generative" else read)
    found = ranges.reference_states(model, BATCH)
    torch.testing.assert_close(found, torch.cat(rows), rtol=0, atol=1e-6)
    assert error(engine.from_float(model), found) == 0


def test_the_hidden_error_is_relative_to_the_mean_square_of_the_target() -> None:
    variant = engine.from_float(tiny("generative"))
    target = ranges.reference_states(tiny("generative"), BATCH)
    assert error(variant, target * 2) == pytest.approx(1 / 4)
    assert error(variant, target * -1) == pytest.approx(4)


def test_more_bits_bring_the_states_closer() -> None:
    target = ranges.reference_states(tiny("generative"), BATCH)
    errors = [error(calibrated(tiny("generative"), bits)[0], target) for bits in (3, 5, 8)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.01 < errors[0]


# Fitted ranges


@pytest.mark.parametrize("bits", [3, 5])
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_fitting_never_ends_worse_than_it_starts(kind: ModelKind, bits: int) -> None:
    model, shares = tiny(kind), []
    variant, seen = calibrated(model, bits)
    target = ranges.reference_states(model, BATCH)
    chosen = ranges.fit(variant, seen, BATCH, target, shares.append)
    fitted = error(with_ranges(variant, chosen), target)
    start = {site: seen[site].least_square_range(variant.sites[site]) for site in LSTM_SITES}
    assert chosen.keys() == set(LSTM_SITES)
    assert fitted < error(with_ranges(variant, start), target)
    assert fitted < error(variant, target)
    assert (shares, shares[-1]) == (sorted(shares), 1)


def test_no_single_range_could_be_scaled_to_a_lower_error_after_fitting() -> None:
    """Coordinate descent stopped where it says it does, or ran out of sweeps."""
    model, shares = tiny("discriminative"), []
    variant, seen = calibrated(model, 6)
    target = ranges.reference_states(model, BATCH)
    chosen = ranges.fit(variant, seen, BATCH, target, shares.append)
    least = error(with_ranges(variant, chosen), target)
    tries = [{**chosen, site: chosen[site] * factor} for site in LSTM_SITES for factor in ranges.FIT_FACTORS]
    better = [ranged for ranged in tries if error(with_ranges(variant, ranged), target) < least * 0.999]
    assert not better or len(shares) == ranges.FIT_SWEEPS


def drifting(model: Classifier) -> Classifier:
    """Make the cell states climb by almost 1 at every step: forget gate open, input gate open, candidate near 1."""
    for gate, bias in enumerate((3.0, 8.0, 3.0, 0.0)):
        rows = slice(gate * HIDDEN, (gate + 1) * HIDDEN)
        model.lstm.bias_ih_l0[rows] = bias
        model.lstm.weight_ih_l0[rows] *= 2 if gate == 3 else 0.3
    return model


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_fitting_revives_an_lstm_whose_cell_state_range_had_killed_it(kind: ModelKind) -> None:
    """Where states drift to 14, a step of 3 bits is 3.5: every increment, below 1, rounds to nothing."""
    model = drifting(tiny(kind))
    data = documents(40, longest=20)
    batch, target = whole(data), ranges.reference_states(model, whole(data))
    twin = BrevitasTwin(model, Recipe.preset("uniform", 3))
    bare = replace(compile_variant(twin), sites={}, state_input=None, label_input=None)
    seen = ranges.observe(bare, [batch], lambda share: None)
    for site in LSTM_SITES:
        twin.set_range(site, seen[site].percentile(99.99))
    dead = compile_variant(twin)
    hidden = engine.run_lstm(engine.prepare(dead), batch)
    assert seen["cell_state"].percentile(99.99) > 14
    assert torch.equal(hidden, torch.zeros_like(hidden))
    assert ranges.hidden_error(engine.prepare(dead), batch, target) == 1
    fitted = with_ranges(dead, ranges.fit(dead, seen, batch, target, lambda share: None))
    alive = real_states(engine.run_lstm(engine.prepare(fitted), batch), batch)
    assert float(alive.var(dim=0).mean()) > 0.01
    assert ranges.hidden_error(engine.prepare(fitted), batch, target) < 0.5


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_a_model_whose_states_never_move_can_be_fitted(kind: ModelKind) -> None:
    model = tiny(kind)
    for weight in model.lstm.parameters():
        weight.zero_()
    variant, seen = calibrated(model, 3)
    chosen = ranges.fit(variant, seen, BATCH, ranges.reference_states(model, BATCH), lambda share: None)
    assert all(math.isfinite(size) for size in chosen.values())
    assert not states(with_ranges(variant, chosen)).isnan().any()
