"""Recipes beside the plain ones: GPFQ as Brevitas runs it, and a cell range of one's own."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from brevitas.graph.gpfq import gpfq_mode
from models import CLASSES, documents, tiny
from torch import Tensor

from core.config import MODEL_KINDS, ModelKind, Recipe
from core.quantization import engine, ptq
from core.quantization.brevitas_models import BrevitasTwin, compile_variant
from core.quantization.engine import LSTM_SITES, Variant
from core.quantization.ptq import PtqReport
from core.text.tokens import make_batch

DOCUMENTS = documents(40)


def quantized(kind: ModelKind, bits: int = 3, **changes: object) -> tuple[Variant, PtqReport]:
    recipe = Recipe.preset("uniform", bits, **{"ranges": "percentile", "head": "round", **changes})
    return ptq.quantize(tiny(kind), recipe, DOCUMENTS)


class Forward(BrevitasTwin):
    """A twin with a forward, as `gpfq_mode` needs: what the head reads of every document, through the head at once.

    At once, because Brevitas gives every call the same weight, however many rows it has.
    """

    def forward(self, documents: list[Tensor]) -> Tensor:
        return self.head(torch.cat([self.inputs(self.hidden(ids)[0]) for ids in documents]))

    def inputs(self, states: Tensor) -> Tensor:
        if not self.generative:
            return self.state_input(states[-1:])
        labels = self.label_input(self.label_embedding(torch.arange(CLASSES)))
        rows = [torch.cat([state, label]) for state in self.state_input(states[:-1]) for label in labels]
        return torch.stack(rows)


def refined_by_brevitas(kind: ModelKind, bits: int) -> Variant:
    """The variant whose head Brevitas's own two passes refine."""
    variant, _ = quantized(kind, bits)
    twin = Forward(tiny(kind), Recipe.preset("uniform", bits))
    for site in LSTM_SITES:
        twin.set_range(site, variant.sites[site].largest)
    for site in ("state_input", "label_input") if kind == "generative" else ("state_input",):
        twin.set_range(site, getattr(variant, site).largest)
    with torch.no_grad(), gpfq_mode(twin) as gpfq:
        assert gpfq.num_layers == 1
        gpfq.model([make_batch(DOCUMENTS, np.array([place])).ids for place in range(len(DOCUMENTS))])
        gpfq.update()
    del twin.head.weight_orig
    return compile_variant(twin)


@pytest.mark.parametrize("bits", [3, 4])
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_gpfq_stock_is_what_brevitas_makes(kind: ModelKind, bits: int) -> None:
    found, report = quantized(kind, bits, head="gpfq-stock")
    expected = refined_by_brevitas(kind, bits).head
    assert torch.equal(found.head.scale, expected.scale)
    assert torch.equal(found.head.levels, expected.levels)
    assert 0 < report.head_weights_changed < 1


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_gpfq_stock_moves_the_head_alone_and_elsewhere_than_a_float_reference(kind: ModelKind) -> None:
    rounded, stock, true = (quantized(kind, head=head)[0] for head in ("round", "gpfq-stock", "gpfq"))
    assert not torch.equal(stock.head.levels, true.head.levels)
    assert_same_states(replace(stock, head=rounded.head), rounded)


def assert_same_states(one: Variant, other: Variant) -> None:
    batch = make_batch(DOCUMENTS, np.arange(len(DOCUMENTS)))
    assert torch.equal(*(engine.run_lstm(engine.prepare(variant), batch) for variant in (one, other)))
    assert one.sites == other.sites


# The range of the cell state


@pytest.mark.parametrize("rule", ["percentile", "minmax", "fitted"])
@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_a_cell_range_is_that_of_the_cell_state_and_nothing_else(kind: ModelKind, rule: str) -> None:
    (plain, _), (ranged, report) = (quantized(kind, ranges=rule, cell_range=largest) for largest in (None, 0.75))
    assert ranged.sites["cell_state"].largest == pytest.approx(0.75, rel=1e-6)
    others = [site for site in LSTM_SITES if site != "cell_state"]
    assert {site: ranged.sites[site] for site in others} == {site: plain.sites[site] for site in others}
    assert (ranged.state_input, ranged.label_input) == (plain.state_input, plain.label_input)
    assert torch.equal(ranged.head.levels, plain.head.levels)
    assert {site.site: site.range for site in report.sites}["cell_state"] == pytest.approx(0.75, rel=1e-6)


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_gpfq_refines_for_the_states_that_a_cell_range_gives(kind: ModelKind) -> None:
    (plain, before), (ranged, after) = (quantized(kind, head="gpfq", cell_range=largest) for largest in (None, 0.5))
    assert not torch.equal(ranged.head.levels, plain.head.levels)
    assert after.hidden_error != before.hidden_error
