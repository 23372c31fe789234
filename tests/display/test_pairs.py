"""Two configurations on the same documents: which documents they answer differently, against slow references."""

from typing import Any

import compared
import numpy as np
import pytest
import tiny
from compared import HALF, Place

from core import pipeline
from core.config import MODEL_KINDS, ModelKind
from core.display import charts, pairs
from core.display.pairs import GROUPS, Pair
from core.errors import InputError
from core.measurement.stats import Flips
from core.text import inputs, noise
from core.text.corpora import Corpus

SIDES = [
    (("generative", 32), ("generative", 3)),
    (("generative", 4), ("discriminative", 4)),
    (("discriminative", 3), ("discriminative", 3)),
]


@pytest.fixture
def place(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """The small store; whoever computes anything fails."""
    tiny.refuse_computations(monkeypatch)
    return place


def pair_of(place: Place, a: tuple[ModelKind, int], b: tuple[ModelKind, int], **both: Any) -> Pair:
    sides = (
        pairs.look_up(n, model, place.settings(bits=bits, **both))
        for n, (model, bits) in zip("AB", (a, b), strict=True)
    )
    return Pair(*sides)


def corpus_of(place: Place) -> Corpus:
    return inputs.load(place.settings().spec("generative").variant.run.corpus)


def slow_group(true: int, a: int, b: int) -> str:
    if a == true:
        return "Both right" if b == true else "A right, B wrong"
    if b == true:
        return "A wrong, B right"
    return "Both wrong, alike" if a == b else "Both wrong, differently"


@pytest.mark.parametrize("sides", SIDES)
def test_groups_share_the_documents_out(place: Place, sides: Any) -> None:
    pair = pair_of(place, *sides)
    first, second = pairs.outcomes(pair)
    documents = zip(first["labels"], first["predictions"], second["predictions"], strict=True)
    expected = [slow_group(*document) for document in documents]
    found = pairs.groups(pair)
    assert tuple(found) == GROUPS
    for name in GROUPS[:-1]:
        assert found[name].tolist() == [i for i, group in enumerate(expected) if group == name]
    assert found[pairs.EVERY].tolist() == list(range(len(expected)))
    flips = Flips(**pairs.contrast(pair)["flips"])
    counts = tuple(len(found[name]) for name in GROUPS[:3])
    assert counts == (flips.right_to_wrong, flips.wrong_to_right, flips.wrong_to_other_wrong)


def test_a_cell_lists_as_many_documents_as_it_counts(place: Place) -> None:
    pair = pair_of(place, ("generative", 4), ("discriminative", 4))
    names = pairs.class_names(pair)
    for side, row in zip("ab", pairs.rows(pair), strict=True):
        for true, line in zip(names, row["detail"]["confusion"], strict=True):
            for read, count in zip(names, line, strict=True):
                chosen = pairs.select(pair, pairs.EVERY, true, **{"a": None, "b": None, side: read})
                assert len(chosen) == count


def test_a_selection_keeps_to_its_group(place: Place) -> None:
    pair = pair_of(place, ("generative", 32), ("discriminative", 3))
    names, first = pairs.class_names(pair), pairs.outcomes(pair)[0]
    for group in GROUPS:
        parts = [pairs.select(pair, group, name, None, None) for name in names]
        assert sorted(np.concatenate(parts).tolist()) == pairs.groups(pair)[group].tolist()
        assert all((first["labels"][part] == label).all() for label, part in enumerate(parts))


@pytest.mark.parametrize(
    ("group", "true", "message"),
    [
        ("Nowhere", None, "group 'Nowhere' is not known; choose one of: A right, B wrong, "),
        (GROUPS[0], "nosuch", "class 'nosuch' is not known; choose from: grain, metal, money"),
    ],
)
def test_a_selection_that_names_nothing_is_refused(place: Place, group: str, true: str | None, message: str) -> None:
    pair = pair_of(place, *SIDES[0])
    with pytest.raises(InputError, match=message):
        pairs.select(pair, group, true, None, None)


def test_a_reading_says_what_is_stored(place: Place) -> None:
    pair = pair_of(place, ("generative", 4), ("discriminative", 4))
    names, (first, second) = pairs.class_names(pair), pairs.outcomes(pair)
    documents = corpus_of(place).test
    readings = pairs.read(pair, np.array([5, 2]), pairs.read_texts(pair))
    assert [reading.document for reading in readings] == [6, 3]
    for reading, place_ in zip(readings, (5, 2), strict=True):
        assert reading.true == names[documents.labels[place_]]
        assert reading.texts == (documents.texts[place_],)
        assert reading.answers == tuple(names[outcome["predictions"][place_]] for outcome in (first, second))
        expected = [np.exp(outcome["log_probabilities"][place_]).max() for outcome in (first, second)]
        assert reading.probabilities == pytest.approx(expected)


def test_noisy_sides_read_noisy_texts(place: Place) -> None:
    """Each side's own where their noise differs; the same ones that its model was given."""
    clean, noisy = place.settings(), place.settings(noise=0.1)
    corpus = corpus_of(place)
    expected = noise.corrupt(
        corpus.test.texts, noisy.spec("generative").noise, noise.alphabet(corpus.train.texts)
    ).texts
    sides = [pairs.look_up("A", "generative", clean), pairs.look_up("B", "generative", noisy)]
    assert pairs.read_texts(Pair(*sides)) == (corpus.test.texts, expected)
    assert pairs.read_texts(Pair(sides[1], sides[1])) == (expected,)
    assert expected != corpus.test.texts


def test_a_side_without_a_result_is_missing(place: Place) -> None:
    pair = pair_of(place, ("discriminative", HALF["bits"]), ("generative", HALF["bits"]), preset=HALF["preset"])
    assert (pair.missing, pair.b.row, pair.b.trained) == ((pair.b,), None, True)
    with pytest.raises(ValueError, match="a side of the pair has no result"):
        pairs.rows(pair)
    with pytest.raises(ValueError, match="a side of the pair has no answers"):
        pairs.contrast(pair)


def test_a_result_without_its_arrays_is_missing_and_can_be_made_again(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    place = compared.use_copy(tmp_path_factory, monkeypatch, tmp_path)
    whole = pair_of(place, *SIDES[0])
    assert whole.b.row is not None
    (place.cache / "local" / "evaluations" / f"{whole.b.row['key']}.safetensors").unlink()
    pair = pair_of(place, *SIDES[0])
    assert [side.name for side in pair.missing] == ["B"]
    assert pairs.rows(pair) == pairs.rows(whole)
    np.testing.assert_array_equal(pipeline.outcome(pair.b.spec)["predictions"], whole.b.outcome["predictions"])
    assert pair_of(place, *SIDES[0]).missing == ()


# Figures and sentences


def test_the_difference_figure_is_b_minus_a_centred_on_zero(place: Place) -> None:
    pair = pair_of(place, *SIDES[0])
    a, b = (np.array(row["detail"]["confusion"]) for row in pairs.rows(pair))
    (cells,) = pairs.difference_figure(pair).data
    np.testing.assert_array_equal(cells.z, b - a)
    assert cells.zmin == -cells.zmax < 0
    assert cells.zmax == np.abs(b - a).max()
    assert tuple(cells.colorscale) == charts.DIVERGING
    (same,) = pairs.difference_figure(pair_of(place, *SIDES[2])).data
    assert (np.abs(same.z).max(), same.zmin, same.zmax) == (0, -1, 1)


def test_every_cell_has_a_marker_row_by_row(place: Place) -> None:
    pair = pair_of(place, *SIDES[0])
    names = pairs.class_names(pair)
    figure = charts.confusion_figure(pairs.rows(pair)[0]["detail"]["confusion"], names, "counts")
    _, markers = pairs.clickable(figure).data
    places = [divmod(point, len(names)) for point in range(len(names) ** 2)]
    assert list(zip(markers.y, markers.x, strict=True)) == [(names[true], names[read]) for true, read in places]


def test_the_accuracy_figure_tells_the_sides_apart(place: Place) -> None:
    pair = pair_of(place, ("generative", 4), ("generative", 3))
    dots = pairs.accuracy_figure(pair).data
    assert [dot.name for dot in dots] == ["A: generative, 4 bits", "B: generative, 3 bits"]
    assert [dot.marker.color for dot in dots] == list(pairs.COLOURS.values())
    assert [dot.x[0] for dot in dots] == pytest.approx([100 * row["accuracy"] for row in pairs.rows(pair)])


FOUND = {
    "mcnemar": {"b": 40, "c": 14, "pvalue": 0.0212},
    "difference": {"difference": -0.0119, "low": -0.0183, "high": -0.0056, "n": 2189},
    "flips": {"right_to_wrong": 40, "wrong_to_right": 14, "wrong_to_other_wrong": 6, "n": 2189},
    "kl": 0.12345,
}


def test_the_sentences_say_the_numbers() -> None:
    assert pairs.describe_difference(FOUND) == (
        "B minus A: -1.2 points (95 % paired bootstrap interval -1.8 to -0.6), n = 2,189."
    )
    words = pairs.describe_mcnemar(FOUND)
    assert words.startswith("Of the 2,189 documents B gets 14 right that A got wrong, and 40 wrong that A got right.")
    assert "would come by chance with p = 0.021 (exact McNemar test)" in words
    assert (
        pairs.describe_flips(FOUND)
        == "2.7 % of the answers differ; KL(A || B) = 0.123 nats for each document on average."
    )


def test_equal_sides_are_said_to_be_equal(place: Place) -> None:
    pair = pair_of(place, *SIDES[2])
    found = pairs.contrast(pair)
    assert pair.same
    assert pairs.describe_mcnemar(found).startswith("A and B get the same documents right, of ")
    assert pairs.describe_cells(pair) == "A and B have the same counts."


def test_the_cell_sentence_names_the_largest_changes(place: Place) -> None:
    pair = pair_of(place, *SIDES[0])
    a, b = (np.array(row["detail"]["confusion"]) for row in pairs.rows(pair))
    words = pairs.describe_cells(pair)
    assert f"({(b - a).max():+,} documents)" in words
    assert f"({(b - a).min():+,} documents)" in words


def test_models_are_both_allowed_on_both_sides(place: Place) -> None:
    for model in MODEL_KINDS:
        assert pair_of(place, (model, 3), (model, 4)).missing == ()
