"""What the Methods page reads: rows by fine-tuned base, differences from float, what is missing, other machines."""

from pathlib import Path

import method_rows
import numpy as np
import pytest
from method_rows import N

from core import pipeline
from core.config import CorpusSpec
from core.display import methods
from core.display.methods import Comparison
from core.storage.store import Store
from core.transformers.published import AG_NEWS, CLASS_SCORES
from core.transformers.transformer_config import METHODS, TransformerKind


def compared(kind: TransformerKind = "bert", corpus: str = "emotion", noise: float = 0.0) -> Comparison:
    ((base, rows),) = methods.read(kind, corpus).items()
    return methods.compare(kind, corpus, base, rows, noise)


@pytest.mark.parametrize("kind", METHODS)
def test_an_empty_store_names_every_command(kind: TransformerKind, tmp_cache: Path) -> None:
    corpus = methods.corpora_of(kind)[0]
    assert methods.read(kind, corpus) == {}
    found = methods.compare(kind, corpus, methods.NONE, [])
    assert (found.shown, found.lstms, methods.documents(found), methods.places(found)) == ((), (), 0, {})
    start = f"python -m core evaluate {corpus} --model {kind} --method"
    assert methods.missing(found) == [f"{start} {method}" for method in METHODS[kind]]
    assert {line["State"] for line in methods.table(found)} == {"not stored"}


def test_the_table_says_what_the_store_has(tmp_cache: Path) -> None:
    method_rows.save_bert()
    found = compared()
    lines = {line["Method"]: line for line in methods.table(found)}
    assert list(lines) == list(METHODS["bert"])
    assert lines["float"]["Accuracy (%)"] == pytest.approx(100 * (N - 20) / N)
    assert lines["float"]["Low (%)"] < lines["float"]["Accuracy (%)"] < lines["float"]["High (%)"]
    assert (lines["float"]["Change (points)"], lines["qat"]["State"]) == (None, "not stored")
    assert methods.missing(found) == ["python -m core evaluate emotion --model bert --method qat"]
    qlora = lines["qlora"]
    assert qlora["Change (points)"] == pytest.approx(-100 * 60 / N)
    assert qlora["Flips (%)"] == pytest.approx(100 * 60 / N)
    assert qlora["McNemar p"] == pytest.approx(2 * 0.5**60)
    assert qlora["KL (nats)"] > 0
    assert lines["dynamic-int8"]["McNemar p"] == 1
    assert (lines["dynamic-int8"]["Compression"], lines["dynamic-int8"]["Speed-up"]) == (2, 2)


def test_times_of_two_machines_are_never_set_against_each_other(tmp_cache: Path) -> None:
    method_rows.save_bert()
    found = compared()
    assert {line["Method"]: line["Speed-up"] for line in methods.table(found)}["qlora"] is None
    by_machine = {machine: [p.name for p in places] for machine, places in methods.places(found).items()}
    assert by_machine == {"A, 2 threads": ["float", "dynamic-int8"], "G": ["qlora"]}


def test_a_result_without_predictions_keeps_its_score(tmp_cache: Path) -> None:
    method_rows.save_bert()
    key = method_rows.save(method="qat", wrong=22)
    next(Store().root.glob(f"evaluations/{key}*")).unlink()
    line = methods.table(compared())[2]
    assert (line["Method"], line["State"], line["Change (points)"]) == ("qat", "measured", None)
    assert (line["Compression"], line["Accuracy (%)"]) == (1, pytest.approx(100 * (N - 22) / N))


def test_a_method_that_cannot_run_says_why(tmp_cache: Path) -> None:
    method_rows.save("gpt2", "ag-news")
    method_rows.save_refused("gpt2", "ag-news", "nf4-bnb", "no kernel")
    found = compared("gpt2", "ag-news")
    assert methods.refusals(found) == ["nf4-bnb cannot run on A, 2 threads: no kernel"]
    assert methods.table(found)[-1] | {"State": "cannot run", "Reason": "no kernel"} == methods.table(found)[-1]
    assert [entry.label for entry in found.shown] == ["float"]
    assert not any(command.endswith("nf4-bnb") for command in methods.missing(found))


def test_both_grids_of_int8_stand_in_the_table(tmp_cache: Path) -> None:
    method_rows.save("gpt2", "ag-news")
    for mapping in ("symmetric", "affine"):
        method_rows.save("gpt2", "ag-news", "int8-scratch", mapping=mapping)
    labels = [entry.label for entry in compared("gpt2", "ag-news").entries]
    assert labels == ["float", "int8-scratch (affine)", "int8-scratch (symmetric)", "int8-bnb", "nf4-bnb"]


def test_every_training_is_a_series_and_every_noise_level_a_choice(tmp_cache: Path) -> None:
    method_rows.save(wrong=20)
    method_rows.save(wrong=30, seed=1)
    method_rows.save(wrong=90, noise=0.1)
    found = methods.read("bert", "emotion")
    assert sorted(name[-7:] for name in found) == ["seed 0)", "seed 1)"]
    name, rows = next((name, rows) for name, rows in found.items() if name.endswith("seed 0)"))
    assert methods.noise_levels(rows) == [0, 0.1]
    noisy = methods.compare("bert", "emotion", name, rows, 0.1)
    assert methods.table(noisy)[0]["Accuracy (%)"] == pytest.approx(100 * (N - 90) / N)
    assert methods.missing(noisy)[0].endswith("--method dynamic-int8 --noise 0.1 --seed 0")
    assert noisy.report is None


def test_other_corpora_are_offered_after_the_reports(tmp_cache: Path) -> None:
    method_rows.save(corpus="a-corpus")
    assert methods.corpora_of("bert") == ["emotion", "a-corpus"]
    assert methods.corpora_of("gpt2") == ["ag-news"]
    assert compared(corpus="a-corpus").report is None


def test_confusions_and_scores_are_the_stored_ones(tmp_cache: Path) -> None:
    method_rows.save_bert()
    found = compared()
    counts, names, reference = methods.confusion(found, found.entries[3])
    assert reference is not None
    assert (names, counts.sum(), reference.sum()) == (list(method_rows.CLASSES), N, N)
    assert np.trace(reference) - np.trace(counts) == 60
    table = methods.class_table(found, found.entries[3])
    assert list(table["Documents"]) == [100, 100, 100]
    assert (table["F1 change (points)"] < 0).all()
    assert "F1 change (points)" not in methods.class_table(found, found.entries[0])
    assert methods.scores(found)["float"] == pytest.approx((280 / 300,) * 3, abs=1e-3)


def test_published_scores_of_classes_stand_beside_ours(tmp_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(method_rows, "CLASSES", AG_NEWS)
    method_rows.save("gpt2", "ag-news", wrong=20)
    found = compared("gpt2", "ag-news")
    table = methods.class_table(found, found.entries[0])
    assert list(table["Class"]) == list(AG_NEWS)
    assert list(table["Published: F1 (%)"]) == [100 * f1 for _, _, f1 in CLASS_SCORES["float"]]


def test_a_busy_machine_is_told_from_an_idle_one(tmp_cache: Path) -> None:
    method_rows.save_bert()
    method_rows.save(method="qat", detail={"load": 4.5})
    assert [methods.is_busy(entry) for entry in compared().entries] == [False, False, True, False]


def test_lstms_of_default_settings_stand_beside(tmp_cache: Path) -> None:
    key = method_rows.save(wrong=20)
    own = Store().results(key=key)[0]["spec"]["variant"]["run"]["corpus"]
    stored = [("generative", 3, "fitted", own), ("discriminative", 32, "fitted", own)]
    others = [("generative", 3, "minmax", own), ("generative", 32, "fitted", own | {"content": "other texts"})]
    for model, bits, ranges, corpus in [*stored, *others]:
        spec = pipeline.specify(CorpusSpec.model_validate(corpus), model, bits, ranges=ranges)  # type: ignore[arg-type]
        row = {"key": spec.fingerprint(), "corpus": "emotion", "model": model, "bits": bits, "seed": 0, "noise": 0.0}
        row |= {"noise_seed": 0, "split": "test", "accuracy": 0.9, "correct": 270, "n": N, "versions": {"torch": "2"}}
        Store().save_result(row | {"spec": spec.model_dump(mode="json")})
    found = compared()
    assert [(row["model"], row["bits"]) for row in found.lstms] == [("generative", 3), ("discriminative", 32)]
    names = [dot.name for dot in methods.dots(found)]
    assert names[-2:] == ["generative LSTM, 3 bits", "discriminative LSTM, float"]
    assert sum(dot.published for dot in methods.dots(found)) == 4
