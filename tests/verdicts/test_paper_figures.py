"""The table of figures: complete, drawable, in the paper's order."""

import pytest

from core.errors import InputError
from core.studies.experiments import read_study
from core.verdicts.paper_figures import FIGURES, figure_of
from core.verdicts.study_rows import QUANTITIES

PUBLISHED = ["Table 1", *(f"Figure {number}" for number in range(6, 17))]


def test_every_published_figure_of_results_is_there_in_order():
    assert [figure.source for figure in FIGURES][: len(PUBLISHED)] == PUBLISHED


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.key)
def test_a_figure_can_be_drawn(figure):
    assert figure_of(figure.key) is figure_of(figure.source) is figure
    assert {*figure.quantities, *(place.quantity for place in figure.places)} - {""} <= set(QUANTITIES)
    assert len({(line.panel, line.name) for line in figure.lines}) == len(figure.lines)
    for panel in figure.panels:
        looks = [(line.colour, line.dash) for line in figure.lines if line.panel == panel]
        assert len(set(looks)) == len(looks)


def test_a_figure_that_is_none_is_refused():
    with pytest.raises(InputError, match="'figure-5' is no figure; choose one of: Table 1"):
        figure_of("figure-5")


def test_every_experiment_that_fills_a_figure_is_in_the_study():
    assert {name for figure in FIGURES for name in figure.studies} <= set(read_study().names)
    (cells,) = read_study().only(["cell-range"]).experiment
    assert tuple(place.x for place in figure_of("cell-range").places) == cells.cell_ranges


def test_a_condition_that_is_filled_is_one_that_is_shown():
    for figure in FIGURES:
        filled = [condition for conditions in figure.studies.values() for condition in conditions]
        assert filled
        assert [condition for condition in filled if condition not in figure.conditions] == []
