"""The main path of transformers on a tiny corpus: rows, stored files, flips, what cannot run."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tiny
import transformers_tiny
from transformers_tiny import specify_bert, specify_gpt2

from core import pipeline
from core.commands import shipping, tables
from core.config import default_run
from core.display import curves, views
from core.errors import InputError
from core.storage.store import Store
from core.text import inputs
from core.text.corpora import Documents
from core.transformers import fine_tuning, transformer_methods, transformer_pipeline
from core.transformers.transformer_config import METHOD_BITS, METHODS
from core.verdicts import paper


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with tiny.workplace(tmp_path_factory.mktemp("transformers")) as path:
        transformers_tiny.write_bert(path.parent / "bert")
        yield path


@pytest.mark.parametrize("method", METHODS["gpt2"])
def test_gpt2_rows_say_what_they_are(corpus: Path, method: str) -> None:
    row = transformer_pipeline.evaluate(specify_gpt2(corpus, method))
    detail = row["detail"]
    assert (row["model"], row["preset"], row["bits"]) == ("gpt2", method, METHOD_BITS[method])  # type: ignore[index]
    assert row["accuracy"] == row["correct"] / row["n"] > 0.4
    assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
    assert "from scratch, 1 layers of 16" in detail["base"]
    assert np.sum(detail["confusion"]) == row["n"]
    assert set(detail["per_class"]) == set(tiny.CLASSES)
    assert min(detail["latency_ms_per_batch"], row["seconds"], detail["size_mb"]) > 0
    assert (detail["device"], row["lstm_variance"]) == ("cpu", None)
    assert {"transformers", "bitsandbytes", "torch"} <= set(row["versions"])


@pytest.mark.parametrize("method", METHODS["bert"])
def test_bert_rows_say_what_they_are(corpus: Path, method: str) -> None:
    row = transformer_pipeline.evaluate(specify_bert(corpus, corpus.parent / "bert", method))
    assert (row["model"], row["preset"]) == ("bert", method)
    assert row["detail"]["base"] == f"folder {corpus.parent / 'bert'}"
    assert row["accuracy"] > 0.4


def test_a_size_is_that_of_the_stored_file(corpus: Path) -> None:
    for method, kind in (("float", "weights"), ("int8-scratch", "variants")):
        spec = transformer_pipeline.resolve(specify_gpt2(corpus, method))
        named = spec.variant if kind == "variants" else spec.variant.run
        file = Store().root / kind / f"{named.fingerprint()}.safetensors"
        assert transformer_pipeline.evaluate(spec)["detail"]["size_mb"] == file.stat().st_size / 1e6


def test_what_is_stored_is_not_computed_again(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = specify_gpt2(corpus, "int8-scratch")
    first = transformer_pipeline.evaluate(spec)
    monkeypatch.setattr(fine_tuning, "fine_tune", lambda *_, **__: pytest.fail("it was trained again"))
    monkeypatch.setattr(transformer_methods, "compress", lambda *_: pytest.fail("it was compressed again"))
    again = transformer_pipeline.evaluate(spec)
    assert (again["source"], again["key"]) == ("store", first["key"])
    anew = transformer_pipeline.evaluate(spec, again=True)
    assert (anew["source"], anew["accuracy"]) == ("computed", first["accuracy"])


def test_mappings_are_two_results(corpus: Path) -> None:
    affine, symmetric = (specify_gpt2(corpus, "int8-scratch", mapping=name) for name in (None, "symmetric"))
    rows = [transformer_pipeline.evaluate(spec) for spec in (affine, symmetric)]
    assert [row["ranges"] for row in rows] == ["affine", "symmetric"]


def test_flips_and_divergence_to_float(corpus: Path) -> None:
    plain, small = specify_gpt2(corpus), specify_gpt2(corpus, "nf4-bnb")
    found = transformer_pipeline.compare(plain, small)
    assert found["kl"] > 0
    assert transformer_pipeline.compare(plain, plain)["kl"] == pytest.approx(0, abs=1e-6)
    with pytest.raises(InputError, match="on different documents"):
        transformer_pipeline.compare(plain, specify_gpt2(corpus, limit=3))


def test_noise_is_realised_and_stated(corpus: Path) -> None:
    row = transformer_pipeline.evaluate(specify_gpt2(corpus, noise=0.1, seed=4))
    assert (row["noise"], row["noise_seed"]) == (0.1, 4)
    assert 0.02 < row["detail"]["noise"]["character_rate"] < 0.12


def test_a_file_of_the_users_replaces_the_split(corpus: Path) -> None:
    own = inputs.load(specify_gpt2(corpus).variant.run.corpus).train.subset(np.arange(7))
    row = transformer_pipeline.evaluate(specify_gpt2(corpus), documents=own)
    assert (row["split"], row["n"]) == ("file", 7)
    with pytest.raises(InputError, match="there is no document to evaluate"):
        transformer_pipeline.evaluate(specify_gpt2(corpus), documents=Documents([], np.zeros(0, np.int64)))


def test_what_cannot_run_is_a_row_with_its_reason(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise InputError("there is no kernel for this")

    spec = specify_gpt2(corpus, "int8-bnb", limit=5)
    with monkeypatch.context() as patch:
        patch.setattr(transformer_methods, "restore", refuse)
        row = transformer_pipeline.evaluate(spec)
        assert (row["accuracy"], row["detail"]["reason"]) == (None, "there is no kernel for this")
        assert transformer_pipeline.find(spec) is None
    assert transformer_pipeline.evaluate(spec)["accuracy"] is not None


def test_a_card_tells_how_the_weights_were_made(corpus: Path) -> None:
    spec = transformer_pipeline.resolve(specify_gpt2(corpus))
    transformer_pipeline.evaluate(spec)
    card = Store().find_model_card(spec.variant.run.fingerprint())
    assert card is not None
    assert (card["model"], len(card["history"]["epochs"])) == ("gpt2", transformers_tiny.RUN["max_epochs"])
    assert "from scratch" in card["history"]["base"]


def test_readers_of_lstms_pass_over_transformers(corpus: Path) -> None:
    """Both kinds of model have rows and cards of one corpus."""
    name = str(corpus)
    transformer_pipeline.evaluate(specify_gpt2(corpus))
    assert name not in views.known_corpora()
    assert curves.read(name).rows == ()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "default_run", partial(default_run, **tiny.RUN))
        pipeline.evaluate(tiny.specify(corpus))
        assert views.known_corpora() == [name]
        assert [row["model"] for row in curves.read(name).rows] == ["discriminative"]
    assert tables.accuracy_table(name).startswith("**Discriminative**")
    assert paper.read([name]).select({"model": "discriminative"})
    store = Store()
    kept = Store(store.root, corpus.parent / "shipped")
    shipping.ship(kept, name)
    spec = transformer_pipeline.resolve(specify_gpt2(corpus))
    key = spec.variant.run.fingerprint()
    assert kept.shipped.joinpath("tokenizers", f"{key}.safetensors").is_file()
    assert "base GPT-2 architecture" in (kept.shipped / "news.md").read_text()
