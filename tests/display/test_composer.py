"""A calibration set composed by hand: what it asks and gets, how it is named, what it changes, bad shares."""

from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import tiny
from compared import Place

from core import pipeline
from core.config import CalibrationSpec, CorpusSpec
from core.display import composer, pairs
from core.display.composer import BALANCED, Composition
from core.errors import InputError
from core.quantization import calibration

LOPSIDED = {"grain": 0, "metal": 2, "money": 6}


@pytest.fixture
def composition(place: Place) -> Composition:
    return composer.compose(place.corpus, LOPSIDED)


@pytest.mark.parametrize(
    ("shares", "text"),
    [
        ({"a": 2, "b": 6}, "mix:a=1.0,b=3.0"),
        ({"a": 0, "b": 4, "c": 4}, "mix:b=1.0,c=1.0"),
        ({"a": 7, "b": 7}, BALANCED),
        ({"a": 10, "b": 0}, "mix:a=1.0"),
    ],
)
def test_shares_in_lowest_terms_are_the_name(shares: dict[str, int], text: str) -> None:
    assert composer.label(shares) == text
    if text != BALANCED:
        assert CalibrationSpec.parse(text).label == text


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"a": 0, "b": 0}, "every share is 0, so no document would calibrate; raise the share of at least one class"),
        ({"a": 11, "b": 1}, "the shares a=11 are out of range; choose 0 to 10"),
        ({"a,b": 1, "c": 2}, "class 'a,b' has a comma or an equals sign in its name"),
        ({"a=b": 1, "c": 2}, "class 'a=b' has a comma or an equals sign in its name"),
    ],
)
def test_shares_that_name_no_set_are_refused(shares: dict[str, int], message: str) -> None:
    with pytest.raises(InputError) as caught:
        composer.label(shares)
    assert str(caught.value).startswith(message)


def test_a_composition_is_what_calibration_draws(place: Place, composition: Composition) -> None:
    corpus = pipeline.load(CorpusSpec(name=place.corpus))
    specs = (CalibrationSpec.parse("mix:metal=1,money=3"), CalibrationSpec())
    drawn, even = (calibration.choose(corpus.train.labels, corpus.class_names, spec) for spec in specs)
    size = round(len(corpus.train) / 4)
    for place_, portion in enumerate(composition.portions):
        assert (portion.drawn, portion.balanced) == (drawn.counts[portion.name], even.counts[portion.name])
        assert portion.asked == pytest.approx(LOPSIDED[portion.name] / 8 * len(corpus.train) / 4)
        assert portion.available == np.count_nonzero(corpus.train.labels == place_)
    assert (composition.size, composition.note) == (size, drawn.note)
    assert composer.describe_composition(composition).startswith(f"{size} training documents calibrate, most of money")
    assert "none of grain" in composer.describe_composition(composition)


def test_a_class_that_runs_short_is_said(place: Place) -> None:
    composition = composer.compose(place.corpus, {"grain": 10, "metal": 0, "money": 0})
    have = composition.portions[0].available
    text = composer.describe_composition(composition)
    asked = round(composition.portions[0].asked)
    assert (f"grain has {have} of the {asked} asked" in text) == (have < asked)


def test_equal_shares_are_the_balanced_set(place: Place) -> None:
    composition = composer.compose(place.corpus, dict.fromkeys(LOPSIDED, 4))
    assert composition.balanced
    assert [portion.drawn for portion in composition.portions] == [p.balanced for p in composition.portions]


def test_the_composition_is_drawn_as_it_is(composition: Composition) -> None:
    asked, drawn, balanced = composer.composition_figure(composition, "seed 0").data
    assert list(asked.x) == [portion.asked for portion in composition.portions]
    assert list(drawn.x) == [portion.drawn for portion in composition.portions]
    assert list(balanced.x) == [portion.balanced for portion in composition.portions]
    assert all("seed 0" in text for text in drawn.hovertemplate)


def test_shares_of_an_address_out_of_range_are_said() -> None:
    (sentence,) = composer.refused({"metal": "99", "money": "6", "other": "1"}, LOPSIDED)
    assert sentence.startswith("The share 99 of class metal in the address is out of range; 2 is used.")


def test_a_pair_is_made_and_compared_with_the_balanced_set(copy: Place, composition: Composition) -> None:
    pair = composer.look_up(composition, "discriminative", copy.settings())
    assert (pair.a.row is None, pair.b.row is None) == (False, True)
    specs = composer.missing([pair])
    assert specs == [copy.settings(calibration="mix:metal=1,money=3").spec("discriminative")]
    pipeline.outcome(specs[0])
    pair = composer.look_up(composition, "discriminative", copy.settings())
    assert composer.missing([pair]) == composer.untrained([pair]) == []
    first, second = pairs.outcomes(pair)
    found = composer.changes(pair)
    for place, change in enumerate(found):
        of_class = first["labels"] == place
        recalls = [float(np.mean(outcome["predictions"][of_class] == place)) for outcome in (first, second)]
        assert change.recalls == pytest.approx(recalls)
        assert change.point.y == pytest.approx(100 * (recalls[1] - recalls[0]))
        assert change.point.low <= change.point.y <= change.point.high
        assert change.point.n == of_class.sum()
    assert [change.drawn[1] for change in found] == [portion.drawn for portion in composition.portions]
    assert [change.drawn[0] for change in found] == [portion.balanced for portion in composition.portions]
    figure = composer.recall_figure(found, "discriminative", "4 bits")
    assert list(figure.data[0].x) == [change.point.y for change in found]
    assert [row["Class"] for row in composer.recall_table(found)] == list(tiny.CLASSES)
    worst = min(found, key=lambda change: change.point.y)
    said = composer.describe_changes(found, "discriminative")
    assert (f"{worst.name} (" in said) if worst.point.y < 0 else ("no class loses recall" in said)


def test_a_dead_lstm_is_said(place: Place) -> None:
    pair = composer.look_up(composer.compose(place.corpus, dict.fromkeys(LOPSIDED, 1)), "generative", place.settings())
    assert pair.b.row is not None
    dead = {name: pair.b.row["detail"] | {"dead_lstm": name == "B"} for name in "AB"}
    sides = [side.__class__(**{**vars(side), "row": pair.b.row | {"detail": dead[side.name]}}) for side in pair.sides]
    assert composer.describe_dead(pairs.Pair(*sides)).startswith("The LSTM of B is dead.")


def test_without_weights_a_model_is_named_and_not_computed(place: Place, composition: Composition) -> None:
    pair = composer.look_up(composition, "discriminative", place.settings())
    bare = pairs.Pair(*(side.__class__(**{**vars(side), "trained": False}) for side in pair.sides))
    assert (composer.untrained([bare]), composer.missing([bare])) == (["discriminative"], [])


def test_the_address_says_both_sides(place: Place, composition: Composition) -> None:
    pair = composer.look_up(composition, "generative", place.settings(bits=3))
    query = {name: values[0] for name, values in parse_qs(urlsplit(composer.address(pair)).query).items()}
    assert (query["compare"], query["corpus"]) == ("A against B", place.corpus)
    assert (query["a_calibration"], query["b_calibration"]) == (BALANCED, "mix:metal=1.0,money=3.0")
    assert {query[f"{side}_bits"] for side in "ab"} == {"3"}
