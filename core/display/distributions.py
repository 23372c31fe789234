"""Every quantizer site of a variant, weights and signals: its values in float beside the levels they became.

Signals are those of a fixed sample of test documents, read by the float model and by the quantized one. What is kept of
millions of values: counts in BINS equal bins over their central part, counts on every level, and how many float values
lie below and up to each level, which is all that the largest gap between the two distribution functions needs.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from core import pipeline
from core.config import EvaluationSpec, Recipe, Spec, VariantSpec
from core.lstm.models import read_states
from core.measurement.evaluation import ACTIVATION_DOCUMENTS, _sample
from core.measurement.stats import Floats, Ints
from core.pipeline import SILENT, Progress
from core.quantization import engine
from core.quantization.engine import GATES, LSTM_SITES, Prepared, Variant
from core.quantization.levels import Quantizer, grid_values, to_levels
from core.storage.records import provenance
from core.storage.store import Row, Store
from core.text import inputs
from core.text.tokens import Batch, make_batch

KIND = "distributions"
BINS = 400
TAIL = 0.005
DEAD_LEVELS = 2

_TANH = {"cell": "tanh"}
GATE_GROUPS: dict[str, tuple[str, ...]] = {
    "input weight": tuple(f"{gate}_weight_ih" for gate in GATES),
    "recurrent weight": tuple(f"{gate}_weight_hh" for gate in GATES),
    "accumulator": tuple(f"{gate}_accumulator" for gate in GATES),
    "activation": tuple(f"{gate}_{_TANH.get(gate, 'sigmoid')}" for gate in GATES),
}
_WEIGHT_BITS = {"embedding_weight": "embedding_weight", "label_weight": "label_weight", "head_weight": "head_weight"}
_WEIGHT_BITS |= dict.fromkeys((*GATE_GROUPS["input weight"], *GATE_GROUPS["recurrent weight"]), "lstm_weight")
SITES = (
    "embedding_weight",
    *GATE_GROUPS["input weight"],
    *GATE_GROUPS["recurrent weight"],
    "label_weight",
    "head_weight",
    *LSTM_SITES,
    "state_input",
    "label_input",
)
SIGNALS = (*LSTM_SITES, "state_input")
_FACTS = ("name", "n", "smallest", "largest", "low", "high", "under", "units", "still")


class DistributionSpec(Spec):
    """A variant, and how many test documents its signals are taken from."""

    variant: VariantSpec
    documents: int = ACTIVATION_DOCUMENTS


@dataclass(frozen=True)
class Gap:
    """Kolmogorov-Smirnov D: the largest gap between two distribution functions, at a value, between two shares."""

    distance: float
    at: float
    float_share: float
    quantized_share: float


@dataclass(frozen=True, eq=False)
class Grid:
    """What became of a site's values: how many (L,) lie on each level, the lowest first.

    `below` and `upto` (L,) count the float values below each level's value, and up to it; `clipped` counts the values
    that entered the quantizer more than half a step beyond its outermost levels.
    """

    quantizer: Quantizer
    counts: Ints
    below: Ints
    upto: Ints
    clipped: int

    @property
    def values(self) -> Floats:
        """What each level is worth, (L,)."""
        return grid_values(self.quantizer).double().numpy()

    @property
    def used(self) -> int:
        """How many levels hold a value."""
        return int(np.count_nonzero(self.counts))

    @property
    def bits(self) -> int:
        return (len(self.counts) - 1).bit_length()

    @property
    def clipped_share(self) -> float:
        return self.clipped / float(self.counts.sum())


@dataclass(frozen=True, eq=False)
class Site:
    """A site's n float values from `smallest` to `largest`, as many quantized ones, and their grid if there is one.

    All but a share TAIL at either end are counted in BINS equal bins from `low` to `high`; `under` lie below `low`.
    Of a signal, `still` of its `units` have one value throughout: quantized if it is, else in float.
    """

    name: str
    n: int
    smallest: float
    largest: float
    low: float
    high: float
    under: int
    bins: Ints
    units: int | None
    still: int | None
    grid: Grid | None

    @property
    def edges(self) -> Floats:
        """Return the edges of the bins, (BINS + 1,)."""
        return np.linspace(self.low, self.high, len(self.bins) + 1)

    @property
    def dead(self) -> bool:
        """Say whether nothing moves: all values on DEAD_LEVELS levels or fewer, or each unit on one of its own."""
        return bool((self.grid and self.grid.used <= DEAD_LEVELS) or (self.units and self.still == self.units))

    @property
    def gap(self) -> Gap | None:
        """Return the largest gap between float and quantized values; it is at a level, just before it or at it."""
        if self.grid is None:
            return None
        total, counts = self.grid.counts.sum(), self.grid.counts
        quantized = np.stack([counts.cumsum() - counts, counts.cumsum()]) / total
        plain = np.stack([self.grid.below, self.grid.upto]) / self.n
        side, level = divmod(int(np.abs(plain - quantized).argmax()), len(counts))
        shares = float(plain[side, level]), float(quantized[side, level])
        return Gap(abs(shares[0] - shares[1]), float(self.grid.values[level]), *shares)


@dataclass(frozen=True, eq=False)
class Distributions:
    """The sites of a variant, the documents and tokens its signals are from, and the versions that made them."""

    sites: tuple[Site, ...]
    documents: int
    tokens: int
    versions: Row

    @property
    def quantized(self) -> bool:
        return any(site.grid for site in self.sites)

    def site(self, name: str) -> Site:
        return next(site for site in self.sites if site.name == name)

    def gates(self, name: str) -> tuple[Site, ...]:
        """Return the four gates' sites of the same kind as `name`, () for a site that is not a gate's."""
        names = next((group for group in GATE_GROUPS.values() if name in group), ())
        return tuple(self.site(gate) for gate in names)


def ready(variant: VariantSpec) -> bool:
    """Say whether nothing has to be trained or quantized to measure a variant."""
    return Store().has_tensors(KIND, _spec(variant).fingerprint()) or pipeline.stored(variant)


def measure(variant: VariantSpec, progress: Progress = SILENT) -> Distributions:
    """Return the distributions of a variant, float ones only without a recipe: from the store, else made and saved."""
    spec, store = _spec(variant), Store()
    if (found := store.load_tensors(KIND, spec.fingerprint())) is None:
        found = _compute(spec, progress)
        store.save_tensors(KIND, spec.fingerprint(), *found)
    return _unpack(*found)


def site_table(found: Distributions) -> list[Row]:
    """Return a row for each site; what only a quantized one has is None in float."""
    return [_row(site) for site in found.sites]


def observe(prepared: Prepared, batch: Batch) -> dict[str, Tensor]:
    """Return the values (values, units) that enter each activation quantizer, or would, of real tokens only.

    The cell state's quantizer serves three values a step, f c, i g and their sum, all of which are there.
    """
    parts: dict[str, list[Tensor]] = {site: [] for site in LSTM_SITES}
    hidden = engine.run_lstm(prepared, batch, lambda site, values: parts[site].append(values))
    found = {site: torch.cat(values) for site, values in parts.items()}
    found["state_input"] = read_states(prepared.variant.spec, hidden, batch)
    if prepared.variant.label:
        found["label_input"] = prepared.variant.label.value
    return found


@dataclass(frozen=True)
class Rounded:
    """What a quantizer made of a site: the values that entered it and the levels they became, of any shape."""

    quantizer: Quantizer
    entered: Tensor
    levels: Tensor


def make_site(name: str, values: Tensor, rounded: Rounded | None = None) -> Site:
    """Count a site's float values, of any shape, and what they became; a signal's last dimension are its units."""
    ordered = np.sort(values.cpu().numpy().ravel())
    n, (low, high) = len(ordered), _central(ordered)
    edges = np.linspace(low, high, BINS + 1).astype(np.float32)
    under, upto = int(np.searchsorted(ordered, edges[0])), np.searchsorted(ordered, edges[1:], "right")
    units = values.shape[-1] if name in SIGNALS else None
    still = _still(rounded.levels if rounded else values) if units else None
    bins, grid = np.diff(upto, prepend=under), _grid(ordered, rounded) if rounded else None
    return Site(name, n, float(ordered[0]), float(ordered[-1]), low, high, under, bins, units, still, grid)


def _central(ordered: Floats) -> tuple[float, float]:
    """Return what a share TAIL at either end lies beyond; all values if that is no range, and never an empty one."""
    last = len(ordered) - 1
    cut = int(TAIL * last)
    low, high = float(ordered[cut]), float(ordered[last - cut])
    if low == high:
        low, high = float(ordered[0]), float(ordered[-1])
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _grid(ordered: Floats, rounded: Rounded) -> Grid:
    quantizer, values = rounded.quantizer, grid_values(rounded.quantizer).numpy()
    counts = torch.bincount((rounded.levels.flatten().long() - quantizer.low).cpu(), minlength=len(values)).numpy()
    below, upto = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    reached = torch.round(rounded.entered / quantizer.scale)
    clipped = int(((reached < quantizer.low) | (reached > quantizer.high)).sum())
    return Grid(quantizer, counts, below, upto, clipped)


def _spec(variant: VariantSpec) -> DistributionSpec:
    return DistributionSpec(variant=pipeline.resolve(EvaluationSpec(variant=variant)).variant)


@torch.inference_mode()
def _compute(spec: DistributionSpec, progress: Progress) -> tuple[dict[str, Tensor], Row]:
    variant = spec.variant
    plain = pipeline.resident(VariantSpec(run=variant.run), progress).prepared
    ours = pipeline.resident(variant, progress).prepared if variant.recipe else None
    documents, _ = inputs.encode_documents(EvaluationSpec(variant=variant), None)
    sample = _sample(documents, spec.documents)
    batch = make_batch(sample, np.arange(len(sample))).to(plain.variant.bias.device)
    sites = _weight_sites(plain.variant, ours.variant if ours else None, variant.recipe)
    sites += _signal_sites(plain, ours, batch)
    meta = provenance(spec) | {"documents": len(sample), "tokens": int(sample.lengths.sum())}
    return _pack(sorted(sites, key=lambda site: SITES.index(site.name)), meta)


def _weight_sites(plain: Variant, ours: Variant | None, recipe: Recipe | None) -> list[Site]:
    before, after = _weights(plain), _weights(ours) if ours else {}
    sites = []
    for name, (values, _) in before.items():
        rounded = None
        if recipe:
            levels, scale = after[name]
            high = 2 ** (getattr(recipe.bits, _WEIGHT_BITS[name]) - 1) - 1
            rounded = Rounded(Quantizer(scale, -high, high), values, levels)
        sites.append(make_site(name, values, rounded))
    return sites


def _weights(variant: Variant) -> dict[str, tuple[Tensor, float]]:
    """Return the levels and the scale of every weight, an LSTM's by gate."""
    found = {}
    for name in ("embedding", "label", "head"):
        if matrix := getattr(variant, name):
            found[f"{name}_weight"] = matrix.levels, float(matrix.scale)
    for group, matrix in (("input weight", variant.input), ("recurrent weight", variant.recurrent)):
        scales = matrix.scale.expand(len(matrix.levels), 1)
        for name, levels, scale in zip(GATE_GROUPS[group], matrix.levels.chunk(4), scales.chunk(4), strict=True):
            found[name] = levels, float(scale[0])
    return found


def _signal_sites(plain: Prepared, ours: Prepared | None, batch: Batch) -> list[Site]:
    before, entered = observe(plain, batch), observe(ours, batch) if ours else {}
    sites = []
    for name, values in before.items():
        rounded = None
        if ours:
            heads = {"state_input": ours.variant.state_input, "label_input": ours.variant.label_input}
            quantizer = heads.get(name) or ours.variant.sites[name]
            rounded = Rounded(quantizer, entered[name], to_levels(entered[name], quantizer))
        sites.append(make_site(name, values, rounded))
    return sites


def _still(values: Tensor) -> int:
    """Count the units, along the last dimension, that have one value throughout."""
    rows = values.reshape(-1, values.shape[-1])
    return int((rows.amin(0) == rows.amax(0)).sum())


def _row(site: Site) -> Row:
    grid, gap = site.grid, site.gap
    row: Row = {"site": site.name}
    row |= {"bits": grid and grid.bits, "step": grid and grid.quantizer.scale}
    row |= {"lowest": grid and float(grid.values[0]), "highest": grid and float(grid.values[-1])}
    row |= {"float lowest": site.smallest, "float highest": site.largest}
    row |= {"levels used": grid and grid.used, "levels": grid and len(grid.counts)}
    row |= {"clipped": grid and grid.clipped_share, "D": gap and gap.distance, "D at": gap and gap.at}
    return row | {"n": site.n, "units": site.units, "still units": site.still}


def _pack(sites: Sequence[Site], meta: Row) -> tuple[dict[str, Tensor], Row]:
    tensors: dict[str, Tensor] = {}
    facts = []
    for site in sites:
        arrays, fact = {"bins": site.bins}, {name: getattr(site, name) for name in _FACTS}
        if site.grid:
            arrays |= {name: getattr(site.grid, name) for name in ("counts", "below", "upto")}
            fact |= {"quantizer": asdict(site.grid.quantizer), "clipped": site.grid.clipped}
        tensors |= {f"{site.name}.{name}": torch.from_numpy(array.astype(np.int32)) for name, array in arrays.items()}
        facts.append(fact)
    return tensors, meta | {"sites": facts}


def _unpack(tensors: dict[str, Tensor], meta: Row) -> Distributions:
    sites = []
    for fact in meta["sites"]:
        arrays = {
            name: tensors[f"{fact['name']}.{name}"].numpy().astype(np.int64)
            for name in ("bins", *(("counts", "below", "upto") if "quantizer" in fact else ()))
        }
        bins, grid = arrays.pop("bins"), None
        if arrays:
            grid = Grid(Quantizer(**fact["quantizer"]), **arrays, clipped=fact["clipped"])
        sites.append(Site(**{name: fact[name] for name in _FACTS}, bins=bins, grid=grid))
    return Distributions(tuple(sites), meta["documents"], meta["tokens"], meta["versions"])
