"""Files handed in: kept by content under a safe name, deleted, made into a corpus that every page can name."""

from pathlib import Path

import numpy as np
import pytest
import tiny

from core.config import CorpusSpec
from core.errors import InputError
from core.text import inputs, uploads

GOOD = b"text,label\ngood film,pos\nbad film,neg\n"


def test_the_same_bytes_are_kept_once_and_can_be_deleted(tmp_cache: Path) -> None:
    first = uploads.keep("news.csv", GOOD)
    assert uploads.keep("news.csv", GOOD) == first
    assert (uploads.kept(), Path(first).read_bytes()) == ([first], GOOD)
    assert Path(first).is_relative_to(uploads.place())
    uploads.delete(first)
    assert uploads.kept() == []


@pytest.mark.parametrize("name", ["../../etc/pass wd.csv", "C:\\dir\\ä b.CSV", "....csv", "x" * 300 + ".csv"])
def test_names_lead_nowhere_else(tmp_cache: Path, name: str) -> None:
    path = Path(uploads.keep(name, GOOD))
    assert path.parent.parent == tmp_cache / "local" / "uploads"
    assert path.suffix == ".csv"
    assert len(path.name) < 100


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.exe", b"MZ", "cannot be read"),
        ("a.csv", b"", "is empty"),
        ("a.csv", b"text,label\n\xff,x\n", "line 2: byte 0xff is not UTF-8"),
        ("a.parquet", b"no", "no readable Parquet file"),
    ],
)
def test_what_is_no_table_is_refused_and_not_kept(tmp_cache: Path, name: str, data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        uploads.keep(name, data)
    assert str(tmp_cache) not in str(caught.value)
    assert uploads.kept() == []


def test_too_large_a_file_is_refused(tmp_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_MB", 0.00001)
    with pytest.raises(InputError, match="hand in at most"):
        uploads.keep("a.csv", GOOD)


def test_only_uploads_can_be_deleted(tmp_cache: Path) -> None:
    other = tiny.write_corpus(tmp_cache / "own.csv")
    with pytest.raises(InputError, match="is no upload"):
        uploads.delete(str(other))
    assert other.exists()


def test_a_file_with_usual_columns_is_trained_on_as_it_is(tmp_cache: Path) -> None:
    spec = CorpusSpec(name=str(tiny.write_corpus(tmp_cache / "own.csv")))
    assert uploads.prepare(spec) == spec
    assert uploads.prepare(spec, sample=True) == spec
    assert uploads.kept() == []


def test_chosen_columns_become_a_file_with_the_same_documents(tmp_cache: Path) -> None:
    rows = "".join(f"{text},{label}\n" for text, label in tiny.rows_of(10))
    path = tmp_cache / "odd.csv"
    path.write_text(f"a,b\n{rows}")
    spec = CorpusSpec(name=str(path), text_column="a", label_column="b")
    made = uploads.prepare(spec)
    before, after = inputs.load(spec), inputs.load(made)
    assert (made.text_column, made.label_column) == (None, None)
    assert after.fingerprint == before.fingerprint


def test_a_sample_is_a_part_with_every_class_in_its_share(tmp_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "SAMPLE", {"train": 30, "validation": 6, "test": 3})
    spec = CorpusSpec(name=str(tiny.write_corpus(tmp_cache / "own.csv", per_class=100)))
    made = uploads.prepare(spec, sample=True)
    assert uploads.prepare(spec, sample=True) == made
    whole, part = inputs.load(spec), inputs.load(made)
    assert part.class_names == whole.class_names
    for split, count in uploads.SAMPLE.items():
        documents, all_ = getattr(part, split), getattr(whole, split)
        assert np.bincount(documents.labels).tolist() == [count // 3] * 3
        pairs = set(zip(documents.texts, documents.labels.tolist(), strict=True))
        assert pairs <= set(zip(all_.texts, all_.labels.tolist(), strict=True))
