"""Byte-level BPE and subword encoding: round trip, truncation, unknown tokens, noise."""

import numpy as np
import pytest
import tiny
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from core.config import CorpusSpec, NoiseSpec
from core.text import inputs, noise
from core.transformers import subwords
from core.transformers.transformer_config import SubwordSpec

TEXTS = [text for text, _ in tiny.rows_of(30)]


@pytest.fixture(scope="module")
def bpe() -> Tokenizer:
    return subwords.learn_bpe(TEXTS, 300)


def encoded(tokenizer: Tokenizer, texts: list[str], max_tokens: int = 128):
    return subwords.encode(texts, np.zeros(len(texts), np.int64), tokenizer, SubwordSpec(max_tokens=max_tokens))


def test_any_text_comes_back_whole_and_ends_in_the_end_token(bpe: Tokenizer) -> None:
    texts = ["the harvest fell", "Zürich 100 % ☂", "\u00ad tab\tand\nline"]
    found = encoded(bpe, texts)
    for place, text in enumerate(texts):
        ids = found.ids[found.offsets[place] : found.offsets[place + 1]].tolist()
        assert ids[-1] == bpe.token_to_id(subwords.END_TOKEN)
        assert bpe.decode(ids).removeprefix(" ") == text
    assert (found.oov_rate, found.truncation_rate) == (0, 0)
    assert bpe.token_to_id(subwords.PAD_TOKEN) == 0


def test_words_of_the_training_text_become_one_token(bpe: Tokenizer) -> None:
    assert len(encoded(bpe, ["harvest"]).ids) < len(encoded(bpe, ["xqzvkwy"]).ids)


def test_long_texts_are_cut_and_counted(bpe: Tokenizer) -> None:
    found = encoded(bpe, ["wheat " * 50, "wheat"], max_tokens=10)
    short = len(bpe.encode("wheat").ids)
    assert found.lengths.tolist() == [10, short]
    assert found.truncation_rate == 0.5
    assert found.ids[9] == bpe.token_to_id(subwords.END_TOKEN)


def test_unknown_words_are_counted_among_those_that_are_no_special_tokens() -> None:
    tokenizer = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "ore": 3}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 2)])
    found = encoded(tokenizer, ["ore ore zinc ore"])
    assert found.ids.tolist() == [2, 3, 3, 1, 3]
    assert found.oov_rate == 0.25


def test_a_text_without_tokens_still_has_one() -> None:
    tokenizer = Tokenizer(models.WordLevel({"[PAD]": 0, "ore": 1}, unk_token="[PAD]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    assert encoded(tokenizer, [" ", "ore"]).ids.tolist() == [0, 1]


def test_noise_hits_the_same_characters_as_for_an_lstm(bpe: Tokenizer, tmp_path) -> None:
    corpus = inputs.load(CorpusSpec(name=str(tiny.write_corpus(tmp_path / "news.csv"))))
    spec = NoiseSpec(level=0.1, seed=3)
    found, rates = subwords.encode_noisy(corpus.test, corpus, bpe, SubwordSpec(), spec, 5)
    noisy = noise.corrupt(corpus.test.texts[:5], spec, noise.alphabet(corpus.train.texts))
    assert np.array_equal(found.ids, encoded(bpe, noisy.texts).ids)
    assert rates["character_rate"] == noisy.character_rate > 0
    assert len(found) == 5
