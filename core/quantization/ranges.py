"""Activation ranges: the percentile or maximum of what calibration saw, or fitted to the hidden states' error.

A percentile follows the tail of a signal. A recurrent state is rounded again at every step, so at few bits a
range that covers the tail leaves steps so large that one step's change rounds to zero and the state never
moves. `fit` therefore chooses the LSTM's ranges by what they do to the states that the head reads.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from core.lstm.models import Classifier, read_states
from core.quantization import engine, levels
from core.quantization.engine import LSTM_SITES, Prepared, Variant
from core.quantization.levels import Quantizer
from core.text.tokens import Batch

FIT_FACTORS = (0.5, 0.65, 0.8, 1.25, 1.6)
CELL_FACTORS = tuple(2 ** (-step / 2) for step in range(15))
FIT_SWEEPS = 3
RANGE_SHARES = torch.logspace(-2, 0, 60)
MANTISSA_BITS = 12
TINY = torch.finfo(torch.float32).tiny


@dataclass
class Magnitudes:
    """The distribution of |x| over all values added, in bins of relative width 2**-12, and the exact maximum."""

    largest: float = 0.0
    counts: Tensor = field(default_factory=lambda: torch.zeros(1 << (8 + MANTISSA_BITS), dtype=torch.int64))

    def add(self, values: Tensor) -> None:
        """Count float32 `values` of any shape."""
        if not values.numel():
            return
        magnitudes = values.abs().flatten()
        self.largest = max(self.largest, float(magnitudes.max()))
        bins = magnitudes.view(torch.int32).bitwise_right_shift_(23 - MANTISSA_BITS).cpu()
        self.counts += torch.bincount(bins, minlength=len(self.counts))

    def percentile(self, percent: float) -> float:
        """Return the smallest magnitude that at least `percent` of the values do not exceed, within 2**-12."""
        if percent >= 100:
            return self.largest
        wanted = math.ceil(percent / 100 * int(self.counts.sum()))
        place = int(torch.searchsorted(self.counts.cumsum(0), wanted))
        edge = torch.tensor((place + 1) << (23 - MANTISSA_BITS), dtype=torch.int32).view(torch.float32)
        return min(float(edge), self.largest)

    def least_square_range(self, quantizer: Quantizer) -> float:
        """Return the range that a quantizer with these levels rounds and clips with the least squared error."""
        places = torch.nonzero(self.counts).flatten()
        values = (places << (23 - MANTISSA_BITS)).int().view(torch.float32)
        weights = self.counts[places].double()
        tries = [float(share) * self.largest for share in RANGE_SHARES]
        return min(tries, key=lambda largest: _square_error(values, weights, _resized(quantizer, largest)))


def observe(variant: Variant, groups: Sequence[Batch], on_batch: Callable[[float], None]) -> dict[str, Magnitudes]:
    """Return the magnitudes at every LSTM site and at the head's inputs, of real tokens only.

    `on_batch` gets the share of documents done.
    """
    seen = {site: Magnitudes() for site in (*LSTM_SITES, "state_input")}
    if variant.label:
        seen["label_input"] = Magnitudes()
        seen["label_input"].add(variant.label.value)
    prepared = engine.prepare(variant)
    for done, batch in enumerate(groups, 1):
        parts: dict[str, list[Tensor]] = {site: [] for site in LSTM_SITES}
        hidden = engine.run_lstm(prepared, batch, lambda site, values: parts[site].append(values))  # noqa: B023
        for site, values in parts.items():
            seen[site].add(torch.cat(values))
        seen["state_input"].add(read_states(variant.spec, hidden, batch))
        on_batch(done / len(groups))
    return seen


def hidden_error(prepared: Prepared, batch: Batch, target: Tensor) -> float:
    """Return the squared error of the states the head reads, relative to the mean square of `target`."""
    states = engine.head_states(prepared, batch)
    return float((states - target).square().mean() / target.square().mean().clamp_min(TINY))


def fit(
    variant: Variant, seen: dict[str, Magnitudes], batch: Batch, target: Tensor, on_site: Callable[[float], None]
) -> dict[str, float]:
    """Return the LSTM ranges that bring the head's states closest to the float model's, `target`.

    Starts where each site alone has the least squared error, and the cell state, which decides whether
    anything moves at all, at the best of CELL_FACTORS. Then descends by coordinates: site by site, a range is
    scaled by every factor of FIT_FACTORS and the one of lowest `hidden_error` is kept, until a whole sweep
    changes nothing or FIT_SWEEPS are done.
    """
    for site in LSTM_SITES:
        variant = _with_range(variant, site, max(seen[site].least_square_range(variant.sites[site]), TINY))
    search = _Search(engine.prepare(variant), batch, target)
    search.improve("cell_state", CELL_FACTORS)
    order = ("cell_state", "hidden_state", *(site for site in LSTM_SITES if not site.endswith("_state")))
    for sweep in range(FIT_SWEEPS):
        improved = [search.improve(site, FIT_FACTORS) for site in order]
        on_site((sweep + 1) / FIT_SWEEPS if any(improved) else 1.0)
        if not any(improved):
            break
    return {site: quantizer.largest for site, quantizer in search.prepared.variant.sites.items()}


class _Search:
    """The best ranges so far and their error."""

    def __init__(self, prepared: Prepared, batch: Batch, target: Tensor) -> None:
        self.prepared, self.batch, self.target = prepared, batch, target
        self.error = hidden_error(prepared, batch, target)

    def improve(self, site: str, factors: Sequence[float]) -> bool:
        """Scale one site's range by each factor; keep the best. Returns whether any was better."""
        variant = self.prepared.variant
        tried = [_with_range(variant, site, variant.sites[site].largest * factor) for factor in factors]
        prepared = [replace(self.prepared, variant=one) for one in tried]
        with ThreadPoolExecutor(torch.get_num_threads()) as workers:
            errors = list(workers.map(lambda one: hidden_error(one, self.batch, self.target), prepared))
        error, best = min(zip(errors, prepared, strict=True), key=lambda pair: pair[0])
        improved = error < self.error
        if improved:
            self.prepared, self.error = best, error
        return improved


def reference_states(model: Classifier, batch: Batch) -> Tensor:
    """Return the float model's own states that the head reads."""
    return engine.head_states(engine.prepare(engine.from_float(model)), batch)


def _with_range(variant: Variant, site: str, largest: float) -> Variant:
    return replace(variant, sites={**variant.sites, site: _resized(variant.sites[site], largest)})


def _resized(quantizer: Quantizer, largest: float) -> Quantizer:
    return Quantizer(quantizer.scale * largest / quantizer.largest, quantizer.low, quantizer.high)


def _square_error(values: Tensor, weights: Tensor, quantizer: Quantizer) -> float:
    """Sum of squared errors over +values and -values, so that an asymmetric top level counts."""
    signs = (1, -1) if quantizer.low else (1,)
    errors = (levels.quantize(values * sign, quantizer) - values * sign for sign in signs)
    return float(sum((error.double().square() * weights).sum() for error in errors))
