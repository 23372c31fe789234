"""Text to subword ids by the tokenizer that belongs to a base, and a byte-level BPE of our own.

"prices fell"  ->  [CLS] prices fell [SEP]  ->  [101, 7597, 3062, 102]
"""

from collections.abc import Iterable, Sequence

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from core.config import NoiseSpec
from core.text import noise
from core.text.corpora import Corpus, Documents
from core.text.tokens import Encoded
from core.transformers.transformer_config import SubwordSpec

PAD_TOKEN, END_TOKEN = "<|pad|>", "<|endoftext|>"
UNKNOWN_TOKENS = ("[UNK]", "<unk>")
MIN_FREQUENCY = 2


def learn_bpe(texts: Iterable[str], vocabulary_size: int) -> Tokenizer:
    """Learn a byte-level BPE that puts END_TOKEN behind every text; id 0 is PAD_TOKEN.

    Every byte is in the vocabulary, so that no text has an unknown token.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        min_frequency=MIN_FREQUENCY,
        special_tokens=[PAD_TOKEN, END_TOKEN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    end = tokenizer.token_to_id(END_TOKEN)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END_TOKEN}", special_tokens=[(END_TOKEN, end)]
    )
    return tokenizer


def encode(texts: Sequence[str], labels: np.ndarray, tokenizer: Tokenizer, spec: SubwordSpec) -> Encoded:
    """Encode documents, at most `spec.max_tokens` ids each, special tokens included.

    A text without any token becomes the one id 0. `oov_rate` is the share of unknown tokens.
    """
    tokenizer.enable_truncation(spec.max_tokens)
    tokenizer.no_padding()
    found = tokenizer.encode_batch(list(texts))
    rows = [np.array(one.ids or [0], dtype=np.int32) for one in found]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    flat = np.concatenate(rows) if rows else np.zeros(0, np.int32)
    cut = sum(bool(one.overflowing) for one in found)
    unknown = np.isin(flat, _unknown_ids(tokenizer)).sum()
    special = sum(sum(one.special_tokens_mask) for one in found)
    rate = float(unknown) / max(len(flat) - special, 1)
    return Encoded(flat, offsets, np.asarray(labels, np.int64), rate, cut / max(len(rows), 1))


def encode_noisy(
    documents: Documents,
    corpus: Corpus,
    tokenizer: Tokenizer,
    spec: SubwordSpec,
    noise_spec: NoiseSpec,
    limit: int | None,
) -> tuple[Encoded, dict[str, float]]:
    """Return documents cut to `limit`, corrupted and encoded, and the rates that came about.

    A document is corrupted as for an LSTM: the same characters of the raw text at the same seed and level.
    """
    chosen = documents.subset(np.arange(min(limit, len(documents)))) if limit else documents
    noisy = noise.corrupt(chosen.texts, noise_spec, noise.alphabet(corpus.train.texts))
    encoded = encode(noisy.texts, chosen.labels, tokenizer, spec)
    rates = {"character_rate": noisy.character_rate, "oov_rate": encoded.oov_rate}
    return encoded, rates | {"truncation_rate": encoded.truncation_rate, "mean_length": encoded.mean_length}


def _unknown_ids(tokenizer: Tokenizer) -> list[int]:
    found = (tokenizer.token_to_id(token) for token in UNKNOWN_TOKENS)
    return [place for place in found if place is not None]
