"""Figures of readings hold their answers and probabilities; words become HTML that runs nothing."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.display import charts, live_charts
from core.display.curve_charts import WIDTHS
from core.display.live_charts import END, Reading
from core.errors import InputError

SHARES = {"earn": 0.1, "<b>ship": 0.7, "grain": 0.2}


def reading(model: Any = "generative", bits: int = 32, **changes: Any) -> Reading:
    row = {"label": "<b>ship", "probabilities": SHARES, "margin": 1.25, "oov": 0.0, "known": [True]}
    return Reading(model, bits, {**row, **changes}, ("wheat",))


def test_answers_stand_where_model_and_width_are_and_flips_are_marked() -> None:
    flipped = reading(bits=3, label="earn")
    figure = live_charts.answers_figure([reading(), flipped, reading("discriminative", 4)], "news")
    generative, discriminative = figure.data
    assert list(generative.y) == ["float", "8", "7", "6", "5", "4", "3"]
    assert [line[0] for line in generative.z] == [0.7, None, None, None, None, None, 0.1]
    assert generative.text[0][0] == "&lt;b&gt;ship 70 %"
    assert generative.text[6][0] == "≠ earn 10 %"
    assert discriminative.text[5][0] == "&lt;b&gt;ship 70 %"
    assert (generative.x0, discriminative.x0) == (0, 1)
    assert generative.colorscale[-1][1] == charts.GENERATIVE
    assert "the runner-up is grain, 1.25 nats behind.<br>" not in generative.customdata[0][0]
    assert "1.25 nats behind" in generative.customdata[0][0]


def test_the_answers_keep_their_place_whatever_was_read() -> None:
    one, many = (live_charts.answers_figure([reading(bits=bits) for bits in widths]) for widths in ((32,), WIDTHS))
    assert (one.layout.yaxis.range, one.layout.height) == (many.layout.yaxis.range, many.layout.height)


def test_long_class_names_are_cut() -> None:
    name = "EducationalInstitutionOfSomeKind"
    figure = live_charts.answers_figure([reading(label=name, probabilities={name: 0.5, "b": 0.5})])
    assert figure.data[0].text[0][0] == "EducationalInstit… 50 %"


def test_bars_are_the_probabilities_and_marks_floats() -> None:
    before = reading(probabilities={name: 1 / 3 for name in SHARES})
    bars, marks = live_charts.probabilities_figure(reading(bits=3), before).data
    assert (list(bars.y), list(bars.x)) == (["earn", "&lt;b&gt;ship", "grain"], pytest.approx([10, 70, 20]))
    assert list(marks.x) == pytest.approx([100 / 3] * 3)
    assert len(live_charts.probabilities_figure(before, before).data) == 1
    many = {f"class {i}": 2.0**-i for i in range(1, 60)}
    (bars,) = live_charts.probabilities_figure(reading(probabilities=many, label="class 1"), None).data
    assert list(bars.y) == [f"class {i}" for i in range(1, live_charts.MAX_BARS + 1)]


def test_nothing_read_is_refused() -> None:
    with pytest.raises(InputError, match="no readings were given"):
        live_charts.answers_figure([])


def test_the_sentence_names_winner_runner_up_and_margin() -> None:
    text = live_charts.describe_reading(reading())
    assert text == "<b>ship, 70.0 %; the runner-up is grain, 1.25 nats behind."
    assert replace(reading(), bits=3).runner_up == "grain"


class Tags(HTMLParser):
    """The tags and the text of some HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@given(st.lists(st.text(min_size=1).filter(lambda text: text.isprintable() and bool(text.strip())), max_size=5))
def test_no_word_becomes_a_tag(words: list[str]) -> None:
    found = Tags(live_charts.words_html(words, [True] * len(words)))
    assert found.tags == ["div", *["span"] * len(words)]
    assert [word for word in found.words if word != " "] == words


def test_surprisal_is_strength_of_colour_and_unknown_words_are_underlined() -> None:
    text = live_charts.words_html(["oil", "qqq"], [True, False], [0.0, 6.0, 99.0], "#0072B2")
    strengths = [int(found, 16) for found in re.findall(r"#0072B2(..);", text)]
    assert strengths == [0, 0xCC // 2, 0xCC]
    assert (text.count("underline wavy"), text.count("unknown to the model"), text.count(END)) == (1, 1, 1)
    assert 'title="6.00 nats, unknown to the model"' in text
