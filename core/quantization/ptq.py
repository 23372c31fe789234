"""Post-training quantization: quantize the weights, calibrate the activation ranges, refine the head by GPFQ.

Ranges come from the calibration documents run through the model with quantized weights and float activations.
`percentile` is the percentile of the absolute values over all calibration tokens at once (Brevitas averages one
percentile per call, which depends on how calls are batched); padding is never seen, labels never used.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from brevitas.graph.gpfq import GPFQ
from torch import Tensor

from core.config import Recipe
from core.lstm.models import Classifier
from core.quantization import engine, levels, ranges
from core.quantization.brevitas_models import BrevitasTwin, compile_variant
from core.quantization.engine import LSTM_SITES, Variant
from core.quantization.levels import Quantizer
from core.quantization.ranges import Magnitudes
from core.seeding import numpy_generator
from core.text.tokens import Batch, Encoded, batches, make_batch

BATCH_SIZE = 256
FIT_DOCUMENTS = 128
HEAD_SITES = ("state_input", "label_input")
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class SiteReport:
    """An activation site: its number of levels, their scale, the range they cover, the largest value seen."""

    site: str
    levels: int
    scale: float
    range: float
    largest_seen: float


@dataclass(frozen=True)
class PtqReport:
    """What calibration and GPFQ touched.

    `head_weights_changed` is the share of head weights that GPFQ moved to another level than rounding gives,
    `hidden_error` the relative squared error of the states that the head reads (see `ranges.hidden_error`).
    """

    documents: int
    tokens: int
    sites: tuple[SiteReport, ...]
    head_weights_changed: float
    hidden_error: float


def quantize(
    model: Classifier,
    recipe: Recipe,
    calibration: Encoded,
    on_progress: Progress = lambda stage, share: None,
    name: Hashable = None,
) -> tuple[Variant, PtqReport]:
    """Return the quantized variant of a float model, and a report; the model is left as it was.

    `calibration.labels` are not read. `on_progress(stage, share of the stage)` is called as work goes on. With a
    `name` for model and documents, what calibration saw is kept for the next recipe that has the same weights.
    """
    twin = BrevitasTwin(model, recipe)
    groups = [batch.to(model.head.weight.device) for batch in batches(calibration, BATCH_SIZE)]
    seen = _observe(twin, recipe, groups, name, partial(on_progress, "calibrate"))
    _set_ranges(twin, {site: _range(recipe, seen[site]) for site in LSTM_SITES})
    sample = _fit_sample(calibration).to(model.head.weight.device)
    target = ranges.reference_states(model, sample)
    if recipe.ranges == "fitted":
        _set_ranges(twin, ranges.fit(compile_variant(twin), seen, sample, target, partial(on_progress, "fit")))
    _set_ranges(twin, _head_ranges(recipe, seen))
    if recipe.cell_range:
        _set_ranges(twin, {"cell_state": recipe.cell_range})
    rounded = compile_variant(twin)
    if reference := _gpfq_reference(recipe, engine.from_float(model), rounded):
        _refine_head(twin, reference, rounded, groups, partial(on_progress, "gpfq"))
    variant = compile_variant(twin)
    changed = float((variant.head.levels != rounded.head.levels).float().mean())
    error = ranges.hidden_error(engine.prepare(variant), sample, target)
    return variant, PtqReport(len(calibration), int(calibration.lengths.sum()), _sites(variant, seen), changed, error)


def second_moments(
    quantized: Variant, reference: Variant, groups: Sequence[Batch], on_batch: Callable[[float], None]
) -> tuple[Tensor, Tensor]:
    """Return H = E[x~ x~^T] and G = E[x~ x^T] of the head's inputs, (D, D), D = H or H + L.

    x~ is the quantized model's input, x the float model's own. A generative head is fed every class's label
    with every state; as inputs are [h; l], its moments follow from those of states and labels alone.
    """
    pair = [engine.prepare(variant) for variant in (quantized, reference)]
    size = quantized.recurrent.levels.shape[1]
    states_h, states_g = torch.zeros(2, size, size, dtype=torch.float64)
    sums, count = torch.zeros(2, size, dtype=torch.float64), 0
    for done, batch in enumerate(groups, 1):
        ours, theirs = (_head_states(prepared, batch) for prepared in pair)
        states_h += (ours.T @ ours).double().cpu()
        states_g += (ours.T @ theirs).double().cpu()
        sums += torch.stack([ours.sum(0), theirs.sum(0)]).double().cpu()
        count += len(ours)
        on_batch(done / len(groups))
    if quantized.label is None:
        return states_h / count, states_g / count
    our_labels, their_labels = _head_labels(quantized), _head_labels(reference)
    our_mean, their_mean = sums / count
    h = _joined(states_h / count, our_mean, our_mean, our_labels, our_labels)
    return h, _joined(states_g / count, our_mean, their_mean, our_labels, their_labels)


def _joined(states: Tensor, mean_a: Tensor, mean_b: Tensor, labels_a: Tensor, labels_b: Tensor) -> Tensor:
    """E[[h_a; l_a] [h_b; l_b]^T] where every state meets every label: (H + L, H + L)."""
    top = torch.cat([states, torch.outer(mean_a, labels_b.mean(0))], dim=1)
    bottom = torch.cat([torch.outer(labels_a.mean(0), mean_b), labels_a.T @ labels_b / len(labels_a)], dim=1)
    return torch.cat([top, bottom])


def _head_labels(variant: Variant) -> Tensor:
    labels = engine.head_inputs(variant, variant.bias)[1]
    assert labels is not None
    return labels.double().cpu()


def _head_states(prepared: engine.Prepared, batch: Batch) -> Tensor:
    return engine.head_inputs(prepared.variant, engine.head_states(prepared, batch))[0]


class _ColumnGPFQ(GPFQ):
    """Brevitas's update. Each step asks for the quantized columns so far, and only the newest is not known yet."""

    quantizer: Quantizer
    history: Tensor

    def get_quant_weights(self, step: int, *_: object, **__: object) -> Tensor:
        if step == 0:
            self.history = torch.empty_like(self.layer.weight)
        else:
            self.history[:, step - 1] = levels.quantize(self.layer.weight[:, step - 1], self.quantizer)
        return self.history[None, :, :step]


def _gpfq_reference(recipe: Recipe, model: Variant, rounded: Variant) -> Variant | None:
    """Return what GPFQ takes for float, None without it.

    Brevitas switches quantizers off for that pass, but its LSTM cell does not listen: "gpfq-stock" keeps the LSTM's
    activations quantized, as that does, and takes all weights and the head's input in float.
    """
    if recipe.head == "gpfq-stock":
        return replace(model, sites=rounded.sites)
    return model if recipe.head == "gpfq" else None


@torch.no_grad()
def _refine_head(
    twin: BrevitasTwin, reference: Variant, rounded: Variant, groups: Sequence[Batch], on_batch: Callable[[float], None]
) -> None:
    """Run Brevitas's GPFQ update (paper, section 4.2.3) on the head, with exact moments of all inputs."""
    device = twin.head.weight.device
    settings = {"act_order": False, "len_parallel_layers": 1, "create_weight_orig": True, "device": device}
    refiner = _ColumnGPFQ(twin.head, "head", **settings)
    refiner.quantizer = twin.weight_quantizer(twin.head)
    h, g = second_moments(rounded, reference, groups, on_batch)
    refiner.H, refiner.G = h.float()[None].to(device), g.float()[None].to(device)
    refiner.single_layer_update()
    del twin.head.weight_orig


_last_seen: dict[Hashable, dict[str, Magnitudes]] = {}


def _observe(
    twin: BrevitasTwin, recipe: Recipe, groups: Sequence[Batch], name: Hashable, on_batch: Callable[[float], None]
) -> dict[str, Magnitudes]:
    bits = recipe.bits
    key = (name, bits.embedding_weight, bits.lstm_weight, bits.label_weight)
    if name is None or (seen := _last_seen.get(key)) is None:
        seen = ranges.observe(_float_activations(twin), groups, on_batch)
        if name is not None:
            _last_seen.clear()
            _last_seen[key] = seen
    return seen


def _float_activations(twin: BrevitasTwin) -> Variant:
    return replace(compile_variant(twin), sites={}, state_input=None, label_input=None)


def _range(recipe: Recipe, seen: Magnitudes) -> float:
    return seen.largest if recipe.ranges == "minmax" else seen.percentile(recipe.percentile)


def _head_ranges(recipe: Recipe, seen: dict[str, Magnitudes]) -> dict[str, float]:
    """Ranges of the head's inputs; with one scale for both, the larger of the two."""
    found: dict[str, float] = {site: _range(recipe, seen[site]) for site in HEAD_SITES if site in seen}
    return dict.fromkeys(found, max(found.values())) if recipe.head_scales == "one" else found


def _set_ranges(twin: BrevitasTwin, chosen: dict[str, float]) -> None:
    for site, largest in chosen.items():
        twin.set_range(site, max(largest, ranges.TINY))


def _fit_sample(calibration: Encoded) -> Batch:
    order = numpy_generator(0, "fit sample").permutation(len(calibration))
    return make_batch(calibration, order[:FIT_DOCUMENTS])


def _sites(variant: Variant, seen: dict[str, Magnitudes]) -> tuple[SiteReport, ...]:
    heads = {"state_input": variant.state_input, "label_input": variant.label_input}
    used = {**variant.sites, **{site: quantizer for site, quantizer in heads.items() if quantizer}}
    return tuple(_site(site, quantizer, seen[site]) for site, quantizer in used.items())


def _site(site: str, quantizer: Quantizer, seen: Magnitudes) -> SiteReport:
    levels = quantizer.high - quantizer.low + 1
    return SiteReport(site, levels, quantizer.scale, quantizer.largest, seen.largest)
