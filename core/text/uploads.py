"""Labelled files that readers hand in: kept by content below the artifact folder, and made into a corpus to train on.

local/uploads/3f09a1c2d4e5/news.csv
"""

import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np

from core import runtime
from core.config import CorpusSpec
from core.errors import InputError
from core.seeding import numpy_generator
from core.storage.artifacts import write_file
from core.text import inputs
from core.text.corpora import Corpus, Documents
from core.text.files import FORMATS, read_columns

MAX_MB = 100
SAMPLE = {"train": 1000, "validation": 250, "test": 500}
LONGEST_NAME = 60


def keep(name: str, data: bytes) -> str:
    """Store the bytes of a file that was handed in as `name` and return its path; the same bytes are stored once.

    Raises InputError, and keeps nothing, if it is too large or no table of a known format.
    """
    if len(data) > MAX_MB * 1_000_000:
        raise InputError(f"{name} has {len(data) / 1e6:.0f} MB; hand in at most {MAX_MB} MB, or name a path instead")
    path = _folder() / hashlib.sha256(data).hexdigest()[:12] / _safe(name)
    write_file(path, data)
    try:
        read_columns(path)
    except InputError as error:
        shutil.rmtree(path.parent)
        raise InputError(str(error).replace(str(path), path.name)) from error
    return _shown(path)


def kept() -> list[str]:
    """Return the paths of all files that were kept, the latest first."""
    found = (path for path in _folder().glob("*/*") if path.suffix.lower() in FORMATS)
    return [_shown(path) for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)]


def place() -> str:
    """Return the folder of all uploads."""
    return _shown(_folder())


def delete(path: str) -> None:
    """Remove a file that was kept; models trained on it and their results stay. Raises InputError for another file."""
    folder = Path(path).absolute().parent
    if folder.parent != _folder():
        raise InputError(f"{path} is no upload; choose one of: {', '.join(kept()) or 'there is none'}")
    shutil.rmtree(folder, ignore_errors=True)


def prepare(corpus: CorpusSpec, sample: bool = False) -> CorpusSpec:
    """Return the corpus to train on, a file whose columns every page finds by their names.

    It is the file itself, unless columns were chosen or a `sample` is wanted: then a file of the columns text, label
    and split is kept. A sample has at most SAMPLE documents, drawn at random, every class in its share. Raises
    InputError if the corpus cannot be used.
    """
    loaded = inputs.load(corpus)
    stem = Path(corpus.name).stem
    if sample and can_sample(loaded):
        return CorpusSpec(name=keep(f"{stem}-sample.jsonl", _rows(loaded, SAMPLE)))
    if corpus.text_column is None and corpus.label_column is None:
        return corpus
    chosen = "-".join(filter(None, (stem, corpus.text_column, corpus.label_column)))
    return CorpusSpec(name=keep(f"{chosen}.jsonl", _rows(loaded, {})))


def can_sample(corpus: Corpus) -> bool:
    """Say whether a corpus has more documents than a sample."""
    return any(len(getattr(corpus, split)) > size for split, size in SAMPLE.items())


def _rows(corpus: Corpus, sizes: dict[str, int]) -> bytes:
    """Write the documents of a corpus as JSON lines, at most so many of a split."""
    lines = []
    for split in SAMPLE:
        documents: Documents = getattr(corpus, split)
        chosen = documents.subset(_draw(documents.labels, sizes.get(split, len(documents))))
        for text, label in zip(chosen.texts, chosen.labels, strict=True):
            lines.append(json.dumps({"text": text, "label": corpus.class_names[label], "split": split}) + "\n")
    return "".join(lines).encode()


def _draw(labels: np.ndarray, size: int) -> np.ndarray:
    """Return up to `size` positions in order, drawn within each class in its share, one or more of each."""
    if size >= len(labels):
        return np.arange(len(labels))
    generator = numpy_generator(0, "sample")
    drawn = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        drawn.append(generator.permutation(rows)[: max(1, size * len(rows) // len(labels))])
    return np.sort(np.concatenate(drawn))


def _folder() -> Path:
    return runtime.cache_dir().absolute() / "local" / "uploads"


def _shown(path: Path) -> str:
    """Write a path from the working directory where it lies below it, so that names stay short."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _safe(name: str) -> str:
    """Return a file name of letters, digits, dots, hyphens and underscores."""
    path = Path(name.replace("\\", "/"))
    stem = re.sub(r"[^\w-]+", "-", path.stem).strip("-")[:LONGEST_NAME]
    return f"{stem or 'file'}{path.suffix.lower()}"
