"""Bad input to the command line: exit code 2, one line on stderr that says what to do, nothing on stdout."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import DISCRIMINATIVE, Run, process
from tiny import workplace, write_rows

from core.storage.store import DATABASE, Store

EVALUATE = ("evaluate", "{corpus}", "--model", "discriminative")
BITS = "out of range; choose 3 to 8, or 32 for float"
BAD_INPUT = {
    "unknown corpus": (("evaluate", "agnews", "--model", "generative"), "corpus 'agnews' is not known; choose one of"),
    "missing file": (("evaluate", "{folder}/no.csv", "--model", "generative"), "/no.csv does not exist; give the path"),
    "a folder": (("evaluate", "{folder}", "--model", "generative"), "is a folder; give the path of one file"),
    "one class": (("evaluate", "{folder}/one.csv", "--model", "generative"), "give rows of two classes or more"),
    "not UTF-8": (("train", "{folder}/latin.csv", "--model", "generative"), "line 2: byte 0xe9 is not UTF-8 text"),
    "no such column": ((*EVALUATE, "--text-column", "body"), "there is no column 'body'; the columns are 'text'"),
    "too few bits": ((*EVALUATE, "--bits", "2"), f"bits=2 is {BITS}"),
    "too many bits": ((*EVALUATE, "--bits", "9"), f"bits=9 is {BITS}"),
    "bits in words": ((*EVALUATE, "--bits", "four"), "Invalid value for '--bits'"),
    "too much noise": ((*EVALUATE, "--noise", "0.5"), "bitdial: noise=0.5 is out of range; choose 0 to 0.1"),
    "unknown preset": ((*EVALUATE, "--preset", "paper"), "'paper' is not one of 'paper-code', 'uniform'"),
    "unknown model": (("evaluate", "{corpus}", "--model", "elmo"), "'elmo' is not one of 'generative', 'discrim"),
    "unknown graph": ((*EVALUATE, "--graph", "onnx"), "graph='onnx': Input should be 'engine' or 'brevitas'"),
    "quantized in Brevitas": ((*EVALUATE, "--bits", "4", "--graph", "brevitas"), "'brevitas' is for the float model"),
    "no documents": ((*EVALUATE, "--limit", "0"), "limit=0: Input should be greater than or equal to 1"),
    "unknown calibration": ((*EVALUATE, "--calibration", "random"), "scheme='random': Input should be 'conditional'"),
    "calibration class": (
        (*EVALUATE, "--bits", "4", "--calibration", "classes:grain,tin"),
        "class 'tin' is not known; choose from: grain, metal, money",
    ),
    "test file with another label": (
        (*EVALUATE, "--test", "{folder}/labels.csv"),
        "line 3: the label 'tin' is no class of this model; use one of: grain, metal, money",
    ),
    "empty test file": ((*EVALUATE, "--test", "{folder}/empty.csv"), "empty.csv is empty (0 bytes)"),
    "test file without rows": ((*EVALUATE, "--test", "{folder}/header.csv"), "no row of data was found"),
    "missing test file": ((*EVALUATE, "--test", "{folder}/no.csv"), "no.csv does not exist"),
    "blank text": (("predict", "{corpus}", " ", "--model", "generative"), "the text is empty; give at least one word"),
    "no text": (("predict", "{corpus}", "--model", "generative"), "Missing argument 'text'"),
    "bad sweep": (("sweep", "{corpus}", "--bits", "4", "--bits", "2"), f"bits=2 is {BITS}"),
    "unknown model to sweep": (("sweep", "{corpus}", "--model", "elmo"), "model 'elmo' is not known; choose one of"),
    "nothing to fetch": (("fetch", "{corpus}"), "news.csv' is not known; choose one of"),
    "no such kind": (("clean", "--kind", "../weights"), "'../weights' is no kind of the store"),
    "nothing to ship": (("ship", "{corpus}"), "the store has no results for"),
    "unknown verb": (("quantize",), "No such command 'quantize'"),
    "unknown option": ((*EVALUATE, "--color", "red"), "No such option: --color"),
    "no corpus": (("evaluate",), "Missing argument 'corpus'"),
    "no model": (("evaluate", "{corpus}"), "Missing option '--model'"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workplace with a corpus and bad files in it."""
    folder = tmp_path_factory.mktemp("faults")
    write_rows(folder / "one.csv", [("wheat", "grain")] * 9)
    write_rows(folder / "labels.csv", [("wheat", "grain"), ("tin can", "tin")])
    (folder / "latin.csv").write_bytes("text,label\ncaf\xe9,grain\n".encode("latin-1"))
    (folder / "empty.csv").touch()
    (folder / "header.csv").write_text("text,label\n")
    with workplace(folder):
        yield folder


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_refused_in_one_line_before_any_work(run: Run, folder: Path, name: str) -> None:
    arguments, message = BAD_INPUT[name]
    refused = run(*(argument.format(folder=folder, corpus=folder / "news.csv") for argument in arguments))
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("bitdial: ")
    assert refused.err.count("\n") == 1
    assert message in refused.err
    assert not (Store().root / "weights").exists()


def test_every_word_of_pydantic_is_left_out(run: Run, folder: Path) -> None:
    told = [
        run(*(argument.format(folder=folder, corpus=folder / "news.csv") for argument in arguments)).err
        for arguments, _ in BAD_INPUT.values()
    ]
    assert [line for line in told if "Value error" in line or "Spec" in line] == []


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("BITDIAL_DEVICE", "tpu", "bitdial: BITDIAL_DEVICE='tpu' is no device; set it to cpu or cuda\n"),
        ("BITDIAL_CACHE", "{folder}/news.csv", "or set BITDIAL_CACHE to a folder that can be written\n"),
    ],
)
def test_a_bad_setting_of_the_machine(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value.format(folder=folder))
    refused = run("evaluate", folder / "news.csv", *DISCRIMINATIVE)
    assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)
    assert refused.err.endswith(message)


def test_a_hub_corpus_without_a_hub(tmp_path: Path) -> None:
    """In a process of its own, with its real exit code."""
    refused = process(
        *("evaluate", "ag-news", "--model", "generative", "--bits", "3"),
        BITDIAL_CACHE=str(tmp_path),
        BITDIAL_DATA_DIR=str(tmp_path / "nowhere"),
        HF_HUB_OFFLINE="1",
        HF_HOME=str(tmp_path),
    )
    assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)
    assert refused.err.startswith("bitdial: corpus 'ag-news' was not found: BITDIAL_DATA_DIR is ")
    assert "set BITDIAL_DATA_DIR to a folder with ag_news/train.parquet, ag_news/test.parquet" in refused.err


def test_a_broken_database_is_reported_and_made_again(run: Run, tmp_path: Path) -> None:
    """Weights outlive their row; the process that meets the damage says so and ends well."""
    with workplace(tmp_path) as corpus:
        command = ("evaluate", str(corpus), *DISCRIMINATIVE, "--json")
        first = run(*command).json
        (Store().root / DATABASE).write_text("garbage " * 1000)
        again = process(*command)
        assert again.err.count("\n") == 1
        assert f"{DATABASE} is not used: file is not a database" in again.err
        assert again.json == first | {name: again.json[name] for name in ("seconds", "created")}
        assert run(*command).json == again.json | {"source": "store"}
