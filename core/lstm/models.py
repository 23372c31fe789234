"""The two float classifiers of the paper, and which of their states the head reads."""

import torch
from torch import Tensor, nn
from torch.nn import LinearCrossEntropyOptions
from torch.nn.functional import cross_entropy, dropout, linear_cross_entropy

from core.config import ModelSpec
from core.text.tokens import PAD, Batch

# Tokens scored at a time: their V logits stay in cache, and (M, V) is never held.
CHUNKS = LinearCrossEntropyOptions(batch_chunk_size=256, chunking_method=None, acc_policy="balanced")


class DiscriminativeLSTM(nn.Module):
    """Embedding, LSTM, linear head on the pooled hidden state (paper, equations 1-4)."""

    def __init__(self, spec: ModelSpec, vocabulary_size: int, classes: int) -> None:
        super().__init__()
        self.spec = spec
        self.embedding = nn.Embedding(vocabulary_size, spec.embedding_dim, padding_idx=PAD)
        self.lstm = nn.LSTM(spec.embedding_dim, spec.hidden_dim, batch_first=True)
        self.head = nn.Linear(spec.hidden_dim, classes)

    def hidden(self, ids: Tensor) -> Tensor:
        """ids (B, T) -> hidden states (B, T, H), dropout on embeddings while training."""
        embedded = dropout(self.embedding(ids), self.spec.dropout, self.training)
        return self.lstm(embedded)[0]

    def forward(self, batch: Batch) -> Tensor:
        """Return the class logits (B, C)."""
        pooled = pool(self.hidden(batch.ids), batch, self.spec.pooling)
        return self.head(dropout(pooled, self.spec.dropout, self.training))

    def loss(self, batch: Batch) -> tuple[Tensor, int]:
        """Return summed cross entropy (equation 5) and the number of documents."""
        return cross_entropy(self(batch), batch.labels, reduction="sum"), len(batch.labels)


class GenerativeLSTM(nn.Module):
    """Class-conditional language model: next token from [h_t; l_y] (paper, equations 8-13)."""

    def __init__(self, spec: ModelSpec, vocabulary_size: int, classes: int) -> None:
        super().__init__()
        self.spec = spec
        self.embedding = nn.Embedding(vocabulary_size, spec.embedding_dim, padding_idx=PAD)
        self.lstm = nn.LSTM(spec.embedding_dim, spec.hidden_dim, batch_first=True)
        self.label_embedding = nn.Embedding(classes, spec.label_dim)
        self.head = nn.Linear(spec.hidden_dim + spec.label_dim, vocabulary_size)

    def hidden(self, ids: Tensor) -> Tensor:
        """ids (B, T) -> hidden states (B, T, H), dropout on embeddings while training."""
        embedded = dropout(self.embedding(ids), self.spec.dropout, self.training)
        return self.lstm(embedded)[0]

    def loss(self, batch: Batch) -> tuple[Tensor, int]:
        """Return summed next-token loss under the true class (equation 13) and the number of tokens.

        Under autocast the head runs, and the sum is rounded, in its dtype.
        """
        hidden, targets, document = next_tokens(self.hidden(batch.ids), batch)
        labels = self.label_embedding(batch.labels[document])
        features = dropout(torch.cat([hidden, labels], dim=-1), self.spec.dropout, self.training)
        device = features.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else features.dtype
        inputs, weight, bias = (part.to(dtype) for part in (features, self.head.weight, self.head.bias))
        loss = linear_cross_entropy(inputs, weight, targets, linear_bias=bias, reduction="sum", options=CHUNKS)
        return loss.float(), len(targets)


Classifier = DiscriminativeLSTM | GenerativeLSTM


def build(spec: ModelSpec, vocabulary_size: int, classes: int) -> Classifier:
    """Return an untrained float classifier; initial weights come from torch's global generator."""
    kind = GenerativeLSTM if spec.kind == "generative" else DiscriminativeLSTM
    return kind(spec, vocabulary_size, classes)


def pool(hidden: Tensor, batch: Batch, pooling: str) -> Tensor:
    """hidden (B, T, H) -> (B, H): the last real state (equation 2) or the mean over real states."""
    if pooling == "mean":
        mask = batch.mask[..., None].to(hidden.dtype)
        return (hidden * mask).sum(1) / batch.lengths[:, None]
    return hidden[torch.arange(len(hidden), device=hidden.device), batch.lengths - 1]


def read_states(spec: ModelSpec, hidden: Tensor, batch: Batch) -> Tensor:
    """Return the states of hidden (B, T, H) that the head reads: one per document (B, H) or predicted token (M, H)."""
    return next_tokens(hidden, batch)[0] if spec.kind == "generative" else pool(hidden, batch, spec.pooling)


def next_tokens(hidden: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Flatten a padded batch to its M predicted tokens, documents in row order, tokens in text order.

    Returns states (M, H) that predict, targets (M,) that follow them, and the row (M,) each comes from.
    """
    real = batch.mask[:, 1:]
    rows = torch.arange(len(real), device=real.device)[:, None].expand_as(real)
    return hidden[:, :-1][real], batch.ids[:, 1:][real], rows[real]
