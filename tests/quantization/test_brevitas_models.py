from collections.abc import Callable
from functools import cache

import pytest
import torch
from models import (
    EMBEDDING,
    HIDDEN,
    class_losses,
    closest_tie,
    documents,
    grid_twin,
    levels_of,
    real_states,
    set_grid_ranges,
    tiny,
    token_losses,
    uneven_twin,
    whole,
)
from torch import Tensor, nn

from core.config import BIT_WIDTHS, MODEL_KINDS, PRESETS, Bits, ModelKind, Preset, Recipe
from core.lstm.models import Classifier, GenerativeLSTM, next_tokens
from core.quantization import engine, packing
from core.quantization.brevitas_models import CELL_NAMES, BrevitasTwin, compile_variant
from core.quantization.engine import LSTM_SITES, Variant
from core.quantization.levels import Matrix

DOCUMENTS = documents(16)
BATCH = whole(DOCUMENTS)
SITES = (*LSTM_SITES, "state_input", "label_input")
POOLINGS = ("last", "mean")
TIE = 2.0**-12

# Which parts of a variant each setting of Bits decides.
DECIDES = {
    "embedding_weight": {"embedding"},
    "lstm_weight": {"input", "recurrent"},
    "lstm_gate_accumulator": {site for site in LSTM_SITES if site.endswith("_accumulator")},
    "lstm_sigmoid": {"input_sigmoid", "forget_sigmoid", "output_sigmoid"},
    "lstm_tanh": {"cell_tanh", "hidden_tanh"},
    "lstm_cell_state": {"cell_state"},
    "lstm_hidden_state": {"hidden_state"},
    "label_weight": {"label"},
    "head_weight": {"head"},
    "head_input": {"state_input", "label_input"},
}


def run(variant: Variant) -> tuple[Tensor, Tensor, Tensor | None]:
    hidden = engine.run_lstm(engine.prepare(variant), BATCH)
    return hidden, *class_losses(variant, BATCH, hidden)


def float_losses(model: Classifier) -> tuple[Tensor, Tensor | None]:
    """The losses of the float model by its own layers."""
    if not isinstance(model, GenerativeLSTM):
        return -torch.log_softmax(model(BATCH), dim=1), None
    states, targets, rows = next_tokens(model.hidden(BATCH.ids), BATCH)
    tokens = token_losses(states, model.label_embedding.weight, model.head.weight, model.head.bias, targets)
    return torch.zeros(len(BATCH.ids), tokens.shape[1]).index_add_(0, rows, tokens), tokens


# Without quantizers


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_the_unquantized_twin_equals_the_float_model(kind: ModelKind, pooling: str) -> None:
    model = tiny(kind, pooling=pooling)
    twin = BrevitasTwin(model, None)
    (expected, expected_tokens), (losses, tokens) = float_losses(model), twin.score(BATCH)[1:]
    torch.testing.assert_close(losses, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(losses.argmin(1), expected.argmin(1))
    assert (tokens is None) == (expected_tokens is None)
    if tokens is not None:
        torch.testing.assert_close(tokens, expected_tokens, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_the_unquantized_twin_compiles_to_the_float_variant(kind: ModelKind) -> None:
    model = tiny(kind)
    ours, theirs = engine.from_float(model), compile_variant(BrevitasTwin(model, None))
    (tensors, meta), (expected, expected_meta) = packing.to_tensors(theirs), packing.to_tensors(ours)
    assert meta == expected_meta
    assert tensors.keys() == expected.keys()
    for name in ("bias", "head_bias"):
        torch.testing.assert_close(tensors[name], expected[name], rtol=0, atol=1e-7)
    assert all(torch.equal(getattr(ours, name).value, getattr(theirs, name).value) for name in parts(ours, Matrix))


# With quantizers: the engine and Brevitas


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("bits", BIT_WIDTHS)
def test_the_engine_equals_brevitas_bit_for_bit_on_an_exact_grid(bits: int, preset: Preset) -> None:
    twin = grid_twin("discriminative", Recipe.preset(preset, bits))
    variant = compile_variant(twin)
    hidden, losses, _ = run(variant)
    assert torch.equal(real_states(hidden, BATCH), real_states(twin.hidden(BATCH.ids), BATCH))
    assert levels_of(real_states(hidden, BATCH), variant).unique().numel() > 3
    their_states, their_losses, _ = twin.score(BATCH)
    assert torch.equal(engine.head_states(engine.prepare(variant), BATCH), their_states)
    torch.testing.assert_close(losses, their_losses, rtol=0, atol=1e-5)
    assert torch.equal(losses.argmin(1), their_losses.argmin(1))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("bits", BIT_WIDTHS)
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_the_engine_equals_brevitas_with_any_ranges(kind: ModelKind, bits: int, preset: Preset) -> None:
    """Exact but where a float32 sum lies on the boundary of two levels, where rounding is decided by its order."""
    twin = uneven_twin(kind, Recipe.preset(preset, bits))
    clear = closest_tie(compile_variant(twin), BATCH) > TIE
    assert clear.float().mean() > 0.5
    for label_range in (0.71, 2.3) if kind == "generative" else (None,):  # one scale for both head inputs, or two
        if label_range:
            twin.set_range("label_input", label_range)
        variant = compile_variant(twin)
        hidden, losses, tokens = run(variant)
        theirs, (their_states, their_losses, their_tokens) = twin.hidden(BATCH.ids), twin.score(BATCH)
        assert torch.equal(hidden[clear][BATCH.mask[clear]], theirs[clear][BATCH.mask[clear]])
        read = clear if kind == "discriminative" else clear[next_tokens(hidden, BATCH)[2]]
        assert torch.equal(engine.head_states(engine.prepare(variant), BATCH)[read], their_states[read])
        torch.testing.assert_close(losses[clear], their_losses[clear], rtol=0, atol=1e-4)
        assert torch.equal(losses.argmin(1)[clear], their_losses.argmin(1)[clear])
        if tokens is not None and their_tokens is not None:
            torch.testing.assert_close(tokens[read], their_tokens[read], rtol=0, atol=1e-4)


def test_the_input_is_not_quantized_again() -> None:
    """The embeddings reach far beyond the hidden state's range; a second quantizer would cut them (brevitas #1041)."""
    model = tiny("discriminative")
    model.embedding.weight.mul_(4)
    twin = BrevitasTwin(model, Recipe.preset("uniform", 8)).requires_grad_(False)
    for site in SITES[:-1]:
        twin.set_range(site, 8.0 if site.endswith("_accumulator") else 1.0)
    assert float(twin.embedding(BATCH.ids).abs().max()) > 4 * twin.quantizer("hidden_state").largest
    once = twin.hidden(BATCH.ids)
    float_states = model.hidden(BATCH.ids)
    twin.lstm.layers[0][0].quantize_output_only = False
    twice = twin.hidden(BATCH.ids)
    assert torch.equal(run(compile_variant(twin))[0], once)
    assert float((once - float_states).square().mean()) < 0.2 * float((twice - float_states).square().mean())


# Weights


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_a_parameter_that_brevitas_does_not_know_is_refused(kind: ModelKind) -> None:
    model = tiny(kind)
    model.register_parameter("gain", nn.Parameter(torch.ones(1)))
    with pytest.raises(ValueError, match=r"missing \[\], unexpected \['gain'\]"):
        BrevitasTwin(model, None)


def test_a_missing_parameter_is_refused() -> None:
    model = tiny("discriminative")
    model.head.register_parameter("bias", None)
    with pytest.raises(ValueError, match=r"missing \['head.bias'\], unexpected \[\]"):
        BrevitasTwin(model, Recipe.preset("uniform", 4))


@pytest.mark.parametrize("recipe", [None, Recipe.preset("uniform", 4)], ids=["float", "quantized"])
@pytest.mark.parametrize(
    ("owner", "name", "lost"),
    [
        ("head", "bias", "head.bias"),
        ("embedding", "weight", "embedding.weight"),
        ("lstm", "weight_hh_l0", "hidden_weight.weight"),
    ],
)
def test_a_renamed_parameter_is_refused(owner: str, name: str, lost: str, recipe: Recipe | None) -> None:
    model = tiny("discriminative")
    layer = getattr(model, owner)
    layer.register_parameter("renamed", nn.Parameter(getattr(layer, name).clone()))
    del layer._parameters[name]
    with pytest.raises(ValueError, match=rf"missing \[.*{lost}.*\], unexpected \['{owner}.renamed'\]"):
        BrevitasTwin(model, recipe)


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_making_a_twin_leaves_the_float_model_alone(kind: ModelKind) -> None:
    model = tiny(kind)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    twin = BrevitasTwin(model, Recipe.preset("uniform", 3))
    for parameter in twin.parameters():
        parameter.data.add_(1)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("bits", BIT_WIDTHS)
def test_weights_are_narrow_range_levels_with_one_scale_per_tensor_or_gate(bits: int) -> None:
    model, last = tiny("generative"), 2 ** (bits - 1) - 1
    variant = compile_variant(BrevitasTwin(model, Recipe.preset("uniform", bits)))
    for name, weight in (("embedding", model.embedding), ("head", model.head), ("label", model.label_embedding)):
        matrix, largest = getattr(variant, name), weight.weight.abs().max()
        assert (matrix.levels.dtype, int(matrix.levels.abs().max())) == (torch.int8, last)
        torch.testing.assert_close(matrix.scale, largest.reshape(1) / last)
        torch.testing.assert_close(matrix.value, weight.weight, rtol=0, atol=float(matrix.scale) * 0.5001)
    for gate in range(4):
        rows = slice(gate * HIDDEN, (gate + 1) * HIDDEN)
        floats = torch.cat([model.lstm.weight_ih_l0[rows], model.lstm.weight_hh_l0[rows]], dim=1)
        levels = torch.cat([variant.input.levels[rows], variant.recurrent.levels[rows]], dim=1)
        scales = torch.cat([variant.input.scale[rows], variant.recurrent.scale[rows]])
        assert (levels.dtype, int(levels.abs().max())) == (torch.int8, last)
        assert scales.unique().tolist() == pytest.approx([float(floats.abs().max()) / last])
    assert len(variant.input.scale.unique()) == 4
    assert (variant.input.scale.shape, variant.input.levels.shape) == ((4 * HIDDEN, 1), (4 * HIDDEN, EMBEDDING))


def test_weight_scales_stay_when_weights_change() -> None:
    model, recipe = tiny("generative"), Recipe.preset("uniform", 4)
    twin, before = BrevitasTwin(model, recipe), compile_variant(BrevitasTwin(model, recipe))
    for module in twin.modules():
        if isinstance(weight := getattr(module, "weight", None), nn.Parameter):
            weight.data.mul_(3)
    after = compile_variant(twin)
    for name in engine.MATRICES:
        assert torch.equal(getattr(after, name).scale, getattr(before, name).scale)
        assert not torch.equal(getattr(after, name).levels, getattr(before, name).levels)
        assert getattr(after, name).levels.abs().max() == 7


# Sites


def parts(variant: Variant, kind: type) -> list[str]:
    return [name for name in engine.MATRICES if isinstance(getattr(variant, name), kind)]


@cache
def levels_at(bits: Bits) -> dict[str, int]:
    """How many levels each part of a variant can take; a weight's from the largest it does take."""
    variant = compile_variant(BrevitasTwin(tiny("generative"), Recipe(bits=bits)))
    quantizers = packing.to_tensors(variant)[1]["quantizers"]
    activations = {site: one["high"] - one["low"] + 1 for site, one in quantizers.items()}
    lstm = torch.cat([variant.input.levels, variant.recurrent.levels], dim=1)  # they share their scales
    used = {name: getattr(variant, name).levels for name in parts(variant, Matrix)} | {"input": lstm, "recurrent": lstm}
    return activations | {name: 2 * int(levels.abs().max()) + 1 for name, levels in used.items()}


def test_every_setting_of_bits_is_covered() -> None:
    assert DECIDES.keys() == Bits.model_fields.keys()
    assert set.union(*DECIDES.values()) == set(SITES) | set(engine.MATRICES)


@pytest.mark.parametrize("site", Bits.model_fields)
def test_the_bits_of_a_site_decide_its_levels_and_no_other(site: str) -> None:
    bits = Recipe.preset("uniform", 8).bits
    before, after = (levels_at(one) for one in (bits, bits.model_copy(update={site: 3})))
    assert {part for part in before if before[part] != after[part]} == DECIDES[site]
    assert {after[part] for part in DECIDES[site]} == ({7} if site.endswith("_weight") else {8})


@cache
def generative_twin() -> BrevitasTwin:
    return BrevitasTwin(tiny("generative"), Recipe.preset("uniform", 5))


def _answer(twin: BrevitasTwin, site: str) -> list[float]:
    """What a site's quantizer makes of far too small and far too large values, by Brevitas's own forward."""
    return twin._proxy(site)(torch.tensor([-1e6, 1e6]))[0].tolist()


@pytest.mark.parametrize("site", SITES)
def test_a_range_reaches_its_own_quantizer_and_no_other(site: str) -> None:
    twin = generative_twin()
    for name in SITES:
        twin.set_range(name, 1.0)
    twin.set_range(site, 0.75)
    found = {name: twin.quantizer(name) for name in SITES}
    assert {name: one.largest for name, one in found.items()} == pytest.approx({n: 1.0 for n in SITES} | {site: 0.75})
    for name, one in found.items():
        assert _answer(twin, name) == pytest.approx([one.low * one.scale, one.high * one.scale])


def test_every_site_has_a_quantizer_of_its_own() -> None:
    twin = generative_twin()
    assert CELL_NAMES.keys() == set(LSTM_SITES)
    assert len({id(twin._proxy(site)) for site in SITES}) == len(SITES)
    assert len({id(twin._range(site)) for site in SITES}) == len(SITES)


@cache
def six_bit_twin() -> BrevitasTwin:
    return grid_twin("discriminative", Recipe.preset("uniform", 6))


@pytest.mark.parametrize("site", LSTM_SITES)
def test_every_lstm_site_moves_the_states_of_engine_and_brevitas_alike(site: str) -> None:
    """A range a quarter as large at one site changes both, to the same states."""
    twin = six_bit_twin()
    set_grid_ranges(twin)
    before = real_states(twin.hidden(BATCH.ids), BATCH)
    twin.set_range(site, twin.quantizer(site).largest / 4)
    after = real_states(twin.hidden(BATCH.ids), BATCH)
    assert not torch.equal(before, after)
    assert torch.equal(real_states(run(compile_variant(twin))[0], BATCH), after)


def test_levels_that_do_not_give_back_the_weight_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    twin = BrevitasTwin(tiny("discriminative"), Recipe.preset("uniform", 4))
    wrong: Callable[[Tensor], Tensor] = lambda values: values + 0.25  # noqa: E731
    monkeypatch.setattr("core.quantization.brevitas_models.torch.round", wrong)
    with pytest.raises(ValueError, match="do not give back what Brevitas computes"):
        compile_variant(twin)
