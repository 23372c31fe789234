"""The command line: what every verb prints, and how it refuses."""

from pathlib import Path

import pytest
import typer.main
from command_line import DISCRIMINATIVE, GENERATIVE, QUICK, Run
from tiny import CLASSES, computations, rows_of, write_rows

import core.__main__ as cli
from core import pipeline
from core.commands import tables
from core.lstm import training
from core.storage.store import Store

# evaluate

PROMISED = {"corpus", "model", "bits", "preset", "head", "ranges", "calibration", "noise", "seed", "n", "correct"}
PROMISED |= {"accuracy", "accuracy_low", "accuracy_high", "macro_f1", "class_names", "confusion", "per_class"}
PROMISED |= {"source", "seconds", "versions"}


def test_evaluate_prints_one_object_with_all_that_was_promised(run: Run, corpus: str) -> None:
    settings = ("--bits", 3, "--preset", "paper-code", "--calibration", "classes:grain,metal", "--noise", 0.05)
    row = run("evaluate", corpus, *GENERATIVE, *settings, "--seed", 4, "--json").json
    assert set(row) >= PROMISED
    expected = {"corpus": corpus, "model": "generative", "bits": 3, "preset": "paper-code", "head": "round"}
    expected |= {"ranges": "percentile", "calibration": "classes:grain,metal", "noise": 0.05, "seed": 4}
    expected |= {"model_seed": 0, "n": 24, "class_names": list(CLASSES), "source": "computed"}
    assert {name: row[name] for name in expected} == expected
    assert row["accuracy"] == row["correct"] / 24
    assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
    assert sum(map(sum, row["confusion"])) == 24
    assert set(row["per_class"]) == set(CLASSES)
    assert row["noise_detail"]["character_rate"] > 0
    assert row["calibration_detail"]["composition"]["money"] == 0
    assert "news.csv" in row["corpus_detail"]


def test_evaluate_answers_from_the_store_the_second_time(run: Run, corpus: str) -> None:
    command = ("evaluate", corpus, *DISCRIMINATIVE, "--bits", 4, "--json")
    first, second = run(*command).json, run(*command)
    assert second.json == first | {"source": "store"}
    assert second.err == ""


def test_evaluate_prints_a_line_for_people(run: Run, corpus: str) -> None:
    options = ("evaluate", corpus, *DISCRIMINATIVE, "--bits", 4, "--preset", "paper-code", "--noise", 0.1)
    row, line = run(*options, "--json").json, run(*options).out
    low, high = 100 * row["accuracy_low"], 100 * row["accuracy_high"]
    assert line.startswith(f"discriminative  4 bits  {100 * row['accuracy']:.2f} % [{low:.2f}, {high:.2f}]")
    assert "paper-code round percentile conditional, n 24, noise 0.1, LSTM variance" in line
    assert line.endswith(", store\n")


def test_progress_goes_to_stderr(run: Run, own: str) -> None:
    ran = run("evaluate", own, *DISCRIMINATIVE, "--json")
    assert ran.json["preset"] == "float"
    assert ran.err.startswith("epoch 1: train loss 1.")
    assert ran.err.count("\n") == 1


def test_options_reach_what_they_name(run: Run, corpus: str) -> None:
    evaluate = ("evaluate", corpus, *DISCRIMINATIVE, "--json")
    assert run(*evaluate, "--limit", 7).json["n"] == 7
    assert run(*evaluate, "--graph", "brevitas").json["preset"] == "float-in-brevitas"
    spec = run(*evaluate, "--epochs", 2, "--train-limit", 20, "--model-seed", 3, "--text-column", "text").json["spec"]
    trained = spec["variant"]["run"]
    assert trained["corpus"]["text_column"] == "text"
    assert {"max_epochs": 2, "limit": 20, "seed": 3}.items() <= trained["train"].items()


def test_evaluate_on_a_file_of_the_users(run: Run, corpus: str, tmp_path: Path) -> None:
    by_name = write_rows(tmp_path / "a.csv", rows_of(6, seed=5))
    by_place = write_rows(tmp_path / "b.csv", [(text, str(CLASSES.index(label))) for text, label in rows_of(6, seed=5)])
    options = ("evaluate", corpus, *DISCRIMINATIVE, "--bits", 3, "--json")
    row, same, plain = run(*options, "--test", by_name).json, run(*options, "--test", by_place).json, run(*options).json
    assert (row["n"], row["split"], plain["split"]) == (18, "file", "test")
    assert same == row | {"source": "store"}
    assert sum(row["confusion"][0]) == 6


# predict, sweep


def test_predict_prints_one_object(run: Run, corpus: str) -> None:
    row = run("predict", corpus, "wheat harvest qqqq zzzz", *GENERATIVE, "--json").json
    assert set(row) == {"bits", "label", "probabilities", "oov", "margin", "known", "surprisals"}
    assert (row["bits"], row["oov"], set(row["probabilities"])) == (32, 0.5, set(CLASSES))
    assert sum(row["probabilities"].values()) == pytest.approx(1)
    assert row["probabilities"][row["label"]] == max(row["probabilities"].values())


def test_predict_at_several_bits_prints_a_list(run: Run, corpus: str) -> None:
    command = ("predict", corpus, "copper mine", *DISCRIMINATIVE, "--bits", 32, "--bits", 3)
    rows, lines = run(*command, "--json").json, run(*command).out.splitlines()
    assert [row["bits"] for row in rows] == [32, 3]
    assert rows[0]["probabilities"] != rows[1]["probabilities"]
    share = rows[1]["probabilities"][rows[1]["label"]]
    assert lines[1] == f" 3 bits: {rows[1]['label']} {100 * share:.1f} %"


def test_sweep_evaluates_every_combination_once(run: Run, corpus: str) -> None:
    grid = ("--model", "discriminative", "--bits", 32, "--bits", 4, "--noise", 0, "--noise", 0.1)
    rows = run("sweep", corpus, *grid, *QUICK, "--preset", "uniform", "--preset", "paper-code", "--json").json
    cells = [(row["bits"], row["preset"], row["noise"]) for row in rows]
    assert sorted(cells) == [
        *((4, preset, noise) for preset in ("paper-code", "uniform") for noise in (0, 0.1)),
        *((32, "float", noise) for noise in (0, 0.1)),
    ]
    single = run("evaluate", corpus, *DISCRIMINATIVE, "--bits", 4, "--noise", 0.1, "--json").json
    assert single == next(row for row in rows if row["key"] == single["key"]) | {"source": "store", "seed": 0}
    lines = run("sweep", corpus, *grid, *QUICK).out.splitlines()
    assert len(lines) == 4
    assert all(line.endswith(", store") for line in lines)


# train, list, clean, ship


def test_an_interrupted_training_goes_on(run: Run, own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    train = ("train", own, "--model", "discriminative", "--epochs", 3)

    def interrupt(bars: object, name: str, done: float, total: float) -> None:
        if Store().load_tensors("checkpoints", key):
            raise KeyboardInterrupt

    key = pipeline.resolve(pipeline.specify(own, "discriminative", run={"max_epochs": 3})).variant.run.fingerprint()
    with monkeypatch.context() as patch:
        patch.setattr(cli._Bars, "stage", interrupt)
        stopped = run(*train)
    assert (stopped.code, stopped.out) == (130, "")
    told = stopped.err.splitlines()
    assert [line[:8] for line in told] == ["epoch 1:", "bitdial:"]
    assert told[-1] == "bitdial: interrupted; what was finished is kept, the same command goes on from there"
    resumed = run(*train)
    assert [line[:8] for line in resumed.err.splitlines()] == ["epoch 2:", "epoch 3:"]
    again = run(*train)
    assert (again.out, again.err) == (resumed.out, "")
    card = run(*train, "--json").json
    best = min(card["history"]["epochs"], key=lambda epoch: epoch["validation_loss"])
    loss = f"validation loss {best['validation_loss']:.4f} after epoch {best['epoch'] + 1}"
    assert again.out == f"discriminative on {own}: {loss}\n"


def test_list_names_all_that_was_kept(run: Run, own: str) -> None:
    assert run("list", "--json").json == []
    row = run("evaluate", own, *DISCRIMINATIVE, "--bits", 3, "--json").json
    entries = run("list", "--json").json
    kinds = {"tokens", "checkpoints", "weights", "variants", "evaluations", "models"}
    assert {entry["kind"] for entry in entries} == kinds
    (line,) = (line for line in run("list").out.splitlines() if "accuracy=" in line)
    assert row["key"] in line
    assert (
        f"bits=3 preset=uniform ranges=percentile calibration=conditional noise=0.0 accuracy={row['accuracy']}" in line
    )


def test_what_was_cleaned_is_computed_again(run: Run, own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = computations(monkeypatch)
    command = ("evaluate", own, *DISCRIMINATIVE, "--bits", 3, "--json")
    first = run(*command).json
    for kind, expected in (("evaluations", {"evaluate": 1}), (None, {"train": 1, "quantize": 1, "evaluate": 1})):
        freed = run("clean", *(["--kind", kind] if kind else []))
        assert (freed.code, freed.out.endswith(" MB freed\n")) == (0, True)
        calls.clear()
        again = run(*command).json
        assert +calls == expected
        varying = {"seconds": again["seconds"], "created": again["created"]}
        assert again == first | varying


def test_what_was_shipped_survives_cleaning(run: Run, own: str) -> None:
    command = ("evaluate", own, *DISCRIMINATIVE, "--json")
    row, noisy = run(*command).json, run(*command, "--noise", 0.1).json
    assert run("ship", own).out.startswith("5 entries shipped, ")
    run("clean")
    assert run(*command).json == row | {"source": "store"}
    assert run(*command, "--noise", 0.1).json == noisy | {"source": "store"}
    kept = [Store().load_tensors("evaluations", one["key"]) for one in (row, noisy)]
    assert [arrays is not None for arrays in kept] == [True, False]


def test_training_is_not_lost_with_its_record(run: Run, own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    train = ("train", own, "--model", "discriminative", "--epochs", 1)
    run(*train)
    run("clean", "--kind", "models")
    monkeypatch.setattr(training, "train", lambda *_: pytest.fail("trained again"))
    assert run(*train).out == f"discriminative on {own}: trained, but the store has lost its history\n"
    assert run(*train, "--json").json["spec"]["train"]["max_epochs"] == 1


def test_table_and_verdicts_print_what_the_store_says(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BITDIAL_CACHE", raising=False)
    assert run("table", "reuters-r8").out == f"{tables.accuracy_table('reuters-r8')}\n"
    rows = tables.verdicts(["reuters-r8"])
    assert run("verdicts", "reuters-r8").out == f"{tables.verdict_table(rows)}\n"
    assert run("verdicts", "reuters-r8", "--json").json == rows


# Help


def test_no_arguments_show_the_verbs(run: Run) -> None:
    shown = run()
    assert (shown.code, shown.err) == (0, "")
    assert all(f"  {verb} " in shown.out for verb in VERBS)


VERBS = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_and_each_option(run: Run, verb: str) -> None:
    shown = run(verb, "--help")
    assert (shown.code, shown.err) == (0, "")
    assert VERBS[verb].help.splitlines()[0] in " ".join(shown.out.split())
    for parameter in VERBS[verb].params:
        assert parameter.opts[0] in shown.out
        assert parameter.help or parameter.opts[0] == "--help", parameter.opts
