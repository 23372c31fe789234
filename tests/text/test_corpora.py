"""Corpora: splits that are seeded, stratified and disjoint, and what is refused."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import CorpusSpec
from core.errors import InputError
from core.seeding import numpy_generator
from core.text import corpora, sources
from core.text.corpora import Corpus, Documents

PARTS = ("train", "validation", "test")


@pytest.fixture(scope="session")
def r8() -> Corpus:
    return corpora.load(CorpusSpec(name="reuters-r8"))


def pairs(documents: Documents) -> Counter[tuple[str, int]]:
    return Counter(zip(documents.texts, documents.labels.tolist(), strict=True))


def write_csv(path: Path, sizes: dict[str, int], split: str = "") -> Path:
    """Write `sizes` rows per label with distinct texts, the labels interleaved as little as possible."""
    rows = [f"{label} text {i},{label}{split and ',' + split}" for label, size in sizes.items() for i in range(size)]
    path.write_text("\n".join([f"text,label{split and ',split'}", *rows]))
    return path


def test_registered_names_and_default() -> None:
    assert corpora.REGISTERED == ("reuters-r8", "reuters-r52", "20newsgroups", "ag-news", "dbpedia-14", "emotion")
    assert corpora.DEFAULT == "reuters-r8"


def test_r8_sizes(r8: Corpus) -> None:
    assert [len(getattr(r8, part)) for part in PARTS] == [4_388, 1_097, 2_189]
    assert r8.class_names == ("acq", "crude", "earn", "grain", "interest", "money-fx", "ship", "trade")
    assert all(getattr(r8, part).labels.dtype == np.int64 for part in PARTS)
    assert np.bincount(r8.test.labels).max() / len(r8.test) == pytest.approx(0.495, abs=5e-4)
    assert (r8.name, r8.note) == ("reuters-r8", "")


def test_train_and_validation_partition_the_official_training_rows(r8: Corpus) -> None:
    published = sources.read("reuters-r8").parts
    assert pairs(r8.train) + pairs(r8.validation) == pairs(published["train"])
    assert pairs(r8.test) == pairs(published["test"])


def test_validation_is_a_fifth_of_every_class(r8: Corpus) -> None:
    train, validation = np.bincount(r8.train.labels), np.bincount(r8.validation.labels)
    np.testing.assert_array_less(np.abs(validation - 0.2 * (train + validation)), 0.51)


def test_split_is_decided_by_its_seed(r8: Corpus) -> None:
    again, other = (corpora.load(CorpusSpec(name="reuters-r8", seed=seed)) for seed in (0, 1))
    assert again.fingerprint == r8.fingerprint
    assert again.validation.texts == r8.validation.texts
    assert other.fingerprint != r8.fingerprint
    assert other.test.fingerprint == r8.test.fingerprint
    kept = sum((pairs(other.validation) & pairs(r8.validation)).values())
    assert kept < 0.4 * len(r8.validation)  # a fifth is expected by chance


def test_validation_is_spread_over_the_file_order(r8: Corpus) -> None:
    train = sources.read("reuters-r8").parts["train"]
    held = pairs(r8.validation)
    positions = [i for i, pair in enumerate(zip(train.texts, train.labels.tolist(), strict=True)) if pair in held]
    assert np.mean(positions) / len(train) == pytest.approx(0.5, abs=0.05)


def test_classes_of_one_training_row_are_trained_on() -> None:
    corpus = corpora.load(CorpusSpec(name="reuters-r52"))
    train, validation = (np.bincount(part.labels, minlength=52) for part in (corpus.train, corpus.validation))
    assert train.min() >= 1
    assert set((train + validation)[validation == 0]) <= {1}


def test_registered_corpus_takes_no_columns() -> None:
    with pytest.raises(InputError, match="'reuters-r8' has fixed columns; leave the text"):
        corpora.load(CorpusSpec(name="reuters-r8", text_column="text"))


@pytest.mark.parametrize("name", ["reuters", "ag_news", "REUTERS-R8", "", "no/such/folder"])
def test_unknown_name_lists_what_is_known(name: str) -> None:
    for act in (lambda: corpora.load(CorpusSpec(name=name or "nothing")), lambda: corpora.fetch(name)):
        with pytest.raises(InputError) as raised:
            act()
        assert all(known in str(raised.value) for known in corpora.REGISTERED)
        assert "or give the path of a file (.csv, .tsv, .parquet, .jsonl)" in str(raised.value)


needs_data = pytest.mark.skipif(
    not os.environ.get("BITDIAL_DATA_DIR"), reason="BITDIAL_DATA_DIR does not name a folder with the optional corpora"
)


@needs_data
@pytest.mark.parametrize(
    ("name", "train", "test"), [("ag-news", 73_139, 7_600), ("dbpedia-14", 32_230, 7_000), ("emotion", 16_000, 2_000)]
)
def test_data_folder_corpora(name: str, train: int, test: int) -> None:
    corpus = corpora.load(CorpusSpec(name=name))
    official_validation = name == "emotion"
    assert len(corpus.train) + len(corpus.validation) * (not official_validation) == train
    assert len(corpus.test) == test
    assert f"{train:,}" in corpus.source
    assert ("of the official" in corpus.source) == (name != "emotion")


@needs_data
def test_emotion_keeps_its_own_validation_rows_whatever_the_seed() -> None:
    one, other = (corpora.load(CorpusSpec(name="emotion", seed=seed)) for seed in (0, 1))
    assert np.bincount(one.validation.labels).tolist() == [550, 704, 178, 275, 212, 81]
    assert one.fingerprint == other.fingerprint


# One file as a corpus


def test_file_is_split_within_each_class(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "reviews.csv", {"pos": 100, "neg": 40, "odd": 3})
    corpus = corpora.load(CorpusSpec(name=str(path)))
    assert corpus.class_names == ("neg", "odd", "pos")
    counts = {part: np.bincount(getattr(corpus, part).labels).tolist() for part in PARTS}
    assert counts == {"test": [8, 1, 20], "validation": [6, 1, 16], "train": [26, 1, 64]}
    together = pairs(corpus.train) + pairs(corpus.validation) + pairs(corpus.test)
    assert set(together.values()) == {1}
    assert len(together) == 143
    assert all(text.startswith(corpus.class_names[label]) for text, label in together)
    assert corpus.name == "reviews.csv"
    assert corpus.note == "guessed: text column 'text' and label column 'label'"
    assert "reviews.csv, a fifth of each class held out as test (seed 0): 114 training rows, 29" in corpus.source


def test_file_fingerprint_is_of_the_content_not_of_the_path(tmp_path: Path) -> None:
    sizes = {"a": 10, "b": 10}
    prints = [
        corpora.load(CorpusSpec(name=str(write_csv(tmp_path / "one.csv", sizes)))).fingerprint,
        corpora.load(CorpusSpec(name=str(write_csv(tmp_path / "two.csv", sizes)))).fingerprint,
        corpora.load(CorpusSpec(name=str(write_csv(tmp_path / "more.csv", sizes | {"b": 11})))).fingerprint,
        corpora.load(CorpusSpec(name=str(tmp_path / "one.csv"), seed=1)).fingerprint,
        corpora.load(CorpusSpec(name=str(tmp_path / "one.csv"), validation_share=0.4)).fingerprint,
    ]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 4


def test_integer_labels_sort_as_numbers(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "stars.csv", {"10": 3, "2": 3, "1": 3})
    assert corpora.load(CorpusSpec(name=str(path))).class_names == ("1", "2", "10")


def test_split_column_is_obeyed(tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    lines = ["a1,x,train", "b1,y,TRAIN", "a2,x,dev", "b2,y,validation", "a3,x,test", "b3,y,test"]
    path.write_text("\n".join(["text,label,split", *lines]))
    corpus = corpora.load(CorpusSpec(name=str(path)))
    assert [getattr(corpus, part).texts for part in PARTS] == [["a1", "b1"], ["a2", "b2"], ["a3", "b3"]]
    assert "split by its own column: 2 training rows, 2 validation rows, 2 test rows" in corpus.source


@pytest.mark.parametrize(
    "change", [("a1", "a9"), ("a2", "a9"), ("a3", "a9"), (",y,", ",z,"), ("c1,x,train", "c1,x,dev")]
)
def test_fingerprint_covers_every_part_and_the_class_names(tmp_path: Path, change: tuple[str, str]) -> None:
    lines = ["a1,x,train", "b1,y,train", "c1,x,train", "a2,x,dev", "b2,y,dev", "a3,x,test", "b3,y,test"]
    content = "\n".join(["text,label,split", *lines])
    prints = set()
    for name, text in (("one.csv", content), ("other.csv", content.replace(*change))):
        (tmp_path / name).write_text(text)
        prints.add(corpora.load(CorpusSpec(name=str(tmp_path / name))).fingerprint)
    assert len(prints) == 2


def test_split_column_without_validation_holds_some_out(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "split.csv", {"x": 10, "y": 10}, "train")
    path.write_text(path.read_text() + "\nlast,x,test\nlater,y,test")
    corpus = corpora.load(CorpusSpec(name=str(path)))
    assert corpus.test.texts == ["last", "later"]
    assert np.bincount(corpus.validation.labels).tolist() == [2, 2]


BAD_CORPORA = [
    ("text,label\na,x\nb,x\nc,x", "every row has the label 'x'; give rows of two classes"),
    ("text,label\na,x\nb,x\nc,x\nd,y\ne,y", "class 'y' has 1 training and 1 test rows; a class needs 2 .* 3 rows"),
    ("text,label\na,x\nb,x\nc,x\nd,y", "class 'y' has 1 training and 0 test rows.*add rows or take the class out"),
    ("text,label\nt,0\nt,1\nt,2\nt,3\nt,4\nt,5\nt,6", r"class '0' has .*class '4' has .* \(and 2 classes more\)"),
    ("text,label,split\na,x,train\nb,x,train\nc,y,test", "class 'x' has 2 training and 0 .*'y' has 0 training and 1"),
    ("text,label,split\na,x,train\nb,y,train\nc,x,train\nd,y,train", "class 'x' has 2 training and 0 test rows"),
    ("text,label,split\na,x,test\nb,y,test", "class 'x' has 0 training and 1 test rows; class 'y'"),
    ("text,label,split\na,x,dev\nb,y,test\nc,x,test\nd,y,dev", "class 'x' has 0 .* a class needs 1 training rows"),
    ("text,label,split\na,x,train\nb,y,left\nc,y,", "line 3: the split 'left' is not .* line 4: the split '' .*rename"),
    ("text,label\na,x\n,y", "line 3: the text is empty"),
]


@pytest.mark.parametrize(("content", "message"), BAD_CORPORA)
def test_file_that_cannot_be_a_corpus_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as raised:
        corpora.load(CorpusSpec(name=str(path)))
    assert str(path) in str(raised.value)


def test_missing_file_folder_and_format_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    for name, message in (("gone.csv", "does not exist"), ("", "is a folder"), ("a.txt", "'.txt' cannot be read")):
        with pytest.raises(InputError, match=message):
            corpora.load(CorpusSpec(name=str(tmp_path / name)))


@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 99),
)
def test_hold_out_against_its_definition(sizes: list[int], share: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    documents = Documents([str(i) for i in range(len(labels))], labels)
    rest, held = corpora._hold_out(documents, share, numpy_generator(seed))
    assert sorted(rest.texts + held.texts, key=int) == documents.texts
    for part in (rest, held):
        assert part.texts == sorted(part.texts, key=int)
        assert all(labels[int(text)] == label for text, label in zip(part.texts, part.labels, strict=True))
    for label, size in enumerate(sizes):
        count = int((held.labels == label).sum())
        assert count == 0 if size == 1 else 1 <= count <= size - 1
        assert size == 1 or abs(count - share * size) <= 1


def test_import_loads_no_heavy_reader() -> None:
    code = "import core.text.corpora, sys; print(sorted({'datasets', 'pandas', 'pyarrow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
