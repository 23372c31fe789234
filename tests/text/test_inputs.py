"""Documents as they are evaluated: made once, and equal to encoding them step by step."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from tiny import RUN, forget_corpora, rows_of, specify, workplace

from core import pipeline
from core.config import EvaluationSpec, NoiseSpec
from core.errors import InputError
from core.seeding import derive
from core.text import inputs, noise, tokens
from core.text.corpora import Documents
from core.text.tokens import Encoded, EncodedCorpus


@pytest.fixture
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with workplace(tmp_path_factory.mktemp("inputs")) as path:
        yield str(path)


def resolved(corpus: str, **settings: object) -> EvaluationSpec:
    return pipeline.resolve(specify(corpus, **settings))  # type: ignore[arg-type]


def step_by_step(spec: EvaluationSpec, documents: Documents) -> Encoded:
    run = spec.variant.run
    data = pipeline.encode(run.corpus, run.tokens)
    texts, labels = documents.texts[: spec.limit], documents.labels[: spec.limit]
    noisy = noise.corrupt(texts, spec.noise, noise.alphabet(data.corpus.train.texts))
    return tokens.encode(noisy.texts, labels, data.vocabulary, run.tokens)


def assert_same(found: Encoded, expected: Encoded) -> None:
    assert found.ids.tolist() == expected.ids.tolist()
    assert found.offsets.tolist() == expected.offsets.tolist()
    assert found.labels.tolist() == expected.labels.tolist()


@pytest.mark.parametrize("level", [0.0, 0.05])
@pytest.mark.parametrize("limit", [None, 5, 10_000])
def test_a_split_is_corrupted_cut_and_encoded(corpus: str, level: float, limit: int | None) -> None:
    spec = resolved(corpus, noise=level, limit=limit)
    found, rates = inputs.encode_documents(spec, None)
    assert_same(found, step_by_step(spec, inputs.load(spec.variant.run.corpus).test))
    assert (rates["character_rate"] > 0) == (level > 0)
    assert rates["mean_length"] == found.mean_length


def test_documents_of_ones_own_take_the_place_of_the_split(corpus: str) -> None:
    texts, labels = zip(*rows_of(2, seed=9), strict=True)
    own = Documents(list(texts), np.arange(len(labels)) % 3)
    spec = resolved(corpus, noise=0.05)
    assert_same(inputs.encode_documents(spec, own)[0], step_by_step(spec, own))


def test_every_width_of_a_model_reads_the_same_encoded_documents(corpus: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = tokens.encode, Counter[str]()

    def counted(*arguments: object) -> object:
        calls["encode"] += 1
        return original(*arguments)  # type: ignore[arg-type]

    first = [inputs.encode_documents(resolved(corpus, noise=level), None)[0] for level in (0.0, 0.05)]
    monkeypatch.setattr(tokens, "encode", counted)
    again = [inputs.encode_documents(resolved(corpus, bits=bits, noise=0.05), None)[0] for bits in (8, 4, 3)]
    assert all(encoded is first[1] for encoded in again)
    assert not calls
    inputs.encode_documents(resolved(corpus, noise=0.1), None)
    forget_corpora()
    inputs.encode_documents(resolved(corpus, noise=0.05), None)
    assert calls["encode"] == 2  # the level that was new, and the one that was forgotten


# Training on noisy text


def training_of(corpus: str, **run: object) -> EncodedCorpus:
    return inputs.encode_training(resolved(corpus, run={**RUN, **run}).variant.run)


def same_words(one: Encoded, other: Encoded) -> bool:
    return (one.ids.tolist(), one.offsets.tolist()) == (other.ids.tolist(), other.offsets.tolist())


def test_training_text_is_corrupted_and_nothing_else(corpus: str) -> None:
    plain, noisy = training_of(corpus), training_of(corpus, noise=0.1)
    assert not same_words(noisy.train, plain.train)
    assert not same_words(noisy.validation, plain.validation)
    assert_same(noisy.test, plain.test)
    assert noisy.vocabulary == plain.vocabulary
    assert noisy.corpus is plain.corpus
    for part in ("train", "validation"):
        assert getattr(noisy, part).labels.tolist() == getattr(plain, part).labels.tolist()
        assert getattr(noisy, part).oov_rate > getattr(plain, part).oov_rate


def test_training_noise_is_drawn_by_the_runs_seed_for_each_split(corpus: str) -> None:
    first = training_of(corpus, noise=0.1)
    forget_corpora()
    again, other = training_of(corpus, noise=0.1), training_of(corpus, noise=0.1, seed=1)
    for part in ("train", "validation"):
        assert_same(getattr(again, part), getattr(first, part))
        assert not same_words(getattr(other, part), getattr(first, part))
    documents = inputs.load(resolved(corpus).variant.run.corpus)
    letters = noise.alphabet(documents.train.texts)
    seed = derive(0, "validation")
    texts = noise.corrupt(documents.validation.texts, NoiseSpec(level=0.1, seed=seed), letters).texts
    run = resolved(corpus).variant.run
    assert_same(first.validation, tokens.encode(texts, documents.validation.labels, first.vocabulary, run.tokens))


def test_without_noise_a_run_trains_on_its_corpus(corpus: str) -> None:
    run = resolved(corpus).variant.run
    assert training_of(corpus) is inputs.encode(run.corpus, run.tokens)


@pytest.mark.parametrize("level", [0.0, 0.05])
@pytest.mark.parametrize("limit", [None, 5])
def test_texts_are_read_as_they_are_evaluated(corpus: str, level: float, limit: int | None) -> None:
    spec = resolved(corpus, noise=level, limit=limit)
    data = pipeline.encode(spec.variant.run.corpus, spec.variant.run.tokens)
    texts = inputs.read_texts(spec)
    encoded = tokens.encode(texts, data.corpus.test.labels[:limit], data.vocabulary, spec.variant.run.tokens)
    assert_same(encoded, inputs.encode_documents(spec, None)[0])
    assert (texts == data.corpus.test.texts[:limit]) == (level == 0)


def test_texts_of_a_users_file_are_not_kept(corpus: str) -> None:
    spec = resolved(corpus).model_copy(update={"documents": "0" * 16})
    with pytest.raises(InputError, match="the texts of a test file are not kept; open the file itself"):
        inputs.read_texts(spec)
