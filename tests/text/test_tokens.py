import json
import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.config import TokenSpec
from core.errors import InputError
from core.text.corpora import Corpus, Documents
from core.text.tokens import (
    BOS,
    EOS,
    PAD,
    SPECIALS,
    UNK,
    Batch,
    Encoded,
    Vocabulary,
    batches,
    clean,
    encode,
    encode_corpus,
    encode_words,
    from_tensors,
    make_batch,
    to_tensors,
    tokenize,
)

word_lists = st.lists(st.lists(st.sampled_from("abcdefghij"), max_size=12), min_size=1, max_size=12)


def documents(*texts: str) -> Documents:
    return Documents(list(texts), np.arange(len(texts)) % 2)


def corpus(train: Documents, validation: Documents, test: Documents) -> Corpus:
    return Corpus("toy", ("even", "odd"), train, validation, test, "", "", "")


def encoded_of(lengths: Sequence[int]) -> Encoded:
    """Documents of so many words, the words of document i all alike and unlike any other's."""
    vocabulary = Vocabulary(SPECIALS + tuple(f"w{i}" for i in range(len(lengths))))
    words = [[f"w{i}"] * length for i, length in enumerate(lengths)]
    return encode_words(words, np.arange(len(lengths)) % 3, vocabulary, TokenSpec(max_tokens=1000))


def rows(encoded: Encoded) -> list[list[int]]:
    return [encoded.ids[a:b].tolist() for a, b in zip(encoded.offsets, encoded.offsets[1:], strict=False)]


# Cleaning


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Fed's &lt;b&gt;rates&lt;/b&gt; up 2.5%", "fed s rates up 2 5"),
        ("AT&amp;T &quot;up&quot;&nbsp;again", "at t up again"),
        ("&#36;5 caf&#233; &eacute;t&eacute;", "5 café été"),
        (
            "twice escaped: &amp;quot;x&amp;quot; &amp;lt;i&amp;gt;y&amp;lt;/i&amp;gt; &amp;eacute;t",
            "twice escaped x y ét",
        ),
        # AG News lost the ampersand of many entities ...
        ("China #39;s quot;boom quot; #36;46 billion", "china s boom 46 billion"),
        ("lt;b gt;S amp;P lt;/b gt; nbsp;apos;x", "s p x"),
        # ... but a word before the semicolon is a word.
        ("Training Camp; the lamp; a melt; no1#39;s #123456; x", "training camp the lamp a melt no1 39 s 123456 x"),
        (r"Reuters - Short-sellers\band\are seeing green\\again", "reuters short sellers band are seeing green again"),
        ('see <a href="http://x.org/?q=1&amp;r=2">here</a><br/>now <!-- note -->', "see here now"),
        ("2 < 3 and 5 > 4", "2 3 and 5 4"),
        ("tokyo <7269.T > rose", "tokyo 7269 t rose"),
        ("a < td >cell</ td > x", "a cell x"),
        ("snake_case __dunder__ a__b", "snake case dunder a b"),
        ("naïve Ärger, 東京 2020 🙂 e=mc²", "naïve ärger 東京 2020 e mc²"),
        ("  tabs\tand\r\nlines \u00a0 end ", "tabs and lines end"),
        ("", ""),
        ("!?! ... <p>", ""),
    ],
)
def test_clean(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_case_is_kept_if_asked() -> None:
    assert clean("The Fed &AMP; McDonald's", lowercase=False) == "The Fed McDonald s"


@given(text=st.text())
def test_cleaned_text_is_letters_and_digits_with_single_spaces(text: str) -> None:
    cleaned = clean(text, lowercase=False)
    assert all(word.isalnum() for word in cleaned.split(" ")) or cleaned == ""
    assert clean(cleaned, lowercase=False) == cleaned


@given(words=st.lists(st.from_regex(r"[a-z]{1,9}", fullmatch=True)))
def test_plain_words_are_left_alone(words: list[str]) -> None:
    assert clean(" ".join(words)) == " ".join(words)


def test_a_comparison_sign_does_not_swallow_the_text_behind_it() -> None:
    long = "x < " + "word " * 100 + ">"
    assert clean(long).split() == ["x"] + ["word"] * 100


# Words


def test_tokenize_yields_the_words_of_each_text() -> None:
    assert list(tokenize(["Oil prices, up again!", "", "Fed"])) == [["oil", "prices", "up", "again"], [], ["fed"]]
    assert list(tokenize(["Oil Prices"], lowercase=False)) == [["Oil", "Prices"]]


def test_tokenize_splits_by_english_rules_and_loses_nothing() -> None:
    (words,) = tokenize(["we cannot meet at 9pm"])
    assert words == ["we", "can", "not", "meet", "at", "9", "pm"]


# Vocabulary


def test_words_are_ordered_by_frequency_and_then_by_code_point() -> None:
    vocabulary = Vocabulary.build([["b", "a", "c"], ["c", "é", "B"], ["c", "b", "a"]], min_frequency=1)
    assert vocabulary.words == ("<pad>", "<unk>", "<bos>", "<eos>", "c", "a", "b", "B", "é")
    assert (PAD, UNK, BOS, EOS) == (0, 1, 2, 3)
    assert len(vocabulary) == 9


@given(lists=word_lists, min_frequency=st.integers(1, 4))
def test_every_word_frequent_enough_is_kept(lists: list[list[str]], min_frequency: int) -> None:
    counts = Counter(word for words in lists for word in words)
    frequent = {word for word, count in counts.items() if count >= min_frequency}
    if not frequent:
        with pytest.raises(InputError):
            Vocabulary.build(lists, min_frequency)
        return
    kept = Vocabulary.build(lists, min_frequency).words[len(SPECIALS) :]
    assert sorted(kept) == sorted(frequent)
    assert [counts[word] for word in kept] == sorted((counts[word] for word in kept), reverse=True)


@given(lists=word_lists.filter(any), seed=st.integers(0, 99))
def test_the_order_of_documents_does_not_matter(lists: list[list[str]], seed: int) -> None:
    shuffled = random.Random(seed).sample(lists, len(lists))
    assert Vocabulary.build(shuffled, 1) == Vocabulary.build(lists, 1)


def test_a_vocabulary_of_nothing_is_refused() -> None:
    with pytest.raises(InputError) as refusal:
        Vocabulary.build([["a", "b"], []], min_frequency=2)
    assert str(refusal.value) == "no word occurs 2 times in the training text; lower min_frequency"


def test_words_become_ids_and_back() -> None:
    vocabulary = Vocabulary.build([["oil", "up", "oil"]], 1)
    assert vocabulary.encode(["up", "gold", "oil"]) == [5, UNK, 4]
    assert vocabulary.encode([]) == []
    assert vocabulary.encode(vocabulary.words) == list(range(len(vocabulary)))


# Encoding


def test_a_document_is_bos_its_words_and_eos() -> None:
    vocabulary = Vocabulary.build([["oil", "up", "oil"]], 1)
    encoded = encode(["Oil up!", "", "gold up up up"], np.array([1, 0, 2]), vocabulary, TokenSpec(max_tokens=3))
    assert rows(encoded) == [[BOS, 4, 5, EOS], [BOS, EOS], [BOS, UNK, 5, 5, EOS]]
    assert encoded.lengths.tolist() == [4, 2, 5]
    assert encoded.mean_length == pytest.approx(11 / 3)
    assert encoded.labels.tolist() == [1, 0, 2]
    assert [array.dtype.name for array in (encoded.ids, encoded.offsets, encoded.labels)] == ["int32", "int64", "int64"]
    assert (encoded.oov_rate, encoded.truncation_rate) == (1 / 6, 1 / 3)


@given(lists=word_lists, max_tokens=st.integers(1, 6), known=st.sets(st.sampled_from("abcdefghij")))
def test_encoding_agrees_with_a_slow_loop(lists: list[list[str]], max_tokens: int, known: set[str]) -> None:
    vocabulary = Vocabulary(SPECIALS + tuple(sorted(known)))
    encoded = encode_words(lists, np.zeros(len(lists)), vocabulary, TokenSpec(max_tokens=max_tokens))
    words, unknown, cut, expected = 0, 0, 0, []
    for document in lists:
        row = [BOS]
        for position, word in enumerate(document):
            words += 1
            unknown += word not in known
            if position < max_tokens:
                row.append(vocabulary.words.index(word) if word in known else UNK)
        cut += len(document) > max_tokens
        expected.append([*row, EOS])
    assert rows(encoded) == expected
    assert encoded.oov_rate == (unknown / words if words else 0)
    assert encoded.truncation_rate == cut / len(lists)


def test_no_documents_encode_to_nothing() -> None:
    encoded = encode([], np.zeros(0), Vocabulary.build([["a"]], 1), TokenSpec())
    assert (len(encoded), encoded.ids.size, encoded.oov_rate, encoded.truncation_rate) == (0, 0, 0, 0)
    assert list(batches(encoded, 4)) == []


def test_the_vocabulary_is_the_training_splits_alone() -> None:
    train = documents("oil up", "oil down", "up up and down")
    data = encode_corpus(
        corpus(train, documents("gold up"), documents("gold gold gold oil")), TokenSpec(min_frequency=2)
    )
    assert data.vocabulary.words == (*SPECIALS, "up", "down", "oil")
    assert rows(data.train) == [[BOS, 6, 4, EOS], [BOS, 6, 5, EOS], [BOS, 4, 4, UNK, 5, EOS]]
    assert rows(data.validation) == [[BOS, UNK, 4, EOS]]
    assert rows(data.test) == [[BOS, UNK, UNK, UNK, 6, EOS]]
    assert (data.train.oov_rate, data.validation.oov_rate, data.test.oov_rate) == (1 / 8, 1 / 2, 3 / 4)
    assert [part.labels.tolist() for part in (data.train, data.validation, data.test)] == [[0, 1, 0], [0], [0]]


def test_encode_corpus_follows_the_spec() -> None:
    data = encode_corpus(
        corpus(documents("Oil oil up up"), documents("OIL"), documents("x")),
        TokenSpec(lowercase=False, min_frequency=1, max_tokens=2),
    )
    assert data.vocabulary.words == (*SPECIALS, "up", "Oil", "oil")
    assert rows(data.train) == [[BOS, 5, 6, EOS]]
    assert data.train.truncation_rate == 1


def test_a_training_split_without_frequent_words_is_refused() -> None:
    part = documents("!!!", "one two")
    with pytest.raises(InputError, match="no word occurs 2 times in the training text; lower min_frequency"):
        encode_corpus(corpus(part, part, part), TokenSpec(min_frequency=2))


def test_an_encoded_corpus_survives_the_store() -> None:
    toy = corpus(documents("oil up", "oil down"), documents("gold up"), documents())
    data = encode_corpus(toy, TokenSpec(min_frequency=1, max_tokens=1))
    tensors, meta = to_tensors(data)
    back = from_tensors(toy, tensors, json.loads(json.dumps(meta)))
    assert (back.corpus, back.vocabulary) == (toy, data.vocabulary)
    for ours, theirs in ((back.train, data.train), (back.validation, data.validation), (back.test, data.test)):
        assert rows(ours) == rows(theirs)
        assert ours.labels.tolist() == theirs.labels.tolist()
        assert (ours.oov_rate, ours.truncation_rate) == (theirs.oov_rate, theirs.truncation_rate)
        assert ours.ids.dtype == theirs.ids.dtype


@given(lengths=st.lists(st.integers(0, 9), min_size=1, max_size=9), data=st.data())
def test_select_takes_the_documents_named_in_their_order(lengths: list[int], data: st.DataObject) -> None:
    encoded = encoded_of(lengths)
    index = data.draw(st.lists(st.integers(0, len(lengths) - 1), max_size=12))
    selected = encoded.select(np.array(index, dtype=np.int64))
    assert rows(selected) == [rows(encoded)[i] for i in index]
    assert selected.labels.tolist() == [encoded.labels[i] for i in index]
    assert [array.dtype.name for array in (selected.ids, selected.offsets)] == ["int32", "int64"]


def test_select_keeps_the_rates_of_the_whole() -> None:
    encoded = encode_words([["a"], ["b", "b"]], np.zeros(2), Vocabulary((*SPECIALS, "a")), TokenSpec(max_tokens=1))
    selected = encoded.select(np.array([0]))
    assert (selected.oov_rate, selected.truncation_rate) == (2 / 3, 1 / 2)


# Batches

LENGTHS = np.random.default_rng(0).integers(1, 60, 230).tolist()


def rows_of(batch: Batch) -> dict[int, list[int]]:
    """The unpadded documents of a batch by their index."""
    return {
        index: ids[:length]
        for index, ids, length in zip(batch.index.tolist(), batch.ids.tolist(), batch.lengths.tolist(), strict=True)
    }


@pytest.mark.parametrize("batch_size", [1, 7, 32, 230, 1000])
@pytest.mark.parametrize("seed", [None, 0])
def test_batches_hold_every_document_once(batch_size: int, seed: int | None) -> None:
    encoded = encoded_of(LENGTHS)
    generator = None if seed is None else np.random.default_rng(seed)
    found = list(batches(encoded, batch_size, generator))
    assert len(found) == -(-len(LENGTHS) // batch_size)
    assert max(len(batch.index) for batch in found) <= batch_size
    indices = [index for batch in found for index in batch.index.tolist()]
    assert sorted(indices) == list(range(len(LENGTHS)))
    expected = rows(encoded)
    for batch in found:
        assert rows_of(batch) == {index: expected[index] for index in batch.index.tolist()}
        assert batch.labels.tolist() == [encoded.labels[index] for index in batch.index.tolist()]


def test_a_batch_is_padded_to_its_longest_document() -> None:
    batch = make_batch(encoded_of([2, 0, 3]), np.array([2, 1]))
    assert batch.ids.tolist() == [[BOS, 6, 6, 6, EOS], [BOS, EOS, PAD, PAD, PAD]]
    assert batch.mask.tolist() == [[True] * 5, [True, True, False, False, False]]
    assert (batch.lengths.tolist(), batch.labels.tolist(), batch.index.tolist()) == ([5, 2], [2, 1], [2, 1])
    assert all(tensor.dtype == torch.int64 for tensor in (batch.ids, batch.lengths, batch.labels, batch.index))


def test_a_batch_moves_as_a_whole() -> None:
    moved = make_batch(encoded_of([2, 0, 3]), np.arange(3)).to(torch.device("meta"))
    assert {tensor.device.type for tensor in (moved.ids, moved.lengths, moved.labels, moved.index)} == {"meta"}
    assert moved.mask.device.type == "meta"


def test_the_mask_covers_exactly_the_real_tokens() -> None:
    for batch in batches(encoded_of(LENGTHS), 32):
        assert torch.equal(batch.mask, batch.ids != PAD)


def padding(found: list[Batch]) -> int:
    return sum(int((batch.ids == PAD).sum()) for batch in found)


def test_without_a_generator_the_shortest_come_first() -> None:
    found = list(batches(encoded_of(LENGTHS), 16))
    lengths = torch.cat([batch.lengths for batch in found])
    assert torch.equal(lengths, lengths.sort().values)


@pytest.mark.parametrize("generator", [None, np.random.default_rng(0)])
def test_batches_of_similar_length_pad_less(generator: np.random.Generator | None) -> None:
    encoded = encoded_of(LENGTHS)
    plain = [make_batch(encoded, np.arange(start, min(start + 16, 230))) for start in range(0, 230, 16)]
    assert padding(list(batches(encoded, 16, generator))) < padding(plain) / 4


def test_the_generator_decides_the_order() -> None:
    encoded = encoded_of(LENGTHS)

    def order(seed: int) -> list[list[int]]:
        return [batch.index.tolist() for batch in batches(encoded, 16, np.random.default_rng(seed))]

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert {frozenset(group) for group in order(1)} != {frozenset(group) for group in order(2)}


def test_shuffled_batches_do_not_come_by_length() -> None:
    longest = [int(batch.lengths.max()) for batch in batches(encoded_of(LENGTHS), 16, np.random.default_rng(0))]
    assert longest != sorted(longest)


def test_documents_mix_beyond_their_neighbourhood() -> None:
    """Of equally long documents, a batch of a shuffled pass is a random sample of all."""
    encoded = encoded_of([5] * 400)
    first = next(iter(batches(encoded, 20, np.random.default_rng(0))))
    assert first.index.max() - first.index.min() > 200
