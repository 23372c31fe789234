"""Text to ids: cleaning, spaCy tokenization, a frequency vocabulary, ragged id arrays, length-bucketed batches.

"Fed's &lt;b&gt;rates&lt;/b&gt; up 2.5%"  ->  fed s rates up 2 5  ->  [2, 17, 9, 240, 33, 51, 88, 3]
"""

import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch

from core.config import TokenSpec
from core.errors import InputError
from core.text.corpora import Corpus

PAD, UNK, BOS, EOS = range(4)
SPECIALS = ("<pad>", "<unk>", "<bos>", "<eos>")


def clean(text: str, lowercase: bool = True) -> str:
    """Drop mark-up, HTML entities, punctuation, special characters and excess white space (paper, Figure 2).

    Entities that lost their ampersand (`#39;`, `quot;`) and AG News's backslash line ends count too.
    """
    text = html.unescape(_LOST_AMPERSAND.sub(r"&\1;", text))
    text = _NOT_WORD.sub(" ", _TAG.sub(" ", html.unescape(text)))
    text = " ".join(text.split())
    return text.lower() if lowercase else text


def tokenize(texts: Iterable[str], lowercase: bool = True) -> Iterator[list[str]]:
    """Yield the words of each cleaned text, split by spaCy's English rules."""
    tokenizer = _tokenizer()
    for text in texts:
        yield [token.text for token in tokenizer(clean(text, lowercase))]


@dataclass(frozen=True)
class Vocabulary:
    """Words by id; the first four are `<pad> <unk> <bos> <eos>`."""

    words: tuple[str, ...]

    @classmethod
    def build(cls, documents: Iterable[Sequence[str]], min_frequency: int) -> "Vocabulary":
        """Keep every word seen `min_frequency` times or more, most frequent first, ties in ASCII order.

        Raises InputError if no word is left.
        """
        counts = Counter(word for words in documents for word in words)
        kept = sorted((w for w, n in counts.items() if n >= min_frequency), key=lambda w: (-counts[w], w))
        if not kept:
            raise InputError(f"no word occurs {min_frequency} times in the training text; lower min_frequency")
        return cls(SPECIALS + tuple(kept))

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, words: Sequence[str]) -> list[int]:
        """Return the ids of `words`, `<unk>` for those not in the vocabulary."""
        return [self._index.get(word, UNK) for word in words]

    @cached_property
    def _index(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words)}


@dataclass(frozen=True)
class Encoded:
    """N documents as one flat id array: document i is `ids[offsets[i]:offsets[i + 1]]`.

    ids (sum of T,) int32, offsets (N + 1,) int64, labels (N,) int64; `oov_rate` is the share of words
    outside the vocabulary, `truncation_rate` the share of documents cut at `max_tokens`.
    """

    ids: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray
    oov_rate: float
    truncation_rate: float

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.offsets)

    @property
    def mean_length(self) -> float:
        return float(self.lengths.mean())

    def select(self, index: np.ndarray) -> "Encoded":
        """Return the documents of `index`, in that order, with the rates of the whole."""
        offsets = np.concatenate([[0], np.cumsum(self.lengths[index])]).astype(np.int64)
        return Encoded(self.ids_of(index), offsets, self.labels[index], self.oov_rate, self.truncation_rate)

    def ids_of(self, index: np.ndarray) -> np.ndarray:
        """Return the ids of the documents of `index`, one document after the other, (sum of T,)."""
        lengths = self.lengths[index]
        before = self.offsets[index] - (np.cumsum(lengths) - lengths)
        return self.ids[np.repeat(before, lengths) + np.arange(lengths.sum())]


def encode(texts: Sequence[str], labels: np.ndarray, vocabulary: Vocabulary, spec: TokenSpec) -> Encoded:
    """Tokenize and encode `texts`: `<bos>`, at most `spec.max_tokens` ids, `<eos>`."""
    return encode_words(tokenize(texts, spec.lowercase), labels, vocabulary, spec)


def encode_words(
    documents: Iterable[Sequence[str]], labels: np.ndarray, vocabulary: Vocabulary, spec: TokenSpec
) -> Encoded:
    """Encode documents that are words already; see `encode`."""
    rows, words, unknown, cut = [], 0, 0, 0
    for document in documents:
        ids = vocabulary.encode(document)
        words, unknown = words + len(ids), unknown + ids.count(UNK)
        cut += len(ids) > spec.max_tokens
        rows.append(np.array([BOS, *ids[: spec.max_tokens], EOS], dtype=np.int32))
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    flat = np.concatenate(rows) if rows else np.zeros(0, np.int32)
    return Encoded(flat, offsets, np.asarray(labels, np.int64), unknown / max(words, 1), cut / max(len(rows), 1))


@dataclass(frozen=True)
class EncodedCorpus:
    """A corpus ready for models: the vocabulary of its training split and the three encoded splits."""

    corpus: Corpus
    vocabulary: Vocabulary
    train: Encoded
    validation: Encoded
    test: Encoded


def encode_corpus(corpus: Corpus, spec: TokenSpec) -> EncodedCorpus:
    """Build the vocabulary from the training split alone and encode all three splits with it."""
    train_words = list(tokenize(corpus.train.texts, spec.lowercase))
    vocabulary = Vocabulary.build(train_words, spec.min_frequency)
    train = encode_words(train_words, corpus.train.labels, vocabulary, spec)
    validation = encode(corpus.validation.texts, corpus.validation.labels, vocabulary, spec)
    test = encode(corpus.test.texts, corpus.test.labels, vocabulary, spec)
    return EncodedCorpus(corpus, vocabulary, train, validation, test)


def to_tensors(data: EncodedCorpus) -> tuple[dict[str, torch.Tensor], dict]:
    """Return the three encoded splits as named tensors, vocabulary and rates as JSON: the form that is stored."""
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    tensors = {
        f"{split}.{name}": torch.from_numpy(getattr(encoded, name))
        for split, encoded in splits.items()
        for name in ("ids", "offsets", "labels")
    }
    rates = {split: [encoded.oov_rate, encoded.truncation_rate] for split, encoded in splits.items()}
    return tensors, {"words": list(data.vocabulary.words), "rates": rates}


def from_tensors(corpus: Corpus, tensors: dict[str, torch.Tensor], meta: dict) -> EncodedCorpus:
    """Read `to_tensors` back."""
    splits = []
    for split in ("train", "validation", "test"):
        ids, offsets, labels = (tensors[f"{split}.{name}"].numpy() for name in ("ids", "offsets", "labels"))
        splits.append(Encoded(ids, offsets, labels, *meta["rates"][split]))
    return EncodedCorpus(corpus, Vocabulary(tuple(meta["words"])), *splits)


@dataclass(frozen=True)
class Batch:
    """Right-padded documents: ids (B, T) int64, lengths (B,) int64, labels (B,) int64, index (B,) int64.

    `index` says which document of the Encoded each row is.
    """

    ids: torch.Tensor
    lengths: torch.Tensor
    labels: torch.Tensor
    index: torch.Tensor

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(tensor.to(device) for tensor in (self.ids, self.lengths, self.labels, self.index)))

    @property
    def mask(self) -> torch.Tensor:
        """True at the real tokens, (B, T)."""
        return torch.arange(self.ids.shape[1], device=self.ids.device) < self.lengths[:, None]


def batches(encoded: Encoded, batch_size: int, generator: np.random.Generator | None = None) -> Iterator[Batch]:
    """Yield every document once, in batches of similar length.

    Without a generator: shortest first. With one: documents are shuffled, sorted by length inside
    windows of 50 batches, and the batches come in random order.
    """
    if generator is None:
        order = np.argsort(encoded.lengths, kind="stable")
        groups = _split(order, batch_size)
    else:
        shuffled = generator.permutation(len(encoded))
        windows = _split(shuffled, batch_size * 50)
        sorted_windows = (window[np.argsort(encoded.lengths[window], kind="stable")] for window in windows)
        groups = [group for window in sorted_windows for group in _split(window, batch_size)]
        groups = [groups[i] for i in generator.permutation(len(groups))]
    for group in groups:
        yield make_batch(encoded, group)


def make_batch(encoded: Encoded, index: np.ndarray) -> Batch:
    """Pad the documents of `index` to the longest of them."""
    lengths = encoded.lengths[index]
    ids = np.full((len(index), int(lengths.max())), PAD, dtype=np.int64)
    ids[np.arange(ids.shape[1]) < lengths[:, None]] = encoded.ids_of(index)
    arrays = (ids, lengths.astype(np.int64), encoded.labels[index], np.asarray(index, np.int64))
    return Batch(*(torch.from_numpy(array) for array in arrays))


_LOST_AMPERSAND = re.compile(r"(?<![&\w])&?(#\d{1,5}|quot|amp|lt|gt|nbsp|apos);")
_TAG = re.compile(r"<(?:\s?/?\s?[a-zA-Z]|!)[^<>]{0,200}>")
_NOT_WORD = re.compile(r"[\W_]+")


@cache
def _tokenizer() -> Any:
    import spacy

    return spacy.blank("en").tokenizer


def _split(order: np.ndarray, size: int) -> list[np.ndarray]:
    return [order[start : start + size] for start in range(0, len(order), size)]
