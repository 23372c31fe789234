"""Charts of a study: what they draw is what they were given; axes hold it; sentences are computed."""

import pytest

from core.errors import InputError
from core.verdicts.study_charts import Curve, Point, describe_lines, documents_words, line_figure, value_range
from core.verdicts.study_rows import QUANTITIES

ACCURACY, CHANGE, VARIANCE = (
    QUANTITIES[name] for name in ("accuracy", "change from float", "variance of the LSTM's output")
)
PLACES = ("float", "4 bits", "3 bits")


def point(x, mean, reach=1.0, draws=3, n=2189):
    return Point(x, mean, mean - reach, mean + reach, draws, n, f"Student's t over {draws} draws")


CURVE = Curve("generative", "#0072B2", "solid", tuple(map(point, PLACES, (95.0, 90.0, 80.5))))
SINGLE = Curve("<b>bold</b>", "#D55E00", "dash", (Point("float", 70.0, None, None, 1, 100, "one draw"),))


def draw(*curves, places=PLACES, **rest):
    return line_figure(curves, ACCURACY, "bit-width", places, (0.0, 100.0), **rest)


def test_a_line_and_its_band_are_the_points():
    band, line = draw(CURVE).data
    assert (list(line.x), list(line.y)) == (list(PLACES), [95.0, 90.0, 80.5])
    assert list(band.y) == [96.0, 91.0, 81.5, 79.5, 89.0, 94.0]
    assert line.line.color == band.fillcolor == "#0072B2"


def test_few_places_have_bars_instead():
    (dots,) = draw(Curve("a", "#000", "solid", CURVE.points[:1]), places=("float",)).data
    assert (dots.mode, list(dots.error_y.array), list(dots.error_y.arrayminus)) == ("markers", [1.0], [1.0])


def test_hover_says_the_number_its_interval_and_what_is_behind():
    *_, dots = draw(CURVE, SINGLE, caption="toy, seed 0").data
    assert "&lt;b&gt;bold&lt;/b&gt;: 70.0 % at float, one draw<br>n = 100<br>toy, seed 0" in dots.hovertemplate[0]
    line = draw(CURVE).data[1]
    assert "80.5 % at 3 bits (79.5 % to 81.5 %, Student's t over 3 draws)<br>n = 2,189" in line.hovertemplate[2]


def test_the_majority_class_is_a_line_where_the_axis_reaches_it():
    assert len(draw(CURVE, chance=49.5).layout.shapes) == 1
    assert len(line_figure([CURVE], ACCURACY, "", PLACES, (60, 100), chance=49.5).layout.shapes) == 0


def test_axes_have_units_and_every_place():
    figure = draw(CURVE)
    assert (figure.layout.yaxis.title.text, figure.layout.xaxis.title.text) == ("accuracy (%)", "bit-width")
    assert figure.layout.xaxis.categoryarray == PLACES
    numbers = Curve("a", "#000", "solid", (point(0.0, 5.0), point(10.0, 6.0)))
    low, high = line_figure([numbers], ACCURACY, "", (0.0, 5.0, 10.0), (0, 10)).layout.xaxis.range
    assert low < 0 < 10 < high


@pytest.mark.parametrize(
    ("values", "quantity"),
    [((95.0, 31.0), ACCURACY), ((99.9, 99.9), ACCURACY), ((0.5, -7.0), CHANGE), ((0.0, 0.3), VARIANCE)],
)
def test_the_value_axis_holds_every_interval_within_the_possible(values, quantity):
    curve = Curve("a", "#000", "solid", tuple(point(x, mean, reach=0.05) for x, mean in zip("ab", values, strict=True)))
    low, high = value_range([curve], quantity)
    reach = 0.05
    assert low <= max(min(values) - reach, 0 if quantity is ACCURACY else -100)
    assert high >= min(max(values) + reach, 100 if quantity is ACCURACY else 1000)
    assert quantity is not ACCURACY or 0 <= low < high <= 100


def test_the_sentence_names_the_ends_the_lowest_point_and_the_draws():
    dip = Curve("generative", "#000", "solid", tuple(map(point, PLACES, (95.0, 60.0, 80.0))))
    assert describe_lines([dip], ACCURACY, "bit-width") == (
        "Accuracy by bit-width: generative 95.0 % at float, 80.0 % at 3 bits, lowest 60.0 % at 4 bits (3 draws)."
    )
    assert describe_lines([SINGLE], ACCURACY) == "Accuracy: <b>bold</b> 70.0 % at float (1 draw)."
    assert "-4.0 points at 3 bits" in describe_lines([Curve("a", "", "", (point("3 bits", -4.0),))], CHANGE)


def test_nothing_to_draw_is_refused():
    empty = Curve("a", "#000", "solid", ())
    for use in (lambda: draw(empty), lambda: value_range([empty], ACCURACY), lambda: describe_lines([empty], ACCURACY)):
        with pytest.raises(InputError, match="no points were given"):
            use()


def test_documents_are_counted_in_words():
    assert (documents_words([2189]), documents_words([2189, 100])) == ("n = 2,189", "n = 100 to 2,189")
