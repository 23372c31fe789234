"""The verb `evaluate` for transformers: JSON, the line, refused options, what cannot run."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import tiny
import transformers_tiny
from command_line import Run, command_line

from core.commands import transformer_command
from core.errors import InputError
from core.transformers import bases, transformer_methods

QUICK = ("--base", "scratch", "--epochs", "1")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    small = partial(bases.choose, shape=transformers_tiny.SHAPE)
    with tiny.workplace(tmp_path_factory.mktemp("command")) as path, pytest.MonkeyPatch.context() as patch:
        patch.setattr(bases, "choose", lambda kind, base, shape: small(kind, base))
        yield str(path)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return command_line(capsys)


def test_json_names_base_size_latency_and_device(run: Run, corpus: str) -> None:
    row = run("evaluate", corpus, "--model", "gpt2", "--method", "int8-scratch", *QUICK, "--json").json
    assert (row["method"], row["bits"], row["model_seed"]) == ("int8-scratch", 8, 0)
    assert "from scratch" in row["base"]
    assert row["device"] == "cpu"
    assert min(row["size_mb"], row["latency_ms_per_batch"], row["seconds"]) > 0


def test_the_line_names_method_base_and_batch(run: Run, corpus: str) -> None:
    said = run("evaluate", corpus, "--model", "gpt2", *QUICK).out
    assert "float of GPT-2 architecture from scratch" in said
    assert "ms a batch of 16 (cpu)" in said


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--model", "gpt2", "--bits", "4"), "--bits is for an LSTM (generative, discriminative), not for gpt2"),
        (
            ("--model", "generative", "--method", "qat"),
            "--method is for a transformer (bert, gpt2), not for generative",
        ),
        (("--model", "gpt2", "--method", "qat"), "method 'qat' is not known for gpt2; choose one of: float"),
        (("--model", "gpt2", "--base", "no/such"), "base 'no/such' is no folder"),
        (("--model", "gpt2", *QUICK, "--mapping", "symmetric"), "needs a mapping, and only it takes one"),
    ],
)
def test_bad_options_are_refused_in_one_line(
    run: Run, corpus: str, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...], message: str
) -> None:
    monkeypatch.setattr(bases, "hub_revision", lambda repository: None)
    ran = run("evaluate", corpus, *given)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert message in ran.err


def test_what_cannot_run_says_why(run: Run, corpus: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise InputError("there is no kernel for this")

    monkeypatch.setattr(transformer_methods, "restore", refuse)
    ran = run("evaluate", corpus, "--model", "gpt2", "--method", "nf4-bnb", *QUICK)
    assert "nf4-bnb cannot run here: there is no kernel for this" in ran.out


def test_a_file_of_the_users_is_evaluated(run: Run, corpus: str, tmp_path: Path) -> None:
    own = tiny.write_corpus(tmp_path / "own.csv", per_class=3)
    row = run("evaluate", corpus, "--model", "gpt2", *QUICK, "--test", own, "--json").json
    assert (row["n"], row["split"]) == (9, "file")


def test_details_named_as_columns_are_renamed() -> None:
    row = {"preset": "float", "noise": 0.0, "noise_seed": 3, "seed": 1, "detail": {"noise": {}, "base": "b"}}
    assert transformer_command.public(row) == {
        **{"preset": "float", "noise": 0.0, "noise_seed": 3, "noise_detail": {}, "base": "b"},
        **{"method": "float", "seed": 3, "model_seed": 1},
    }
