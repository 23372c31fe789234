"""The two float classifiers of the paper and the scoring they share with their quantized twins.

Generative scoring factors over classes: logits(t, y) = W_h h_t + W_l l_y + b, so the LSTM runs once per
document and logsumexp over the vocabulary for all classes is one matrix product of exponentials.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, dropout

from core.config import ModelSpec
from core.tokens import PAD, Batch

CHUNK_ELEMENTS = 1 << 20
FAINT = 1e-25  # far above float32's smallest, so that what underflowed on the way to a larger sum is nothing


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
        """Return summed next-token loss under the true class (equation 13) and the number of tokens."""
        hidden, targets, document = next_tokens(self.hidden(batch.ids), batch)
        labels = self.label_embedding(batch.labels[document])
        features = dropout(torch.cat([hidden, labels], dim=-1), self.spec.dropout, self.training)
        return cross_entropy(self.head(features).float(), targets, reduction="sum"), len(targets)


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


def next_tokens(hidden: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Flatten a padded batch to its M predicted tokens, documents in row order, tokens in text order.

    Returns states (M, H) that predict, targets (M,) that follow them, and the row (M,) each comes from.
    """
    real = batch.mask[:, 1:]
    rows = torch.arange(len(real), device=real.device)[:, None].expand_as(real)
    return hidden[:, :-1][real], batch.ids[:, 1:][real], rows[real]


def token_losses(hidden: Tensor, labels: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Return -log p(target | state, class) in nats for every class, (M, C) (equations 11-13).

    hidden (M, H), labels (C, L), weight (V, H + L), bias (V,), targets (M,). Works in chunks of tokens, so
    that no more than `CHUNK_ELEMENTS` logits exist at once; exact to float32 rounding. Where a state and a
    class prefer such different words that their product of exponentials underflows, it is summed directly.
    """
    state_weight, label_weight = weight[:, : hidden.shape[1]], weight[:, hidden.shape[1] :]
    class_logits = labels @ label_weight.T + bias  # (C, V)
    class_max = class_logits.max(dim=1, keepdim=True).values  # (C, 1)
    class_exp = (class_logits - class_max).exp_().T.contiguous()  # (V, C)
    rows = max(1, min(len(hidden), CHUNK_ELEMENTS // len(weight)))
    buffer = hidden.new_empty(rows, len(weight))
    losses = []
    for states, wanted in zip(hidden.split(rows), targets.split(rows), strict=True):
        logits = torch.mm(states, state_weight.T, out=buffer[: len(states)])  # (M', V)
        top = logits.max(dim=1, keepdim=True).values  # (M', 1)
        target_logit = logits.gather(1, wanted[:, None]) + class_logits.T[wanted]  # (M', C)
        total = logits.sub_(top).exp_() @ class_exp  # (M', C)
        log_total = total.log() + top + class_max.T
        for label in (total < FAINT).any(dim=0).nonzero()[:, 0].tolist():
            faint = total[:, label] < FAINT
            log_total[faint, label] = (states[faint] @ state_weight.T + class_logits[label]).logsumexp(dim=1)
        losses.append(log_total - target_logit)
    return torch.cat(losses)
