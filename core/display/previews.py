"""What was read of a labelled file, before anything is trained on it: classes, splits, lengths, examples, doubts."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import plotly.graph_objects as go

from core.config import MODEL_KINDS, CorpusSpec, ModelKind, default_run
from core.display import charts
from core.storage.store import Row
from core.text import inputs
from core.text.corpora import Corpus, Documents
from core.text.files import read_columns

SPLITS = {"train": "Training", "validation": "Validation", "test": "Test"}
LONGEST_TEXT = 300
FEW_TESTS = 400
FEW_OF_CLASS = 10
BINS = 40


@dataclass(frozen=True, eq=False)
class Preview:
    """A labelled file as a corpus, and the words (separated by spaces) of each of its N texts, (N,)."""

    corpus: Corpus
    words: np.ndarray

    @property
    def documents(self) -> int:
        return len(self.words)


def columns(path: str) -> list[str]:
    """Return the column names of a file, kept in memory while it does not change. Raises InputError."""
    found = Path(path)
    stamp = (found.stat().st_mtime_ns, found.stat().st_size) if found.is_file() else None
    return list(_columns(path, stamp))


def read(spec: CorpusSpec) -> Preview:
    """Return what a file holds. Raises InputError if it cannot be a corpus."""
    return _preview(inputs.load(spec))


def class_table(preview: Preview) -> list[Row]:
    """Return a row for each class: its documents in each split, and its share of all in percent."""
    corpus = preview.corpus
    counts = {name: np.bincount(part.labels, minlength=len(corpus.class_names)) for name, part in _parts(corpus)}
    return [
        {"Class": name}
        | {SPLITS[split]: int(of[place]) for split, of in counts.items()}
        | {"Share": 100 * float(sum(of[place] for of in counts.values()) / preview.documents)}
        for place, name in enumerate(corpus.class_names)
    ]


def examples(preview: Preview, count: int = 8) -> list[Row]:
    """Return the first training documents with their classes, the classes in turn, long texts cut."""
    corpus, train = preview.corpus, preview.corpus.train
    turns = np.zeros(len(train), dtype=np.int64)
    for label in np.unique(train.labels):
        rows = np.flatnonzero(train.labels == label)
        turns[rows] = np.arange(len(rows))
    first = np.argsort(turns, kind="stable")[:count]
    return [{"Class": corpus.class_names[train.labels[row]], "Text": _cut(train.texts[row])} for row in first]


def describe(preview: Preview) -> str:
    """Say in a sentence how many documents and classes there are, and what naming the largest class would score."""
    corpus = preview.corpus
    share = np.bincount(corpus.test.labels).max() / len(corpus.test)
    return (
        f"{preview.documents:,} documents of {len(corpus.class_names)} classes. Always naming the most frequent class "
        f"would score {charts.percent(share)} on the {len(corpus.test):,} test documents."
    )


def doubts(preview: Preview) -> list[str]:
    """Say what in a file makes results less sure than they look, a sentence for each."""
    corpus, found = preview.corpus, []
    tests = len(corpus.test)
    if tests < FEW_TESTS:
        points = 100 * 1.96 * (0.25 / tests) ** 0.5
        found.append(
            f"With {tests:,} test documents, an accuracy near 50 % is known to within {points:.0f} points only."
        )
    counts = np.bincount(corpus.train.labels, minlength=len(corpus.class_names))
    if few := [name for name, count in zip(corpus.class_names, counts, strict=True) if count < FEW_OF_CLASS]:
        found.append(f"Fewer than {FEW_OF_CLASS} training documents of {_listed(few)}: hardly enough to learn from.")
    seen = {*corpus.train.texts, *corpus.validation.texts}
    if leaked := sum(text in seen for text in corpus.test.texts):
        found.append(f"{_count(leaked, 'test text')} also in training: the accuracy on them is memory.")
    if contrary := _contrary(corpus):
        found.append(f"{_count(contrary, 'text')} there with different labels: no model can get all of them right.")
    return found


def length_figure(preview: Preview, caption: str = "") -> go.Figure:
    """Draw how many texts have how many words, all of the longest in the last bar, and where each model stops reading.

    Raises InputError for a file without texts.
    """
    charts.require(preview.words, "texts")
    limits = _limits()
    width = max(1, -(-int(max(np.quantile(preview.words, 0.99), max(limits.values()))) // BINS))
    edges = np.arange(0, width * BINS + width, width)
    counts = np.histogram(np.minimum(preview.words, edges[-1] - 1), edges)[0]
    last = [*(f"{low:,} to {low + width - 1:,}" for low in edges[:-2]), f"{edges[-2]:,} or more"]
    bars = go.Bar(x=edges[:-1] + width / 2, y=counts, width=0.9 * width, marker_color=charts.FLOAT, customdata=last)
    hover = charts.hover_text("%{customdata} words: %{y:,} texts", preview.documents, caption)
    figure = go.Figure(bars.update(hovertemplate=hover))
    for place, (model, limit) in enumerate(limits.items()):
        figure.add_vline(x=limit, line_dash="dot", line_width=2, line_color=charts.MODEL_COLOURS[model])
        side = "right" if limit > edges[-1] / 2 else "left"
        words = {"text": f"{model} model stops: {limit}", "xanchor": side, "yanchor": "bottom", "yshift": 16 * place}
        figure.add_annotation(x=limit, y=1, yref="paper", showarrow=False, **words)
    figure.update_xaxes(title="words of a text", range=(0, edges[-1]))
    figure.update_yaxes(title="texts", rangemode="tozero")
    return charts.finish(figure, height=300).update_layout(showlegend=False, margin={"t": 45})


def describe_lengths(preview: Preview) -> str:
    """Say how long the texts are, and how many are longer than each model reads."""
    limits = _limits()
    reads = [f"{limit} words by the {model} model" for model, limit in limits.items()]
    longer = " and ".join(charts.percent(float(np.mean(preview.words > limit))) for limit in limits.values())
    middle = f"Half of the texts have {np.median(preview.words):,.0f} words or fewer"
    return f"{middle}. Longer than what is read, {' and '.join(reads)}, are {longer} of them."


@lru_cache(maxsize=4)
def _columns(path: str, stamp: object) -> tuple[str, ...]:
    return tuple(read_columns(path))


@lru_cache(maxsize=2)
def _preview(corpus: Corpus) -> Preview:
    return Preview(corpus, np.array([len(text.split()) for _, part in _parts(corpus) for text in part.texts]))


def _parts(corpus: Corpus) -> Sequence[tuple[str, Documents]]:
    return [(split, getattr(corpus, split)) for split in SPLITS]


def _limits() -> dict[ModelKind, int]:
    """Return how many words each model reads of a file's texts."""
    return {kind: default_run(CorpusSpec(name=""), kind).tokens.max_tokens for kind in MODEL_KINDS}


def _contrary(corpus: Corpus) -> int:
    """Return how many different texts have more than one label."""
    pairs = {(text, label) for _, part in _parts(corpus) for text, label in zip(part.texts, part.labels, strict=True)}
    return len(pairs) - len({text for text, _ in pairs}) if pairs else 0


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} …"


def _listed(names: Sequence[str], shown: int = 5) -> str:
    more = f" and {len(names) - shown:,} classes more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _count(number: int, what: str) -> str:
    return f"{number:,} {what} is" if number == 1 else f"{number:,} {what}s are"
