"""One text under many variants at once: what each says, how surely, and which words surprise it."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch

from core import pipeline
from core.config import CorpusSpec, TokenSpec, VariantSpec
from core.pipeline import SILENT, Progress
from core.quantization.residents import Resident
from core.storage.store import Row
from core.text import tokens
from core.text.tokens import UNK, Batch, EncodedCorpus, make_batch


def read(text: str, specs: Sequence[VariantSpec], progress: Progress = SILENT) -> list[Row]:
    """Return what each variant makes of a text, which is tokenized once for each way of reading it.

    A row has the label; every class's probability; `margin`, the winner's log-probability minus the runner-up's, in
    nats; `oov`, the share of unknown words; `known`, whether each word that was read is known; and, if the model is
    generative, `surprisals`: -log p in nats of every word and of the end, under the winner and the runner-up.
    """

    @cache
    def enter(corpus: CorpusSpec, way: TokenSpec) -> tuple[EncodedCorpus, Batch, float]:
        data = pipeline.encode(corpus, way)
        encoded = tokens.encode([text], np.zeros(1, np.int64), data.vocabulary, way)
        return data, make_batch(encoded, np.zeros(1, np.int64)), encoded.oov_rate

    ready = [(spec, pipeline.resident(spec, progress), *enter(spec.run.corpus, spec.run.tokens)) for spec in specs]
    return _reader().submit(lambda: [_row(*each) for each in ready]).result()


@cache
def _reader() -> ThreadPoolExecutor:
    """Return the one thread that reads for all callers: a text is too short to share.

    A page runs in a new thread each time, which would first have to start its own helpers.
    """
    before = torch.get_num_threads()
    reader = ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,))
    reader.submit(torch.get_num_threads).result()
    torch.set_num_threads(before)  # the setting of threads to come, which the reader's own replaced
    return reader


def _row(spec: VariantSpec, ready: Resident, data: EncodedCorpus, batch: Batch, oov: float) -> Row:
    names = data.corpus.class_names
    _, losses, token_losses = ready.score(batch.to(ready.variant.bias.device))
    scores = -losses[0].double().cpu()
    if (prior := pipeline.log_prior(spec.run, data)) is not None:
        scores += torch.from_numpy(prior)
    logs = torch.log_softmax(scores, dim=0)
    first, second = logs.topk(2).indices.tolist()
    row = {
        "label": names[first],
        "probabilities": dict(zip(names, logs.exp().tolist(), strict=True)),
        "margin": float(logs[first] - logs[second]),
        "oov": oov,
        "known": (batch.ids[0, 1:-1] != UNK).tolist(),
    }
    if token_losses is not None:
        row["surprisals"] = {names[label]: token_losses[:, label].tolist() for label in (first, second)}
    return row
