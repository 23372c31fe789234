from dataclasses import replace
from functools import cache
from itertools import groupby

import numpy as np
import pytest
import torch
from models import CLASSES, HIDDEN, LABEL, class_losses, documents, tiny, whole
from torch import Tensor

from core.config import MODEL_KINDS, PRESETS, RANGES, HeadMethod, ModelKind, Preset, Ranges, Recipe
from core.lstm.models import Classifier
from core.quantization import engine, packing, ptq, ranges
from core.quantization.brevitas_models import BrevitasTwin, compile_variant
from core.quantization.engine import LSTM_SITES, Variant
from core.quantization.ptq import PtqReport
from core.text.tokens import Encoded, batches, make_batch

DOCUMENTS = documents(40)
SITES = {
    "discriminative": [*LSTM_SITES, "state_input"],
    "generative": [*LSTM_SITES, "state_input", "label_input"],
}


@cache
def quantized(
    kind: ModelKind, bits: int = 4, head: HeadMethod = "gpfq", rule: Ranges = "percentile", **changes: object
) -> tuple[Variant, PtqReport]:
    recipe = Recipe.preset("uniform", bits, head=head, ranges=rule, **changes)
    return ptq.quantize(tiny(kind), recipe, DOCUMENTS)


def same(one: Variant, other: Variant) -> bool:
    (tensors, meta), (others, other_meta) = packing.to_tensors(one), packing.to_tensors(other)
    return (
        meta == other_meta and tensors.keys() == others.keys() and all(map(torch.equal, *zip_values(tensors, others)))
    )


def zip_values(one: dict[str, Tensor], other: dict[str, Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    return list(one.values()), [other[name] for name in one]


def ranges_of(variant: Variant) -> dict[str, float]:
    found = {site: quantizer.largest for site, quantizer in variant.sites.items()}
    heads = {"state_input": variant.state_input, "label_input": variant.label_input}
    return found | {site: quantizer.largest for site, quantizer in heads.items() if quantizer}


def slow_inputs(states: Tensor, labels: Tensor | None) -> list[Tensor]:
    """What the head reads of one document: its last state; or every state but the last, with every label."""
    if labels is None:
        return [states[-1]]
    return [torch.cat([state, label]) for state in states[:-1] for label in labels]


def head_rows(variant: Variant) -> Tensor:
    """The inputs of a quantized head over all documents, one at a time, (m, D) in float64."""
    rows = []
    for position in range(len(DOCUMENTS)):
        states = engine.run_lstm(engine.prepare(variant), make_batch(DOCUMENTS, np.array([position])))[0]
        rows += slow_inputs(*engine.head_inputs(variant, states))
    return torch.stack(rows).double()


def float_rows(model: Classifier, kind: ModelKind) -> Tensor:
    """The same of the float model, by torch's own layers."""
    rows = []
    for position in range(len(DOCUMENTS)):
        states = model.lstm(model.embedding(make_batch(DOCUMENTS, np.array([position])).ids))[0][0]
        rows += slow_inputs(states, model.label_embedding.weight if kind == "generative" else None)
    return torch.stack(rows).double()


def textbook_gpfq(x: Tensor, x_quantized: Tensor, weight: Tensor, scale: float, last: int) -> Tensor:
    """The levels of every row w: q_t X~_t comes closest to u + w_t X_t, u the error so far (Lybrand and Saab)."""
    levels = torch.zeros_like(weight)
    for neuron, w in enumerate(weight):
        u = torch.zeros(len(x), dtype=torch.float64)
        for t in range(len(w)):
            path, column = u + w[t] * x[:, t], x_quantized[:, t]
            best = float(column @ path / (column @ column)) if bool(column.any()) else 0.0
            levels[neuron, t] = max(-last, min(last, round(best / scale)))
            u = path - levels[neuron, t] * scale * column
    return levels


# What quantize leaves alone


@pytest.mark.parametrize("head", ["round", "gpfq"])
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_the_float_model_is_left_as_it_was(kind: ModelKind, head: HeadMethod) -> None:
    model = tiny(kind).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ptq.quantize(model, Recipe.preset("uniform", 3, head=head), DOCUMENTS)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert model.training


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_quantizing_twice_gives_the_same(kind: ModelKind) -> None:
    variant, report = quantized(kind)
    again, report_again = ptq.quantize(tiny(kind), Recipe.preset("uniform", 4, ranges="percentile"), DOCUMENTS)
    assert same(variant, again)
    assert report == report_again


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_labels_are_not_read(kind: ModelKind) -> None:
    garbage = replace(DOCUMENTS, labels=np.full(len(DOCUMENTS), -(10**9)))
    variant, report = ptq.quantize(tiny(kind), Recipe.preset("uniform", 4, ranges="fitted"), garbage)
    assert same(variant, quantized(kind, rule="fitted")[0])
    assert report == quantized(kind, rule="fitted")[1]


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_other_documents_give_other_ranges(kind: ModelKind) -> None:
    other, _ = ptq.quantize(tiny(kind), Recipe.preset("uniform", 4, ranges="percentile"), documents(40, seed=1))
    assert ranges_of(other) != ranges_of(quantized(kind)[0])


# The head


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_round_is_plain_rounding_of_every_weight(kind: ModelKind, preset: Preset) -> None:
    recipe = Recipe.preset(preset, 4, head="round", ranges="percentile")
    variant, report = ptq.quantize(tiny(kind), recipe, DOCUMENTS)
    plain = compile_variant(BrevitasTwin(tiny(kind), recipe))
    expected = torch.round(tiny(kind).head.weight / variant.head.scale).clamp(-7, 7)
    assert torch.equal(variant.head.levels.float(), expected)
    for name in engine.MATRICES:
        if getattr(variant, name):
            assert torch.equal(getattr(variant, name).levels, getattr(plain, name).levels)
    assert report.head_weights_changed == 0


@pytest.mark.parametrize("bits", [3, 4])
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_gpfq_moves_weights_of_the_head_and_nothing_else(kind: ModelKind, bits: int) -> None:
    (rounded, _), (refined, report) = quantized(kind, bits, "round"), quantized(kind, bits)
    moved = float((rounded.head.levels != refined.head.levels).double().mean())
    assert 0 < moved < 1
    assert report.head_weights_changed == pytest.approx(moved)
    assert torch.equal(rounded.head.scale, refined.head.scale)
    assert int(refined.head.levels.abs().max()) <= 2 ** (bits - 1) - 1
    assert same(replace(refined, head=rounded.head), rounded)


@pytest.mark.parametrize("rule", ["percentile", "fitted"])
@pytest.mark.parametrize("bits", [3, 4])
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_gpfq_brings_the_head_closer_to_the_float_one(kind: ModelKind, bits: int, rule: Ranges) -> None:
    """The objective of the paper's equation 22, E||Xw - X~q||^2 on the calibration documents."""
    model, rounded = tiny(kind), quantized(kind, bits, "round", rule)[0]
    x, x_quantized = float_rows(model, kind), head_rows(rounded)
    wanted = x @ model.head.weight.double().T
    by_rounding, by_gpfq = (
        float((wanted - x_quantized @ variant.head.value.double().T).square().mean())
        for variant in (rounded, quantized(kind, bits, "gpfq", rule)[0])
    )
    assert by_gpfq < by_rounding


@pytest.mark.parametrize("bits", [3, 4, 5])
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_gpfq_equals_the_textbook_loop(kind: ModelKind, bits: int) -> None:
    """With X the float model's own states: Brevitas's float pass would leave the LSTM quantized."""
    model, rounded = tiny(kind), quantized(kind, bits, "round")[0]
    x, x_quantized = float_rows(model, kind), head_rows(rounded)
    scale, last = float(rounded.head.scale), 2 ** (bits - 1) - 1
    expected = textbook_gpfq(x, x_quantized, model.head.weight.double(), scale, last)
    found = quantized(kind, bits)[0].head.levels
    assert torch.equal(found.double(), expected)
    half_quantized = textbook_gpfq(x_quantized, x_quantized, model.head.weight.double(), scale, last)
    assert not torch.equal(found.double(), half_quantized)


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_no_float_weights_are_left_behind(kind: ModelKind, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[BrevitasTwin] = []
    monkeypatch.setattr(ptq, "BrevitasTwin", lambda *given: made.append(BrevitasTwin(*given)) or made[0])
    ptq.quantize(tiny(kind), Recipe.preset("uniform", 3, ranges="percentile"), DOCUMENTS)
    [twin] = made
    assert [name for name in twin.state_dict() if "orig" in name] == []
    assert [name for module in twin.modules() for name in vars(module) if "weight_orig" in name] == []


# Second moments


@pytest.mark.parametrize("batch_size", [7, 64])
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_second_moments_equal_a_sum_over_all_tokens_and_labels(kind: ModelKind, batch_size: int) -> None:
    model, variant, shares = tiny(kind), quantized(kind, 3, "round")[0], []
    groups = list(batches(DOCUMENTS, batch_size))
    h, g = ptq.second_moments(variant, engine.from_float(model), groups, shares.append)
    ours, theirs = head_rows(variant), float_rows(model, kind)
    assert h.shape == ((HIDDEN + LABEL,) * 2 if kind == "generative" else (HIDDEN, HIDDEN))
    torch.testing.assert_close(h, sum_of_products(ours, ours) / len(ours), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(g, sum_of_products(ours, theirs) / len(ours), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(g, h, atol=1e-3)
    assert (len(shares), shares[-1]) == (len(groups), 1)


def sum_of_products(left: Tensor, right: Tensor) -> Tensor:
    total = torch.zeros(left.shape[1], right.shape[1], dtype=torch.float64)
    for one, other in zip(left, right, strict=True):
        total += torch.outer(one, other)
    return total


def test_the_number_of_rows_is_tokens_times_labels() -> None:
    rows = head_rows(quantized("generative", 3, "round")[0])
    assert len(rows) == CLASSES * (int(DOCUMENTS.lengths.sum()) - len(DOCUMENTS))
    assert len(head_rows(quantized("discriminative", 3, "round")[0])) == len(DOCUMENTS)


# Ranges


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_each_rule_gives_ranges_of_its_own(kind: ModelKind) -> None:
    found = [ranges_of(quantized(kind, rule=rule, percentile=97.0)[0]) for rule in RANGES]
    fitted, percentile, largest = found
    assert all(percentile[site] < largest[site] for site in LSTM_SITES)
    assert sum(fitted[site] in (percentile[site], largest[site]) for site in LSTM_SITES) < 3
    assert fitted["cell_state"] not in (percentile["cell_state"], largest["cell_state"])


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_ranges_are_what_the_model_with_quantized_weights_and_float_activations_shows(kind: ModelKind) -> None:
    bare = replace(quantized(kind, head="round")[0], sites={}, state_input=None, label_input=None)
    seen = ranges.observe(bare, [whole(DOCUMENTS)], lambda share: None)
    percentile, largest = (
        ranges_of(quantized(kind, rule=rule, percentile=97.0, head_scales="two")[0])
        for rule in ("percentile", "minmax")
    )
    assert largest == pytest.approx({site: seen[site].largest for site in SITES[kind]}, rel=1e-5)
    assert percentile == pytest.approx({site: seen[site].percentile(97.0) for site in SITES[kind]}, rel=2.0**-11)


def test_a_lower_percentile_narrows_every_range() -> None:
    low, high = (ranges_of(quantized("generative", percentile=percent)[0]) for percent in (90.0, 99.0))
    assert all(low[site] < high[site] for site in SITES["generative"])


def test_the_head_has_one_scale_or_two() -> None:
    one, two = (quantized("generative", head_scales=scales)[0] for scales in ("one", "two"))
    assert one.state_input == one.label_input
    state, label = ranges_of(two)["state_input"], ranges_of(two)["label_input"]
    assert state < label
    assert ranges_of(one)["state_input"] == label


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_fitted_ranges_bring_the_states_closest_at_few_bits(kind: ModelKind) -> None:
    errors = {rule: quantized(kind, 3, "round", rule)[1].hidden_error for rule in RANGES}
    assert errors["fitted"] < min(errors["percentile"], errors["minmax"])


# The report


@pytest.mark.parametrize("rule", RANGES)
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_the_report_says_what_the_variant_is(kind: ModelKind, rule: Ranges) -> None:
    variant, report = quantized(kind, rule=rule)
    assert (report.documents, report.tokens) == (len(DOCUMENTS), int(DOCUMENTS.lengths.sum()))
    assert [site.site for site in report.sites] == SITES[kind]
    assert {site.site: site.range for site in report.sites} == ranges_of(variant)
    quantizers = packing.to_tensors(variant)[1]["quantizers"]
    assert {site.site: site.scale for site in report.sites} == {name: one["scale"] for name, one in quantizers.items()}
    assert {site.levels for site in report.sites} == {16}
    assert all(site.largest_seen > 0 for site in report.sites)
    sample, target = whole(DOCUMENTS), ranges.reference_states(tiny(kind), whole(DOCUMENTS))
    assert report.hidden_error == pytest.approx(ranges.hidden_error(engine.prepare(variant), sample, target), rel=1e-4)


def test_the_error_of_the_states_falls_with_more_bits() -> None:
    errors = [quantized("generative", bits, "round")[1].hidden_error for bits in (3, 5, 8)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.001 < 0.1 < errors[0]


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_eight_bits_predict_as_the_float_model_does(kind: ModelKind) -> None:
    batch, losses = whole(DOCUMENTS), []
    for variant in (engine.from_float(tiny(kind)), quantized(kind, 8)[0]):
        hidden = engine.run_lstm(engine.prepare(variant), batch)
        losses.append(class_losses(variant, batch, hidden)[0] / batch.lengths[:, None])
    torch.testing.assert_close(*losses, rtol=0, atol=0.1)
    assert (losses[0].argmin(1) == losses[1].argmin(1)).float().mean() > 0.9


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_progress_rises_to_one_in_every_stage(kind: ModelKind) -> None:
    told: list[tuple[str, float]] = []
    many: Encoded = documents(ptq.BATCH_SIZE + 10, longest=3)
    ptq.quantize(tiny(kind), Recipe.preset("uniform", 4), many, lambda stage, share: told.append((stage, share)))
    assert [stage for stage, _ in groupby(stage for stage, _ in told)] == ["calibrate", "fit", "gpfq"]
    for stage in ("calibrate", "fit", "gpfq"):
        shares = [share for name, share in told if name == stage]
        assert shares == sorted(shares)
        assert 0 < shares[0] <= shares[-1] == 1


@pytest.mark.parametrize("rule", ["percentile", "fitted"])
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_a_model_whose_states_never_move_can_be_quantized(kind: ModelKind, rule: Ranges) -> None:
    model = tiny(kind)
    for weight in model.lstm.parameters():
        weight.zero_()
    variant, report = ptq.quantize(model, Recipe.preset("uniform", 3, ranges=rule), DOCUMENTS)
    batch = whole(DOCUMENTS)
    losses, _ = class_losses(variant, batch, engine.run_lstm(engine.prepare(variant), batch))
    assert bool(losses.isfinite().all())
    assert report.hidden_error == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("rule", RANGES)
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_a_model_on_the_gpu_is_quantized_there(kind: ModelKind, rule: Ranges) -> None:
    recipe = Recipe.preset("uniform", 8, ranges=rule)
    variant, report = ptq.quantize(tiny(kind).cuda(), recipe, DOCUMENTS)
    matrices = [getattr(variant, name) for name in engine.MATRICES if getattr(variant, name)]
    tensors = [variant.bias, variant.head_bias, *(part for one in matrices for part in (one.levels, one.scale))]
    assert {tensor.device.type for tensor in tensors} == {"cuda"}
    assert report.hidden_error == pytest.approx(quantized(kind, 8, rule=rule)[1].hidden_error, rel=0.5)
