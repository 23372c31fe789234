"""Labelled files: what is read, what is guessed, and what a user is told about a bad one."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import InputError
from core.text.files import Documents, read_labelled, read_test_file

ROWS = [("good film", "pos"), ("bad, dull film", "neg"), ('so-called "art"', "neg"), ("two\nlines", "pos")]


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def write_rows(folder: Path, suffix: str) -> Path:
    path = folder / f"rows{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.table({"text": [t for t, _ in ROWS], "label": [y for _, y in ROWS]}), path)
    elif suffix == ".jsonl":
        path.write_text("\n".join(json.dumps({"text": t, "label": y}) for t, y in ROWS) + "\n")
    else:
        mark = "," if suffix == ".csv" else "\t"
        lines = [mark.join(("text", "label")), *(mark.join((quoted(t), y)) for t, y in ROWS)]
        path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".jsonl"])
def test_every_format_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    read = read_labelled(write_rows(tmp_path, suffix))
    assert list(zip(read.texts, read.labels, strict=True)) == ROWS
    assert read.note == "guessed: text column 'text' and label column 'label'"
    assert read.splits is None


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".jsonl"])
def test_suffix_in_capitals_and_str_path_are_accepted(tmp_path: Path, suffix: str) -> None:
    path = write_rows(tmp_path, suffix)
    shouting = path.rename(path.with_suffix(suffix.upper()))
    assert len(read_labelled(str(shouting)).texts) == len(ROWS)


def test_rows_are_the_lines_a_record_begins_on(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'text,label\n"two\nlines",x\n\nlast,y\n')
    read = read_labelled(path)
    assert (read.unit, read.rows) == ("line", [2, 5])


def test_byte_order_mark_and_windows_line_ends_do_not_show(tmp_path: Path) -> None:
    read = read_labelled(write(tmp_path, "a.csv", b"\xef\xbb\xbftext,label\r\ncaf\xc3\xa9,x\r\n"))
    assert (read.texts, read.labels, read.text_column) == (["café"], ["x"], "text")


def test_line_separators_inside_json_strings_do_not_end_a_row(tmp_path: Path) -> None:
    read = read_labelled(write(tmp_path, "a.jsonl", '{"text": "a\u2028b", "label": 1}\n'))
    assert read.texts == ["a\u2028b"]


@pytest.mark.parametrize(
    ("header", "given", "expected", "note"),
    [
        ("Body,Topic", (None, None), ("Body", "Topic"), "guessed: text column 'Body' and label column 'Topic'"),
        ("id,text,label", (None, None), ("text", "label"), "guessed: text column 'text' and label column 'label'"),
        ("content,text,class", (None, None), ("text", "class"), "guessed: text column 'text' and label column 'class'"),
        ("said,intent", (None, None), ("said", "intent"), "guessed: text column 'said' and label column 'intent'"),
        ("text,mood", (None, None), ("text", "mood"), "guessed: text column 'text' and label column 'mood'"),
        ("a,b,label", ("b", None), ("b", "label"), "guessed: label column 'label'"),
        ("text,label", ("label", "text"), ("label", "text"), ""),
        ("text,message,label", ("message", "label"), ("message", "label"), ""),
        ("text,sentiment,x", (None, "text"), None, "no column looks like the text"),
        ("said,mood", (None, None), None, "no column looks like the text"),
    ],
)
def test_columns_are_guessed_and_the_guess_is_said(
    tmp_path: Path, header: str, given: tuple[str, str], expected: tuple[str, str] | None, note: str
) -> None:
    cells = ",".join("v" for _ in header.split(","))
    path = write(tmp_path, "a.csv", f"{header}\n{cells}\n")
    if expected is None:
        with pytest.raises(InputError, match=note):
            read_labelled(path, *given)
        return
    read = read_labelled(path, *given)
    assert ((read.text_column, read.label_column), read.note) == (expected, note)


def test_labels_are_written_as_a_reader_would(tmp_path: Path) -> None:
    values = [3, 3.0, 2.5, True, " spaced ", "x"]
    lines = "\n".join(json.dumps({"text": "t", "label": value}) for value in values)
    assert read_labelled(write(tmp_path, "a.jsonl", lines)).labels == ["3", "3", "2.5", "True", "spaced", "x"]


def test_split_column_is_handed_on(tmp_path: Path) -> None:
    read = read_labelled(write(tmp_path, "a.csv", "text,label,Split\na,x,train\nb,y, test\n"))
    assert read.splits == ["train", "test"]


BAD_FILES = [
    ("empty.csv", b"", None, None, r"empty\.csv is empty \(0 bytes\)"),
    ("blank.csv", b"\n \n", None, None, "blank lines only"),
    ("blank.jsonl", b"\n\n", None, None, "blank lines only"),
    ("a.xlsx", b"PK", None, None, r"'\.xlsx' cannot be read; save it as one of: \.csv, \.tsv, \.parquet, \.jsonl"),
    ("noext", b"text,label", None, None, "files ending in '' cannot be read"),
    ("latin.csv", b"text,label\nfine,x\ncaf\xe9,y\n", None, None, "line 3: byte 0xe9 is not UTF-8 text; save the file"),
    ("utf16.csv", "text,label\na,b\n".encode("utf-16"), None, None, "line 1: byte 0xff is not UTF-8"),
    ("noheader.csv", b"World,War ends today\nSports,Match won\n", None, None, "columns are 'World', 'War ends today'"),
    ("onecol.csv", b"text;label\na;b\n", None, None, "no column looks like the text; the columns are 'text;label'"),
    ("headeronly.csv", b"text,label\n", None, None, "no row of data was found"),
    ("missing.csv", b"text,label\na,b\n", "body", None, "no column 'body'; the columns are 'text', 'label'"),
    ("missing.tsv", b"text\tlabel\na\tb\n", None, "kind", "no column 'kind'.*say which holds the label"),
    ("same.csv", b"text,label\na,b\n", "text", "text", "column 'text' cannot be both text and label"),
    ("twice.csv", b"text,text,label\na,b,c\n", None, None, "several columns are called 'text'"),
    ("ragged.csv", b"text,label\na, b,x\nok,y\nz\n", None, None, "line 2: 3 cells .* header has 2 .*line 4: 1 cells"),
    ("unclosed.csv", b'text,label\nok,x\n"open,y\nz,x\n', None, None, "line 3: unexpected end of data; close every"),
    ("notext.csv", b"text,label\na,x\n  ,y\n", None, None, "line 3: the text is empty; correct or remove"),
    ("nolabel.csv", b"text,label\na,x\nb,\n", None, None, "line 3: the label is missing"),
    ("broken.jsonl", b'{"text": "a", "label": 1}\n{"text": \n', None, None, r"line 2: not JSON \(Expecting value"),
    ("list.jsonl", b'["a", 1]\n', None, None, "line 1: not a JSON object"),
    ("nokey.jsonl", b'{"text": "a", "label": 1}\n\n{"text": "b"}', None, None, "line 3: the label is missing"),
    ("nan.jsonl", b'{"text": "a", "label": NaN}\n', None, None, "line 1: the label is missing"),
    ("number.jsonl", b'{"text": 5, "label": 1}\n', None, None, "line 1: the text is of type int, not a string"),
    ("nested.jsonl", b'{"text": "a", "label": ["x"]}\n', None, None, "line 1: the label is of type list, not one"),
    ("half.jsonl", b'{"text": "\\ud800", "label": "x"}\n', None, None, "line 1: the text holds half of a surrogate"),
    ("junk.parquet", b"not parquet at all", None, None, "is no readable Parquet file .*; write it again"),
]


@pytest.mark.parametrize(("name", "content", "text", "label", "message"), BAD_FILES)
def test_bad_file_is_refused_with_its_reason(
    tmp_path: Path, name: str, content: bytes, text: str | None, label: str | None, message: str
) -> None:
    with pytest.raises(InputError, match=message) as raised:
        read_labelled(write(tmp_path, name, content), text, label)
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.csv does not exist; give the path"):
        read_labelled(tmp_path / "gone.csv")
    with pytest.raises(InputError, match="is a folder; give the path of one file"):
        read_labelled(tmp_path)


def test_null_in_parquet_names_the_row(tmp_path: Path) -> None:
    path = tmp_path / "nulls.parquet"
    pq.write_table(pa.table({"text": ["a", None], "label": pa.array([None, 1], pa.int64())}), path)
    with pytest.raises(InputError, match="row 1: the label is missing; row 2: the text is missing"):
        read_labelled(path)


def test_all_faults_are_gathered_the_first_are_shown(tmp_path: Path) -> None:
    lines = ["text,label", "a", *[",x"] * 6, "b,"]
    with pytest.raises(InputError) as raised:
        read_labelled(write(tmp_path, "bad.csv", "\n".join(lines)))
    message = str(raised.value)
    assert "line 2: 1 cells" in message
    assert "line 6: the text is empty; and 3 more; correct" in message
    assert "line 7" not in message


def test_test_file_by_names_and_by_positions(tmp_path: Path) -> None:
    names = ("neg", "pos")
    by_name = read_test_file(write(tmp_path, "n.csv", "text,label\na,pos\nb,neg\nc,pos\n"), names)
    by_index = read_test_file(write(tmp_path, "i.csv", "text,label\na,1\nb,0\nc,1\n"), names)
    assert by_name.labels.tolist() == by_index.labels.tolist() == [1, 0, 1]
    assert by_name.labels.dtype == np.int64
    assert by_name.texts == ["a", "b", "c"]


def test_test_file_prefers_names_that_look_like_positions(tmp_path: Path) -> None:
    path = write(tmp_path, "n.csv", "text,label\na,1\nb,2\n")
    assert read_test_file(path, ("1", "2", "3")).labels.tolist() == [0, 1]
    with pytest.raises(InputError, match="line 2: the label '0' is no class of this model; use one of: 1, 2, 3"):
        read_test_file(write(tmp_path, "z.csv", "text,label\na,0\nb,1\n"), ("1", "2", "3"))


def test_only_positions_out_of_range_are_faults(tmp_path: Path) -> None:
    path = write(tmp_path, "i.csv", "text,label\na,0\nb,2\n")
    with pytest.raises(InputError, match=r"i\.csv: line 3: the label '2' is no .*; use one of: neg, pos, or .* 0 to 1"):
        read_test_file(path, ("neg", "pos"))


@pytest.mark.parametrize("labels", [("pos", "2"), ("0", "2"), ("1", "neutral"), ("-1", "0"), ("pos", "1")])
def test_test_file_with_another_label_is_refused(tmp_path: Path, labels: tuple[str, str]) -> None:
    path = write(tmp_path, "t.csv", f"text,label\na,{labels[0]}\nb,{labels[1]}\n")
    with pytest.raises(InputError, match=r"t\.csv: line \d: the label '.*' is no class .*; use one of: neg, pos"):
        read_test_file(path, ("neg", "pos"))


def test_documents_fingerprint_names_texts_labels_and_order() -> None:
    def documents(texts: list[str], labels: list[int]) -> Documents:
        return Documents(texts, np.array(labels, dtype=np.int64))

    one = documents(["ab", "c"], [0, 1])
    others = [(["a", "bc"], [0, 1]), (["ab", "c"], [1, 0]), (["c", "ab"], [1, 0]), (["ab"], [0])]
    prints = {documents(*other).fingerprint for other in others}
    assert one.fingerprint == documents(["ab", "c"], [0, 1]).fingerprint
    assert one.fingerprint not in prints
    assert len(prints) == len(others)
    assert len(one.fingerprint) == 16


def test_subset_keeps_the_given_order() -> None:
    part = Documents(["a", "b", "c"], np.array([5, 6, 7])).subset(np.array([2, 0]))
    assert (part.texts, part.labels.tolist(), len(part)) == (["c", "a"], [7, 5], 2)
