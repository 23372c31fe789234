"""The trained models on the real test documents: the engine beside Brevitas's own forward, every preset and width."""

from functools import cache

import numpy as np
import pytest
import torch
from models import closest_tie, whole
from torch import Tensor

from core import pipeline
from core.config import BIT_WIDTHS, ModelKind, Preset, Recipe
from core.lstm.models import Classifier
from core.measurement import evaluation
from core.quantization import engine
from core.quantization.brevitas_models import BrevitasTwin, compile_variant
from core.quantization.engine import LSTM_SITES, Variant
from core.text.tokens import Encoded, batches, make_batch

WIDTHS: list[tuple[Preset, int]] = [("uniform", bits) for bits in BIT_WIDTHS]
WIDTHS += [("paper-code", bits) for bits in BIT_WIDTHS if bits < 8]
# Brevitas takes seconds to quantize the generative head and to score it class by class.
CASES: list[tuple[ModelKind, Preset, int]] = [("discriminative", *width) for width in WIDTHS]
CASES += [("generative", "uniform", 8), ("generative", "uniform", 4), ("generative", "paper-code", 3)]
DOCUMENTS = {"discriminative": 400, "generative": 12}
CELL_RANGE = 3.0  # narrow enough for a cell to move at 3 bits


@cache
def trained(kind: ModelKind) -> tuple[Classifier, Encoded, dict[str, float]]:
    """The float model, its test documents, and the largest value that each site has on some of them."""
    run = pipeline.resolve(pipeline.specify("reuters-r8", kind)).variant.run
    model, test = pipeline.build_model(run).requires_grad_(False), pipeline.encode(run.corpus, run.tokens).test
    seen: dict[str, float] = {}

    def observe(site: str, values: Tensor) -> None:
        seen[site] = max(seen.get(site, 0.0), float(values.abs().max()))

    sample = make_batch(test, np.arange(20))
    engine.run_lstm(engine.prepare(engine.from_float(model)), sample, observe)
    order = np.random.default_rng(0).permutation(len(test))[: DOCUMENTS[kind]]
    return model, test.select(np.sort(order)), seen | {"cell_state": CELL_RANGE, "state_input": 1.0, "label_input": 3.0}


def twin_of(kind: ModelKind, preset: Preset, bits: int) -> BrevitasTwin:
    model, _, seen = trained(kind)
    twin = BrevitasTwin(model, Recipe.preset(preset, bits)).requires_grad_(False)
    for site in (*LSTM_SITES, "state_input", *(["label_input"] if kind == "generative" else [])):
        twin.set_range(site, 0.97 * seen[site])
    return twin


def documents_that_differ(twin: BrevitasTwin, variant: Variant, documents: Encoded) -> np.ndarray:
    """Positions of the documents whose states at the head are not those of Brevitas, bit for bit."""
    found: list[int] = []
    prepared = engine.prepare(variant)
    for batch in batches(documents, 1024):
        ours, (theirs, _, _) = engine.head_states(prepared, batch), twin.score(batch)
        counts = batch.lengths - 1 if variant.label else torch.ones_like(batch.lengths)
        owners = torch.repeat_interleave(batch.index, counts)
        found += owners[(ours != theirs).any(dim=1)].unique().tolist()
    return np.array(sorted(found), dtype=np.int64)


@pytest.mark.parametrize(("kind", "preset", "bits"), CASES)
def test_the_engine_says_what_brevitas_says(kind: ModelKind, preset: Preset, bits: int) -> None:
    twin, (_, documents, _) = twin_of(kind, preset, bits), trained(kind)
    variant = compile_variant(twin)
    ours, theirs = evaluation.evaluate(variant, documents), evaluation.evaluate(variant, documents, twin.score)
    assert (ours.predictions == theirs.predictions).all()
    assert len(np.unique(ours.predictions)) > 2
    assert ours.lstm_variance > 1e-3
    different = documents_that_differ(twin, variant, documents)
    assert len(different) <= len(documents) / 10
    if len(different):
        assert float(closest_tie(variant, whole(documents.select(different))).max()) < 1e-4
    if ours.token_losses is not None and theirs.token_losses is not None:
        alike = ~np.isin(np.repeat(np.arange(len(documents)), documents.lengths - 1), different)
        assert np.abs(ours.token_losses - theirs.token_losses)[alike].max() < 1e-4
