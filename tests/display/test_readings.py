"""What the page that tries a text is told: the same as `live` says, in words that are computed from it."""

import csv
import io
from pathlib import Path

import pytest
from compared import HALF, Place

from core import pipeline
from core.config import BIT_WIDTHS, FLOAT_BITS, MODEL_KINDS, CorpusSpec
from core.display import live, readings
from core.display.curve_charts import WIDTHS
from core.display.live_charts import END, Reading
from core.display.readings import Variant
from core.errors import InputError
from core.storage.store import Store

TEXT = "wheat corn bank harvest"


def reading(bits: int, label: str, model: str = "generative", other: str = "metal") -> Reading:
    row = {
        "label": label,
        "probabilities": {label: 0.75, other: 0.25},
        "margin": 1.1,
        "oov": 0.5,
        "known": [True, False],
    }
    return Reading(model, bits, row, ("wheat", "qqq"))  # type: ignore[arg-type]


def test_every_stored_variant_is_ready_and_none_is_made(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "build_model", lambda *_: pytest.fail("a look-up makes nothing"))
    specs = readings.variants(place.settings())
    assert list(specs) == [(model, bits) for model in MODEL_KINDS for bits in WIDTHS]
    ready, makeable = readings.split(specs)
    assert (list(ready), makeable) == (list(specs), {})


def test_what_is_not_stored_can_be_made_if_its_float_model_is(place: Place, tmp_cache: Path) -> None:
    assert readings.split(readings.variants(place.settings())) == ({}, {})


def test_stored_is_said_of_variants_and_weights(
    place: Place, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = readings.variants(place.settings(**HALF))
    ready, makeable = readings.split(specs)
    assert (MODEL_KINDS[1], HALF["bits"]) in ready
    assert (MODEL_KINDS[0], HALF["bits"]) in makeable
    assert {(model, FLOAT_BITS) for model in MODEL_KINDS} <= set(ready)
    assert not Store().has_tensors("variants", "0" * 16)
    with pytest.raises(InputError, match="is no key of the store"):
        Store().has_tensors("variants", "../weights")


def test_readings_are_those_of_live_with_the_words_that_were_read(place: Place) -> None:
    specs = readings.variants(place.settings())
    found = readings.read(TEXT, specs)
    assert [r.row for r in found] == live.read(TEXT, list(specs.values()))
    assert [(r.model, r.bits) for r in found] == list(specs)
    assert {r.words for r in found} == {("wheat", "corn", "bank", "harvest")}
    for r in found:
        assert r.probability == max(r.row["probabilities"].values())
        assert r.runner_up != r.row["label"]
    assert readings.read(TEXT, {}) == []


def test_words_beyond_what_a_model_reads_are_counted(place: Place) -> None:
    specs = readings.variants(place.settings())
    for r in readings.read(" ".join(["wheat"] * 200), specs):
        limit = specs[r.model, r.bits].run.tokens.max_tokens
        assert (len(r.words), r.unread) == (limit, 200 - limit)


def test_noise_is_that_of_the_test_documents_and_none_at_zero(place: Place) -> None:
    assert readings.damage(TEXT, place.corpus, 0.0) == TEXT
    noisy = readings.damage(TEXT * 20, place.corpus, 0.1)
    assert noisy == readings.damage(TEXT * 20, place.corpus, 0.1) != TEXT * 20
    assert len(noisy) == len(TEXT * 20)
    less = readings.damage(TEXT * 20, place.corpus, 0.02)
    changed = [{i for i, (a, b) in enumerate(zip(t, TEXT * 20, strict=True)) if a != b} for t in (less, noisy)]
    assert changed[0] <= changed[1]


def test_documents_of_the_test_split_are_given_and_known_again(place: Place) -> None:
    corpus = pipeline.load(CorpusSpec(name=place.corpus))
    assert readings.count_documents(place.corpus) == len(corpus.test)
    text = readings.document(place.corpus, 3)
    assert text == corpus.test.texts[2]
    label = corpus.class_names[corpus.test.labels[corpus.test.texts.index(text)]]
    assert readings.truth(place.corpus, text) == (
        f"This is test document {corpus.test.texts.index(text) + 1}; its class is {label}."
    )
    assert readings.truth(place.corpus, text + "!") is None


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ({32: "a", 8: "a", 3: "a"}, "Generative: a at all 3 widths read."),
        (
            {32: "a", 8: "a", 4: "b", 3: "b"},
            "Generative: a in float down to 8 bits, then b from 4 bits down to 3 bits.",
        ),
        ({32: "a", 4: "b", 3: "a"}, "Generative: a in float, then b at 4 bits, then a at 3 bits."),
        ({32: "a"}, "Generative: a in float."),
        ({}, ""),
    ],
)
def test_the_flip_sentence_names_every_change_of_answer(labels: dict[int, str], sentence: str) -> None:
    assert readings.describe_flips([reading(bits, label) for bits, label in labels.items()]) == sentence


def test_the_words_that_decide_add_up_to_the_margin(place: Place) -> None:
    specs = readings.variants(place.settings())
    (found,) = readings.read(TEXT, {("generative", 32): specs["generative", 32]})
    (first, ours), (second, theirs) = found.row["surprisals"].items()
    text = readings.describe_words(found)
    assert text is not None
    assert text.startswith(f"Most for {first}: ")
    gaps = {word: b - a for word, a, b in zip([*found.words, END], ours, theirs, strict=True)}
    best = max(gaps, key=lambda word: gaps[word])
    assert f"{best} ({gaps[best]:+.2f})" in text.partition("Most for " + second)[0]
    assert readings.describe_words(reading(32, "a", "discriminative")) is None


def test_a_text_without_a_known_word_is_warned_about_and_answered(place: Place) -> None:
    specs = readings.variants(place.settings())
    for text, start in (("qqqq zzzz", "No word of this text is known"), ("!!!", "There is no word in this text")):
        found = readings.read(text, specs)
        assert len(found) == len(specs)
        sentences = readings.warnings(found)
        assert [sentence.startswith(start) for sentence in sentences] == [True, True]
    assert readings.warnings(readings.read(TEXT, specs)) == []


def test_tables_and_their_csv_hold_the_readings(place: Place) -> None:
    specs = readings.variants(place.settings())
    found = readings.read(TEXT, specs)
    table = readings.answer_table(found)
    assert [(row["model"], row["answer"]) for row in table] == [(r.model, r.row["label"]) for r in found]
    words = readings.word_table(found[0])
    assert [row["word"] for row in words] == [*TEXT.split(), END]
    assert len(words[0]) == 4
    assert [list(row) for row in readings.word_table(found[-1])] == [["word", "known"]] * 4
    lines = list(csv.DictReader(io.StringIO(readings.to_csv(table, "how"))))
    assert len(lines) == len(MODEL_KINDS) * (1 + len(BIT_WIDTHS))
    assert {line["made"] for line in lines} == {"how"}
    assert all("torch" in line["versions"] for line in lines)
    assert readings.to_csv([], "how").strip() == "made,versions"


def test_the_caption_names_the_configuration(place: Place) -> None:
    text = readings.caption(place.settings(noise=0.05))
    assert "noise 0.05 (seed 0)" in text
    assert "percentile ranges, head round, conditional calibration (seed 0)" in text
    name: Variant = ("generative", 3)
    assert name in readings.variants(place.settings())


@pytest.mark.parametrize("text", [*readings.EXAMPLES])
def test_examples_fit_into_the_text_field(text: str) -> None:
    assert 0 < len(text) <= readings.MAX_CHARACTERS
