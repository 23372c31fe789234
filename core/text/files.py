"""A user's labelled file -> texts and labels; nothing is repaired in silence, every fault names its row."""

import csv
import hashlib
import io
import json
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from core.errors import InputError

TEXT_COLUMNS = ("text", "sentence", "document", "content", "review", "message", "body", "tweet", "description")
LABEL_COLUMNS = ("label", "labels", "class", "category", "target", "topic", "sentiment", "intent")
SPLIT_COLUMN = "split"
SHOWN_FAULTS = 5


@dataclass(frozen=True, eq=False)
class Documents:
    """N texts and their labels (N,) int64, positions in the corpus's class names."""

    texts: list[str]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def fingerprint(self) -> str:
        """16 hex digits naming the texts and labels in their order."""
        digest = hashlib.sha256(len(self).to_bytes(8, "little") + self.labels.astype("<i8").tobytes())
        for text in self.texts:
            content = text.encode()
            digest.update(len(content).to_bytes(8, "little") + content)
        return digest.hexdigest()[:16]

    def subset(self, rows: np.ndarray) -> "Documents":
        """Return the documents at these positions, in that order."""
        return Documents([self.texts[row] for row in rows], self.labels[rows])


@dataclass(frozen=True)
class LabelledFile:
    """The rows of a labelled file, in file order: N texts, none blank, each with its label as written.

    `rows` are N positions as `unit` counts them: "line" of a text file (the header is line 1) or "row" of
    a Parquet file (the first is row 1). `splits` are the N values of a column called split, if there is one.
    """

    texts: list[str]
    labels: list[str]
    text_column: str
    label_column: str
    note: str
    rows: list[int]
    unit: str
    splits: list[str] | None = None


def read_labelled(path: Path | str, text_column: str | None = None, label_column: str | None = None) -> LabelledFile:
    """Read a CSV, TSV, Parquet or JSONL file; a column that is not named is guessed by its usual names.

    CSV and TSV start with a header line and quote as in RFC 4180; text files are UTF-8. Worked row:
    `{"text": "a b", "label": 3}` of a JSONL file gives text "a b" and label "3". Labels lose surrounding
    white space, texts are kept as they are. `note` says which columns were guessed.

    Raises InputError, for all faulty rows at once, if the file cannot be read, has no such columns or no
    rows, or if a row has no text, no label or another number of cells than the header.
    """
    path = Path(path)
    table = _read_table(path)
    text_name, label_name, note = _choose_columns(path, list(table.columns), text_column, label_column)
    texts, labels = table.columns[text_name], table.columns[label_name]
    faults = list(table.faults)
    for row, text, label in zip(table.rows, texts, labels, strict=True):
        faults += [(row, fault) for fault in (_text_fault(text), _label_fault(label)) if fault]
    raise_faults(path, table.unit, faults, "correct or remove these rows")
    if not table.rows:
        raise InputError(f"{path}: no row of data was found; add rows of text and label")
    others = table.columns.keys() - {text_name, label_name}
    splits = next((table.columns[name] for name in sorted(others) if name.lower() == SPLIT_COLUMN), None)
    return LabelledFile(
        texts=[str(text) for text in texts],
        labels=[_label(label) for label in labels],
        text_column=text_name,
        label_column=label_name,
        note=note,
        rows=table.rows,
        unit=table.unit,
        splits=None if splits is None else [_label(split) for split in splits],
    )


def read_columns(path: Path | str) -> list[str]:
    """Return the column names of a labelled file, in its order. Raises InputError if it is no such file."""
    return list(_read_table(Path(path)).columns)


def read_test_file(
    path: Path | str,
    class_names: Sequence[str],
    text_column: str | None = None,
    label_column: str | None = None,
) -> Documents:
    """Read a labelled file to evaluate a trained model on.

    Labels are class names or, if none of them is one, positions 0..C-1 among `class_names`.

    Raises InputError as `read_labelled` does, and for labels that are neither.
    """
    read = read_labelled(path, text_column, label_column)
    by_name = {name: index for index, name in enumerate(class_names)}
    by_index = {str(index): index for index in range(len(class_names))}
    by_label = by_name if by_name.keys() & set(read.labels) else by_index
    faults = [
        (row, f"the label {label[:40]!r} is no class of this model")
        for row, label in zip(read.rows, read.labels, strict=True)
        if label not in by_label
    ]
    allowed = f"{', '.join(class_names)}, or their positions 0 to {len(class_names) - 1} throughout"
    raise_faults(Path(path), read.unit, faults, f"use one of: {allowed}")
    return Documents(read.texts, np.array([by_label[label] for label in read.labels], dtype=np.int64))


def documents_of(rows: Iterable[tuple[str, str]], class_names: Sequence[str]) -> Documents:
    """Turn (label, text) rows, one or more, into documents; every label is a class name."""
    index = {name: position for position, name in enumerate(class_names)}
    labels, texts = zip(*rows, strict=True)
    return Documents(list(texts), np.array([index[label] for label in labels], dtype=np.int64))


def raise_faults(path: Path, unit: str, faults: Sequence[tuple[int, str]], remedy: str) -> None:
    """Raise one InputError for all faults, (row, what is wrong) pairs: the first few and how many more."""
    if not faults:
        return
    shown = "; ".join(f"{unit} {row}: {fault}" for row, fault in sorted(faults)[:SHOWN_FAULTS])
    more = f"; and {len(faults) - SHOWN_FAULTS:,} more" if len(faults) > SHOWN_FAULTS else ""
    raise InputError(f"{path}: {shown}{more}; {remedy}")


@dataclass(frozen=True)
class _Table:
    """Columns of equal length and the position of each row; rows that cannot be one are in `faults`."""

    unit: str
    rows: list[int]
    columns: dict[str, list[object]]
    faults: list[tuple[int, str]] = field(default_factory=list)


def _read_table(path: Path) -> _Table:
    formats = ", ".join(_READERS)
    if os.path.isdir(path):
        raise InputError(f"{path} is a folder; give the path of one file ({formats})")
    if not os.path.exists(path):
        raise InputError(f"{path} does not exist; give the path of a labelled file ({formats})")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: files ending in {path.suffix!r} cannot be read; save it as one of: {formats}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its permissions") from error
    if not data:
        raise InputError(f"{path} is empty (0 bytes); give a file with a text and a label column")
    return reader(path, data)


def _decode(path: Path, data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = f"byte 0x{data[error.start]:02x}"
        raise InputError(f"{path}: line {line}: {byte} is not UTF-8 text; save the file as UTF-8") from error
    if not text.strip():
        raise InputError(f"{path} has blank lines only; give a file with a text and a label column")
    return text


def _read_csv(path: Path, data: bytes) -> _Table:
    return _read_delimited(path, data, ",")


def _read_tsv(path: Path, data: bytes) -> _Table:
    return _read_delimited(path, data, "\t")


def _read_delimited(path: Path, data: bytes, delimiter: str) -> _Table:
    records = _records(path, _decode(path, data), delimiter)
    names = _unique(path, [name.strip() for name in records[0][1]])
    kept = [(line, cells) for line, cells in records[1:] if len(cells) == len(names)]
    faults = [
        (line, f"{len(cells)} cells where the header has {len(names)} (quote a cell that holds the separator)")
        for line, cells in records[1:]
        if len(cells) != len(names)
    ]
    columns: dict[str, list[object]] = {name: [cells[i] for _, cells in kept] for i, name in enumerate(names)}
    return _Table("line", [line for line, _ in kept], columns, faults)


def _records(path: Path, text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """Return (line it begins on, cells) of every record that is not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    records: list[tuple[int, list[str]]] = []
    line = 1
    try:
        for cells in reader:
            if cells:
                records.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        remedy = "close every quoted cell and double the quotes inside it"
        raise InputError(f"{path}: line {line}: {error}; {remedy}") from error
    return records


def _read_jsonl(path: Path, data: bytes) -> _Table:
    records: list[tuple[int, dict[str, object]]] = []
    faults: list[tuple[int, str]] = []
    for line, text in enumerate(_decode(path, data).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            record = json.loads(text)
        except (ValueError, RecursionError) as error:
            faults.append((line, f"not JSON ({error})"))
            continue
        if isinstance(record, dict):
            records.append((line, record))
        else:
            faults.append((line, "not a JSON object such as {'text': ..., 'label': ...}"))
    if not records:
        raise_faults(path, "line", faults, "write one JSON object a line")
    names = list(dict.fromkeys(name for _, record in records for name in record))
    columns = {name: [record.get(name) for _, record in records] for name in names}
    return _Table("line", [line for line, _ in records], columns, faults)


def _read_parquet(path: Path, data: bytes) -> _Table:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(pyarrow.BufferReader(data))
        columns = {name: table[name].to_pylist() for name in _unique(path, table.column_names)}
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} is no readable Parquet file ({reason}); write it again") from error
    return _Table("row", list(range(1, table.num_rows + 1)), columns)


_READERS: dict[str, Callable[[Path, bytes], _Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".parquet": _read_parquet,
    ".jsonl": _read_jsonl,
}
FORMATS = tuple(_READERS)


def _unique(path: Path, names: list[str]) -> list[str]:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"{path}: several columns are called {twice[0]!r}; give every column its own name")
    return names


def _choose_columns(path: Path, names: list[str], text: str | None, label: str | None) -> tuple[str, str, str]:
    """Return the text column, the label column and a note on what was guessed."""
    seen = f"the columns are {', '.join(repr(name[:40]) for name in names[:10]) or 'none'}"
    for given, kind in ((text, "text"), (label, "label")):
        if given is not None and given not in names:
            raise InputError(f"{path}: there is no column {given!r}; {seen}; say which holds the {kind}")
    if text is not None and text == label:
        raise InputError(f"{path}: column {text!r} cannot be both text and label; {seen}; name two of them")
    text_found = text or _guess(names, TEXT_COLUMNS, label)
    label_found = label or _guess(names, LABEL_COLUMNS, text_found)
    text_found = text_found or _other_of_two(names, label_found)
    label_found = label_found or _other_of_two(names, text_found)
    text_name, label_name = _found(path, "text", text_found, seen), _found(path, "label", label_found, seen)
    named = (("text", text, text_name), ("label", label, label_name))
    guessed = [f"{kind} column {name!r}" for kind, given, name in named if given is None]
    return text_name, label_name, f"guessed: {' and '.join(guessed)}" if guessed else ""


def _guess(names: list[str], usual: Sequence[str], taken: str | None) -> str | None:
    """Return the column with the most usual name, whatever its case."""
    by_name = {name.lower(): name for name in reversed(names) if name != taken}
    return next((by_name[name] for name in usual if name in by_name), None)


def _other_of_two(names: list[str], known: str | None) -> str | None:
    others = [name for name in names if name != known]
    return others[0] if known is not None and len(others) == 1 else None


def _found(path: Path, kind: str, name: str | None, seen: str) -> str:
    if name is None:
        raise InputError(
            f"{path}: no column looks like the {kind}; {seen} (a CSV or TSV file needs a header line); "
            f"call one {kind!r} or say which holds the {kind}"
        )
    return name


def _text_fault(text: object) -> str | None:
    if text is None:
        return "the text is missing"
    if not isinstance(text, str):
        return f"the text is of type {type(text).__name__}, not a string"
    if not text.strip():
        return "the text is empty"
    return "the text holds half of a surrogate pair" if _SURROGATE.search(text) else None


_SURROGATE = re.compile("[\ud800-\udfff]")


def _label_fault(label: object) -> str | None:
    if isinstance(label, dict | list):
        return f"the label is of type {type(label).__name__}, not one value"
    if not _label(label):
        return "the label is missing"
    return "the label holds half of a surrogate pair" if _SURROGATE.search(_label(label)) else None


def _label(value: object) -> str:
    """Write a label as text: 3.0, an integer in a column with gaps, as "3"; None and NaN as ""."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()
