"""What is evaluated: corpora, their encoded splits and noisy copies of them, each made once and kept in memory."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from core import runtime
from core.config import CorpusSpec, EvaluationSpec, ModelRun, NoiseSpec, Split, TokenSpec, derived_key
from core.errors import InputError
from core.seeding import derive
from core.storage.store import Row, Store
from core.text import corpora, noise, sources, tokens
from core.text.corpora import Corpus, Documents
from core.text.tokens import Encoded, EncodedCorpus

KEPT_CORPORA = 2
KEPT_DOCUMENTS = 32  # encoded test sets: the noise levels of a study, read by two models


def load(spec: CorpusSpec) -> Corpus:
    """Return the corpus of a spec, kept in memory while the file behind it does not change.

    Raises InputError if it cannot be had, or has another content than the spec says.
    """
    path = Path(spec.name)
    stamp = (path.stat().st_mtime_ns, path.stat().st_size) if path.is_file() else None
    corpus = _load(spec.model_copy(update={"content": ""}), runtime.cache_dir(), stamp)
    if spec.content and corpus.fingerprint != spec.content:
        raise InputError(_other_text(spec, corpus))
    return corpus


def encode(corpus: CorpusSpec, spec: TokenSpec) -> EncodedCorpus:
    """Return the encoded corpus; the ids are kept in the store by the corpus's content."""
    return _encode(resolve_corpus(corpus), spec, runtime.cache_dir())


def encode_training(run: ModelRun) -> EncodedCorpus:
    """Return what a run trains on: its encoded corpus, training and validation text corrupted if the run says so."""
    data = encode(run.corpus, run.tokens)
    return _corrupted(run, runtime.cache_dir()) if run.train.noise else data


def resolve_corpus(spec: CorpusSpec) -> CorpusSpec:
    """Return the spec with the content hash of what it names now.

    Where the corpus would come from the hub, or cannot be had, the content last trained on with these settings stands
    in, so that results can be looked up without it. Raises InputError if there is neither, and for a file that cannot
    be used.
    """
    if spec.content:
        return spec
    if sources.needs_hub(spec.name) and (known := _last_trained_on(spec)):
        return known
    try:
        return spec.model_copy(update={"content": load(spec).fingerprint})
    except InputError:
        if Path(spec.name).is_file() or not (known := _last_trained_on(spec)):
            raise
        return known


def encode_documents(spec: EvaluationSpec, documents: Documents | None) -> tuple[Encoded, Row]:
    """Return the documents of a resolved spec, corrupted and cut as it says, and the rates that came about.

    `documents` replaces the corpus's split.
    """
    run = spec.variant.run
    if documents is None:
        return _encode_split(run.corpus, run.tokens, spec.split, spec.noise, spec.limit, runtime.cache_dir())
    return _noisy(documents, encode(run.corpus, run.tokens), run.tokens, spec.noise, spec.limit)


def read_texts(spec: EvaluationSpec) -> list[str]:
    """Return the texts of a spec's documents, corrupted and cut as it says, before they are cleaned and cut in words.

    Raises InputError where the corpus cannot be had, and for a file of the user's.
    """
    if spec.documents is not None:
        raise InputError("the texts of a test file are not kept; open the file itself")
    corpus = load(spec.variant.run.corpus)
    return noise.corrupt(getattr(corpus, spec.split).texts[: spec.limit], spec.noise, _alphabet(corpus)).texts


def _last_trained_on(spec: CorpusSpec) -> CorpusSpec | None:
    cards = sorted(Store().model_cards(corpus=spec.name), key=lambda card: card["created"], reverse=True)
    known = (CorpusSpec.model_validate(card["spec"]["corpus"]) for card in cards)
    return next((corpus for corpus in known if corpus.model_copy(update={"content": ""}) == spec), None)


def _other_text(spec: CorpusSpec, found: Corpus) -> str:
    if not sources.needs_hub(spec.name):
        return f"corpus {spec.name!r} has changed since it was specified; specify it again"
    return (
        f"the stored results of {spec.name!r} are about another text than the hub's ({found.source}); set "
        f"BITDIAL_DATA_DIR to a folder with theirs, or go over to the hub's: python -m core fetch {spec.name}"
    )


@lru_cache(maxsize=KEPT_CORPORA)
def _corrupted(run: ModelRun, cache: Path) -> EncodedCorpus:
    data = encode(run.corpus, run.tokens)
    splits = [
        _noisy(documents, data, run.tokens, NoiseSpec(level=run.train.noise, seed=derive(run.train.seed, name)), None)
        for name, documents in (("train", data.corpus.train), ("validation", data.corpus.validation))
    ]
    return replace(data, train=splits[0][0], validation=splits[1][0])


@lru_cache(maxsize=KEPT_DOCUMENTS)
def _encode_split(
    corpus: CorpusSpec, spec: TokenSpec, split: Split, noise_spec: NoiseSpec, limit: int | None, cache: Path
) -> tuple[Encoded, Row]:
    data = encode(corpus, spec)
    return _noisy(getattr(data.corpus, split), data, spec, noise_spec, limit)


def _noisy(
    documents: Documents, data: EncodedCorpus, spec: TokenSpec, noise_spec: NoiseSpec, limit: int | None
) -> tuple[Encoded, Row]:
    chosen = documents.subset(np.arange(min(limit, len(documents)))) if limit else documents
    noisy = noise.corrupt(chosen.texts, noise_spec, _alphabet(data.corpus))
    encoded = tokens.encode(noisy.texts, chosen.labels, data.vocabulary, spec)
    rates = {"character_rate": noisy.character_rate, "oov_rate": encoded.oov_rate}
    return encoded, rates | {"truncation_rate": encoded.truncation_rate, "mean_length": encoded.mean_length}


@lru_cache(maxsize=KEPT_CORPORA)
def _load(spec: CorpusSpec, cache: Path, stamp: object) -> Corpus:
    return corpora.load(spec)


@lru_cache(maxsize=2 * KEPT_CORPORA)
def _encode(spec: CorpusSpec, token_spec: TokenSpec, cache: Path) -> EncodedCorpus:
    corpus, store, key = load(spec), Store(), derived_key(spec, token_spec)
    if found := store.load_tensors("tokens", key):
        return tokens.from_tensors(corpus, *found)
    data = tokens.encode_corpus(corpus, token_spec)
    arrays, words = tokens.to_tensors(data)
    meta = {"spec": [spec.model_dump(mode="json"), token_spec.model_dump(mode="json")], "versions": runtime.versions()}
    store.save_tensors("tokens", key, arrays, meta | words)
    return data


@lru_cache(maxsize=KEPT_CORPORA)
def _alphabet(corpus: Corpus) -> str:
    return noise.alphabet(corpus.train.texts)
