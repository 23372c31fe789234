"""Documents as they are evaluated: made once, and equal to encoding them step by step."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from tiny import forget_corpora, rows_of, specify, workplace

from core import inputs, noise, pipeline, tokens
from core.config import EvaluationSpec
from core.corpora import Documents
from core.tokens import Encoded


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
