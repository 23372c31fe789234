"""What is kept of a site's values says what counting the values themselves says, at every quantizer of a variant."""

from dataclasses import replace

import models
import numpy as np
import pytest
import tiny
import torch
from compared import Place
from hypothesis import given
from hypothesis import strategies as st

from core import pipeline
from core.config import MODEL_KINDS, EvaluationSpec, ModelKind, Recipe, VariantSpec
from core.display import distributions
from core.display.distributions import BINS, SIGNALS, SITES, Rounded, Site, make_site
from core.errors import InputError
from core.measurement import stats
from core.measurement.evaluation import _sample
from core.quantization import engine, levels
from core.quantization.brevitas_models import compile_variant
from core.quantization.levels import Quantizer, quantize, to_levels
from core.storage.store import Store
from core.text import inputs
from core.text.tokens import make_batch

NUMBERS = st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=40)


def rounded_site(values: torch.Tensor, quantizer: Quantizer, name: str = "head_weight") -> Site:
    return make_site(name, values, Rounded(quantizer, values, to_levels(values, quantizer)))


def brute_gap(first: np.ndarray, second: np.ndarray) -> float:
    """The largest difference of two distribution functions over all thresholds, at each value and just below it."""
    thresholds = [*first, *second, *np.nextafter([*first, *second], -np.inf, dtype=np.float32)]
    return max(abs(float(np.mean(first <= t)) - float(np.mean(second <= t))) for t in thresholds)


@given(NUMBERS, st.integers(2, 4), st.floats(0.05, 2))
def test_the_gap_is_the_largest_over_all_thresholds(numbers: list[float], bits: int, scale: float) -> None:
    values, quantizer = torch.tensor(numbers), Quantizer(scale, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    site, after = rounded_site(values, quantizer), quantize(values, quantizer).numpy()
    assert site.gap is not None
    assert site.gap.distance == pytest.approx(brute_gap(values.numpy(), after), abs=1e-9)
    assert abs(site.gap.float_share - site.gap.quantized_share) == pytest.approx(site.gap.distance)
    assert np.float32(site.gap.at) in levels.grid_values(quantizer).numpy()


@given(NUMBERS, st.floats(0.05, 2))
def test_levels_and_clipping_are_those_of_a_slow_count(numbers: list[float], scale: float) -> None:
    quantizer = Quantizer(scale, -4, 3)
    site = rounded_site(torch.tensor(numbers), quantizer)
    levels = [float(level) for level in to_levels(torch.tensor(numbers), quantizer)]
    assert site.grid is not None
    assert (site.grid.used, len(site.grid.counts), site.grid.bits) == (len(set(levels)), 8, 3)
    assert site.grid.counts.tolist() == [levels.count(level) for level in range(-4, 4)]
    outside = [not -4 <= round(float(np.float32(x) / np.float32(scale))) <= 3 for x in numbers]
    assert site.grid.clipped_share == sum(outside) / len(numbers)
    assert site.dead == (len(set(levels)) <= 2)


@given(NUMBERS)
def test_the_bins_hold_all_values_but_the_tails(numbers: list[float]) -> None:
    site = make_site("embedding_weight", torch.tensor(numbers))
    assert (site.n, site.grid, site.gap) == (len(numbers), None, None)
    assert (site.smallest, site.largest) == (min(numbers), max(numbers))
    assert (len(site.bins), site.under + site.bins.sum()) == (BINS, len(numbers))  # too few to have a tail
    assert site.low < site.high


def test_the_tails_are_counted_and_not_drawn() -> None:
    values = torch.cat([torch.linspace(-1, 1, 10_000), torch.tensor([-100.0, 100.0])])
    site = make_site("embedding_weight", values)
    assert (site.smallest, site.largest) == (-100, 100)
    assert -1 < site.low < -0.98
    assert site.under == int((values < site.low).sum())
    inside = int(((values >= np.float32(site.low)) & (values <= np.float32(site.high))).sum())
    assert site.bins.sum() == inside


def test_a_unit_that_never_changes_is_counted() -> None:
    values = torch.tensor([[0.0, 0.3, 1.0], [0.0, 0.4, -1.0], [0.1, 0.5, 1.0]])  # 0.5 is rounded to 0, the even one
    site = rounded_site(values, Quantizer(1.0, -4, 3), "hidden_state")
    assert (site.units, site.still, site.dead) == (3, 2, False)
    assert rounded_site(values[:, :2], Quantizer(1.0, -4, 3), "hidden_state").dead
    own = torch.tensor([[1.0, 2.0, 3.0]]).repeat(5, 1)
    assert rounded_site(own, Quantizer(1.0, -4, 3), "hidden_state").dead
    assert not rounded_site(own, Quantizer(1.0, -4, 3)).dead
    assert make_site("hidden_state", own).dead
    assert not make_site("embedding_weight", own).dead


@pytest.mark.parametrize("model", MODEL_KINDS)
@pytest.mark.parametrize("preset", ["uniform", "paper-code"])
def test_every_site_is_what_its_values_say(copy: Place, model: ModelKind, preset: str) -> None:
    spec = copy.settings(preset=preset, bits=8 if preset == "paper-code" else 3).spec(model).variant
    found = distributions.measure(spec)
    expected = [site for site in SITES if model == "generative" or not site.startswith("label")]
    assert [site.name for site in found.sites] == expected
    plain, ours = (pipeline.resident(one).prepared for one in (VariantSpec(run=spec.run), spec))
    resolved = pipeline.resolve(EvaluationSpec(variant=spec))
    sample = _sample(inputs.encode_documents(resolved, None)[0], 64)
    batch = make_batch(sample, np.arange(len(sample)))
    assert (found.documents, found.tokens) == (len(sample), int(sample.lengths.sum()))
    before, entered = distributions.observe(plain, batch), distributions.observe(ours, batch)
    sites = {**ours.variant.sites, "state_input": ours.variant.state_input, "label_input": ours.variant.label_input}
    for name, values in before.items():
        site, after = found.site(name), quantize(entered[name], sites[name])
        assert (site.n, site.units is None) == (values.numel(), name not in SIGNALS)
        assert site.gap is not None
        assert site.grid is not None
        assert site.gap.distance == pytest.approx(stats.ks_two_sample(values, after).statistic)
        assert site.grid.used == len(set(after.flatten().tolist()))
    states = engine.run_lstm(plain, batch)[batch.mask].flatten().sort().values
    assert torch.allclose(before["hidden_state"].flatten().sort().values, states, atol=1e-5)


@pytest.mark.parametrize("model", MODEL_KINDS)
def test_the_gates_tensors_and_the_other_weights_are_those_of_the_variant(copy: Place, model: ModelKind) -> None:
    spec = copy.settings(bits=4).spec(model).variant
    found, variant = distributions.measure(spec), pipeline.resident(spec).variant
    plain = pipeline.resident(VariantSpec(run=spec.run)).variant
    pairs = {"embedding_weight": (plain.embedding.value, variant.embedding.value)}
    pairs["head_weight"] = plain.head.value, variant.head.value
    for place, gate in enumerate(engine.GATES):
        rows = slice(place * len(variant.bias) // 4, (place + 1) * len(variant.bias) // 4)
        pairs[f"{gate}_weight_ih"] = plain.input.value[rows], variant.input.value[rows]
        pairs[f"{gate}_weight_hh"] = plain.recurrent.value[rows], variant.recurrent.value[rows]
    for name, (before, after) in pairs.items():
        site = found.site(name)
        assert site.grid is not None
        assert site.gap is not None
        assert (site.n, site.grid.bits, len(site.grid.counts)) == (before.numel(), 4, 15)
        assert site.grid.used == len(set(after.flatten().tolist()))
        assert site.gap.distance == pytest.approx(stats.ks_two_sample(before, after).statistic)
        assert site.grid.clipped == 0
    assert [site.name for site in found.gates("cell_tanh")] == [
        "input_sigmoid",
        "forget_sigmoid",
        "cell_tanh",
        "output_sigmoid",
    ]
    assert found.gates("cell_state") == ()


def test_what_was_measured_is_read_back_and_nothing_is_made(copy: Place) -> None:
    spec = copy.settings(bits=3).spec("discriminative").variant
    first = distributions.measure(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distributions, "observe", lambda *_: pytest.fail("it is stored"))
        again = distributions.measure(spec)
    assert distributions.site_table(again) == distributions.site_table(first)
    assert [site.bins.tolist() for site in again.sites] == [site.bins.tolist() for site in first.sites]
    assert len(Store().keys(distributions.KIND)) == 1
    assert distributions.ready(spec)
    tiny.forget_corpora()
    Store().clean("variants")
    assert distributions.ready(spec)


def test_float_alone_has_no_grid(copy: Place) -> None:
    spec = copy.settings().spec("generative").variant
    found = distributions.measure(VariantSpec(run=spec.run))
    assert not found.quantized
    table = distributions.site_table(found)
    assert {row["D"] for row in table} == {row["levels"] for row in table} == {None}
    assert all(row["n"] > 0 and row["float lowest"] < row["float highest"] for row in table)


def test_an_untrained_model_is_not_ready_and_an_unknown_corpus_is_refused(own: str) -> None:
    spec = tiny.specify(own, bits=3).variant
    assert not distributions.ready(spec)
    with pytest.raises(InputError, match="nowhere"):
        distributions.ready(tiny.specify("nowhere.csv", bits=3).variant)


def test_a_cell_state_whose_step_is_too_large_is_dead() -> None:
    twin = models.grid_twin("discriminative", Recipe.preset("uniform", 3))
    variant = compile_variant(twin)
    batch = models.whole(models.documents(12))
    sites = {**variant.sites, "cell_state": Quantizer(100.0, -4, 3)}
    found = distributions.observe(engine.prepare(replace(variant, sites=sites)), batch)
    site = rounded_site(found["cell_state"], sites["cell_state"], "cell_state")
    assert site.dead
    assert site.still == site.units
