"""A model card says what the store says, and nothing that it does not."""

from typing import Any

import pytest

from core.commands import cards
from core.config import CorpusSpec, ModelKind, ModelRun, default_run
from core.errors import InputError


def run(kind: ModelKind = "generative", **train: Any) -> ModelRun:
    return default_run(CorpusSpec(name="ag-news"), kind, **train)


def model(spec: ModelRun, losses: tuple[float | None, ...] = (3.0, 2.0, 2.5), best: int = 1) -> dict[str, Any]:
    epochs = [
        {"epoch": at, "train_loss": 9.0 - at, "validation_loss": loss, "best": at <= best, "seconds": 10.4}
        for at, loss in enumerate(losses)
    ]
    return {
        "key": spec.fingerprint(),
        "model": spec.model.kind,
        "seed": spec.train.seed,
        "n_train": 58511,
        "created": "2026-11-24T05:00:00+00:00",
        "spec": spec.model_dump(mode="json"),
        "history": {"epochs": epochs, "corpus": "a 61 % subset of AG News"},
        "versions": {"torch": "2.13.0"},
    }


def float_result(spec: ModelRun, accuracy: float, **changes: Any) -> dict[str, Any]:
    row = {"noise": 0.0, "preset": "float", "split": "test", "test_limit": None, "n": 7600, "accuracy": accuracy}
    variant = {"run": spec.model_dump(mode="json"), "recipe": None}
    return (
        row
        | {"accuracy_low": accuracy - 0.01, "accuracy_high": accuracy + 0.01, "spec": {"variant": variant}}
        | changes
    )


def test_it_names_text_licence_settings_and_versions() -> None:
    text = cards.model_card("ag-news", [model(run())], [])
    assert text.startswith("# Models of ag-news\n\nText: a 61 % subset of AG News\n")
    assert "any other non-commercial activity" in text
    validated = "the corpus's own validation split, else 20 % of its training split kept apart, validates"
    assert f"- 58,511 training documents; {validated}" in text
    assert "- tokens: lowercase True, max tokens 160, min frequency 5" in text
    assert f"- key `{run().fingerprint()}`, made 2026-11-24 with torch 2.13.0" in text
    assert "limit" not in text


def test_its_curve_marks_the_epoch_that_was_kept() -> None:
    lines = cards.model_card("ag-news", [model(run(), (3.0, 2.0, None))], []).splitlines()
    assert lines[-3:] == [
        "| 1 | 9.0000 | 3.0000 | 10 |",
        "| 2 | 8.0000 | 2.0000 (kept) | 10 |",
        "| 3 | 7.0000 | not finite | 10 |",
    ]


def test_models_stand_by_kind_noise_and_seed() -> None:
    specs = [run(seed=1), run(noise=0.1), run(), run("discriminative")]
    titles = [
        line for line in cards.model_card("ag-news", list(map(model, specs)), []).splitlines() if line[:3] == "## "
    ]
    assert titles == [
        "## Discriminative, seed 0",
        "## Generative, seed 0",
        "## Generative, seed 1",
        "## Generative, seed 0, trained with 10 % of characters replaced",
    ]


def test_accuracy_is_that_of_the_models_own_clean_float_result() -> None:
    rows = [
        float_result(run(), 0.9012),
        float_result(run(seed=1), 0.5),
        float_result(run(), 0.6, noise=0.1),
        float_result(run(), 0.7, preset="uniform"),
    ]
    text = cards.model_card("ag-news", [model(run())], rows)
    assert text.count("test accuracy") == 1
    assert "- test accuracy in float: 90.12 % (95 % interval 89.12 to 91.12, n = 7,600)" in text


def test_a_file_of_the_users_has_no_known_licence() -> None:
    assert "No licence of the text is known" in cards.model_card("mine.csv", [model(run())], [])


def test_a_corpus_without_models_has_no_card() -> None:
    with pytest.raises(InputError, match="no models of 'ag-news'; run train ag-news first"):
        cards.model_card("ag-news", [], [])
