"""Figures of distributions show the counts they are made of, and their sentences say them."""

import numpy as np
import pytest
import torch

from core.display import distribution_charts, distributions
from core.display.distribution_charts import GAP, VIEWS
from core.display.distributions import GATE_GROUPS, SITES, Distributions, Rounded, Site, make_site
from core.display.views import Settings
from core.errors import InputError
from core.quantization.levels import Quantizer, to_levels

SETTINGS = Settings("news", 3, 0.0, "uniform", "gpfq", "fitted", "conditional")
VALUES = torch.sin(torch.arange(3000.0)).reshape(300, 10)


def site(name: str = "hidden_state", scale: float | None = 0.25, values: torch.Tensor = VALUES) -> Site:
    if scale is None:
        return make_site(name, values)
    quantizer = Quantizer(scale, -4, 3)
    return make_site(name, values, Rounded(quantizer, values, to_levels(values, quantizer)))


def all_sites(scale: float | None = 0.25) -> Distributions:
    return Distributions(tuple(site(name, scale) for name in SITES), 64, 300, {"torch": "2"})


def test_every_site_has_a_name_of_its_own() -> None:
    names = [distribution_charts.site_name(name) for name in SITES]
    assert len(set(names)) == len(SITES)
    assert "Sigmoid (input gate)" in names
    assert "Tanh (cell gate)" in names


def test_both_histograms_hold_all_values() -> None:
    plain, bars = distribution_charts.site_figure(site(), "Histogram", "#0072B2").data
    x, y = np.asarray(plain.x), np.asarray(plain.y)
    assert (np.diff(x) * y[1:]).sum() == pytest.approx(site().bins.sum() / site().n)
    assert sum(bars.y) * bars.width == pytest.approx(1)
    after = (to_levels(VALUES, Quantizer(0.25, -4, 3)) * 0.25).flatten()
    for value, height in zip(bars.x, bars.y, strict=True):
        assert height * 0.25 == pytest.approx(float((after == value).float().mean()), abs=1e-6)


def test_the_curves_are_the_shares_of_values_up_to_each_place() -> None:
    plain, steps, segment = distribution_charts.site_figure(site(), "ECDF", "#0072B2").data
    values = VALUES.flatten().numpy()
    assert (np.diff(plain.x) >= 0).all()
    assert (np.diff(plain.y) >= 0).all()
    for x, y in list(zip(plain.x, plain.y, strict=True))[::25]:
        near = [100 * np.mean(values < np.float32(x)), 100 * np.mean(values <= np.float32(x))]
        assert min(abs(y - share) for share in near) <= 0.1
    after = (to_levels(VALUES, Quantizer(0.25, -4, 3)) * 0.25).flatten().numpy()
    for x, y in zip(steps.x[1:-1], steps.y[1:-1], strict=True):
        assert y == pytest.approx(100 * np.mean(after <= x), abs=1e-4)
    gap = site().gap
    assert gap is not None
    assert set(segment.x) == {gap.at}
    assert abs(segment.y[2] - segment.y[0]) == pytest.approx(100 * gap.distance)
    assert f"D = {gap.distance:.3f}, n = 3,000" in segment.text[1]


@pytest.mark.parametrize("view", VIEWS)
def test_the_drawn_range_holds_the_gap_and_the_central_values(view: distribution_charts.View) -> None:
    outlier = torch.cat([VALUES.flatten(), torch.tensor([-500.0, 500.0])])
    for one in (site(), site("head_weight", values=outlier), site(scale=30.0), site(scale=0.01)):
        low, high = distribution_charts.site_figure(one, view, "#0072B2").layout.xaxis.range
        assert one.gap is not None
        assert low < one.low < one.high < high
        assert low < one.gap.at < high
        assert high - low < 10


@pytest.mark.parametrize("view", VIEWS)
def test_the_gates_share_their_axes(view: distribution_charts.View) -> None:
    sites = [site(name, values=VALUES * (place + 1)) for place, name in enumerate(GATE_GROUPS["accumulator"])]
    figure = distribution_charts.gates_figure(sites, view, "#0072B2", "news")
    assert len({axis.range for axis in figure.select_xaxes()}) == 1
    assert len({axis.range for axis in figure.select_yaxes()}) == 1
    assert sum(bool(trace.showlegend) for trace in figure.data) == len(figure.data) / 4
    titles = [note.text.partition(":")[0] for note in figure.layout.annotations]
    assert titles == ["input", "forget", "cell", "output"]
    assert [trace.name for trace in figure.data].count(GAP) == (4 if view == "ECDF" else 0)
    gaps = {one.name.partition("_")[0]: one.gap.distance for one in sites if one.gap}
    text = distribution_charts.describe_gates(sites)
    assert text.startswith(f"Largest gap: {max(gaps, key=lambda gate: gaps[gate])} gate, D = {max(gaps.values()):.3f}")
    with pytest.raises(InputError, match="no gates were given"):
        distribution_charts.gates_figure([], view, "#0072B2")


def test_float_alone_is_drawn_and_said() -> None:
    (trace,) = distribution_charts.site_figure(site(scale=None), "ECDF", "#0072B2").data
    assert trace.name == "float"
    found = all_sites(scale=None)
    text = distribution_charts.describe_site(site(scale=None))
    assert text.startswith("Hidden state, n = 3,000 values in float, from")
    assert distribution_charts.describe_table(found) == f"{len(SITES)} sites in float; nothing is quantized yet."
    assert "input -1 to 1" in distribution_charts.describe_gates(found.gates("cell_tanh"))
    assert "quantized" not in distribution_charts.caption(SETTINGS, "generative", found)
    assert "generative, float, weights seed 0" in distribution_charts.caption(SETTINGS, "generative", found)
    assert "D" not in distribution_charts.shown_table(found)[0]


def test_the_sentence_of_a_site_says_its_numbers() -> None:
    one = site("cell_state")
    assert one.grid is not None
    assert one.gap is not None
    text = distribution_charts.describe_site(one)
    share = 100 * one.grid.clipped / one.n
    assert text.startswith(f"Cell state, n = 3,000 values: 8 of 8 levels used, a step of 0.25, {share:.1f} % clipped;")
    assert f"largest gap D = {one.gap.distance:.3f} at {one.gap.at:.3g}" in text
    assert text.endswith("All three are counted.")


def test_dead_signals_are_named() -> None:
    sites = (site("cell_state", 30.0), site("hidden_state"), site("head_weight"))
    (text,) = distribution_charts.warnings(Distributions(sites[:2], 64, 300, {}))
    assert text == "Dead signal: constant, whatever the model reads: cell state."
    halves = make_site("cell_tanh", VALUES, Rounded(Quantizer(1.0, -4, 3), VALUES, (VALUES > 0).float()))
    (text,) = distribution_charts.warnings(Distributions((halves, sites[2]), 64, 300, {}))
    assert text == "Nearly dead: only two levels are left of tanh (cell gate)."
    assert distribution_charts.warnings(Distributions(sites[1:2], 64, 300, {})) == []


def test_the_tables_hold_every_site_and_how_it_was_made() -> None:
    found = all_sites()
    made = distribution_charts.caption(SETTINGS, "generative", found)
    assert made.startswith("news, generative, uniform 3 bits, fitted ranges, head gpfq, conditional calibration (")
    assert made.endswith("signals of 64 test documents (sample seed 0), 300 tokens.")
    full, shown = distribution_charts.full_table(found, made), distribution_charts.shown_table(found)
    assert [row["site"] for row in full] == list(SITES)
    assert {(row["made"], row["versions"]) for row in full} == {(made, '{"torch": "2"}')}
    for row, line in zip(distributions.site_table(found), shown, strict=True):
        assert line["D"] == round(row["D"], 3)
        assert line["Clipped (%)"] == round(100 * row["clipped"], 2)
        assert (line["Levels used"], line["Levels"], line["n"]) == (row["levels used"], row["levels"], row["n"])
