import json
from itertools import chain
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core import config
from core.config import Bits, CalibrationSpec, NoiseSpec, Recipe, Spec

SITES = tuple(Bits.model_fields)
ACTIVATIONS = {name for name in SITES if name.startswith("lstm_")} - {"lstm_weight"}
BITS = dict.fromkeys(SITES, 4)
RUN = {"corpus": {"name": "toy"}, "tokens": {}, "model": {"kind": "generative"}, "train": {}}
VARIANT = {"run": RUN, "recipe": {"bits": BITS}, "calibration": {}}
# The least that each setting takes, with values off their defaults where a default would hide a loss.
VALID: dict[type[Spec], dict[str, Any]] = {
    config.CorpusSpec: {"name": "toy", "text_column": "body", "validation_share": 0.1},
    config.TokenSpec: {"max_tokens": 7},
    config.ModelSpec: {"kind": "discriminative", "pooling": "mean", "dropout": 0.5},
    config.TrainSpec: {"limit": 9, "precision": "bfloat16", "noise": 0.05},
    config.ModelRun: RUN,
    Bits: BITS,
    Recipe: {"bits": BITS, "ranges": "fitted", "head": "round", "cell_range": 2.5},
    CalibrationSpec: {"scheme": "mix", "mix": [["a", 0.25], ["b", 0.75]], "count": 3},
    NoiseSpec: {"level": 0.05, "seed": 3},
    config.VariantSpec: VARIANT,
    config.EvaluationSpec: {"variant": VARIANT, "noise": {"level": 0.1}, "split": "validation", "limit": 5},
    config.DistanceSpec: {"run": RUN, "first": {"seed": 2}, "second": {"scheme": "unconditional"}},
}
# (class, field, refused value, nearest accepted value): one row per bound.
BOUNDS: list[tuple[type[Spec], str, float, float]] = [
    (config.CorpusSpec, "validation_share", 0, 0.001),
    (config.CorpusSpec, "validation_share", 1, 0.999),
    (config.TokenSpec, "max_tokens", 0, 1),
    (config.TokenSpec, "min_frequency", 0, 1),
    (config.ModelSpec, "embedding_dim", 0, 1),
    (config.ModelSpec, "hidden_dim", 0, 1),
    (config.ModelSpec, "label_dim", 0, 1),
    (config.ModelSpec, "dropout", -0.001, 0),
    (config.ModelSpec, "dropout", 1, 0.999),
    (config.TrainSpec, "batch_size", 0, 1),
    (config.TrainSpec, "learning_rate", 0, 1e-9),
    (config.TrainSpec, "max_epochs", 0, 1),
    (config.TrainSpec, "patience", 0, 1),
    (config.TrainSpec, "clip_norm", 0, 1e-9),
    (config.TrainSpec, "weight_decay", -0.001, 0),
    (config.TrainSpec, "limit", 0, 1),
    (config.TrainSpec, "noise", -0.001, 0),
    (config.TrainSpec, "noise", 0.1001, 0.1),
    *((Bits, site, 1, 2) for site in SITES),
    *((Bits, site, 9, 8) for site in SITES),
    (Recipe, "percentile", 50, 50.001),
    (Recipe, "percentile", 100.001, 100),
    (Recipe, "cell_range", 0, 0.001),
    (CalibrationSpec, "fraction", 0, 0.001),
    (CalibrationSpec, "fraction", 1.001, 1),
    (CalibrationSpec, "count", 0, 1),
    (NoiseSpec, "level", -0.001, 0),
    (NoiseSpec, "level", 0.1001, 0.1),
    (config.EvaluationSpec, "limit", 0, 1),
]
CHOICES = [
    (spec, name)
    for spec in VALID
    for name, field in spec.model_fields.items()
    if get_origin(field.annotation) is Literal
]
SPECS = pytest.mark.parametrize("spec", VALID, ids=lambda spec: spec.__name__)


def make(spec: type[Spec], **changes: object) -> Spec:
    return spec.model_validate({**VALID[spec], **changes})


def declared_bounds() -> list[tuple[type[Spec], str]]:
    """(class, field) of every gt, ge, lt and le, and of the two bounds that NoiseSpec checks itself."""
    fields = [(spec, name, field) for spec in VALID for name, field in spec.model_fields.items()]
    limits = [(spec, name) for spec, name, field in fields for rule in metadata(field) if is_bound(rule)]
    return [*limits, (NoiseSpec, "level"), (NoiseSpec, "level")]


def metadata(field: Any) -> list[object]:
    inside_optional = (getattr(part, "__metadata__", ()) for part in get_args(field.annotation))
    return [*field.metadata, *chain.from_iterable(inside_optional)]


def is_bound(rule: object) -> bool:
    return any(hasattr(rule, name) for name in ("gt", "ge", "lt", "le"))


def key(row: tuple[type[Spec], str]) -> tuple[str, str]:
    return row[0].__name__, row[1]


def test_every_setting_and_every_bound_is_tested_here() -> None:
    assert set(VALID) == {spec for spec in Spec.__subclasses__() if spec.__module__ == Spec.__module__}
    assert sorted(key((spec, name)) for spec, name, *_ in BOUNDS) == sorted(map(key, declared_bounds()))


@SPECS
def test_unknown_keys_are_refused(spec: type[Spec]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        make(spec, bogus=1)


@SPECS
def test_settings_are_frozen(spec: type[Spec]) -> None:
    setting = make(spec)
    name = next(iter(spec.model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(setting, name, getattr(setting, name))


@SPECS
def test_settings_survive_json(spec: type[Spec]) -> None:
    setting = make(spec)
    again = spec.model_validate(json.loads(json.dumps(setting.model_dump(mode="json"))))
    assert again == setting
    assert again.fingerprint() == setting.fingerprint()
    assert hash(again) == hash(setting)


@pytest.mark.parametrize(("spec", "field", "refused", "accepted"), BOUNDS)
def test_bounds_hold(spec: type[Spec], field: str, refused: float, accepted: float) -> None:
    assert getattr(make(spec, **{field: accepted}), field) == accepted
    with pytest.raises(ValidationError) as refusal:
        make(spec, **{field: refused})
    assert refusal.value.errors()[0]["loc"] == (field,)


def test_a_refused_noise_level_is_named_with_its_range() -> None:
    with pytest.raises(ValidationError, match=r"noise=0\.2 is out of range; choose 0 to 0\.1"):
        NoiseSpec(level=0.2)


@pytest.mark.parametrize(("spec", "field"), CHOICES)
def test_values_outside_a_choice_are_refused(spec: type[Spec], field: str) -> None:
    with pytest.raises(ValidationError, match="Input should be"):
        make(spec, **{field: "nonsense"})


@pytest.mark.parametrize(
    ("names", "choice"),
    [
        (config.MODEL_KINDS, config.ModelKind),
        (config.PRESETS, config.Preset),
        (config.RANGES, config.Ranges),
        (config.HEAD_METHODS, config.HeadMethod),
    ],
)
def test_the_lists_name_every_choice_once(names: tuple[str, ...], choice: Any) -> None:
    assert sorted(names) == sorted(get_args(choice))


def test_a_fingerprint_names_class_and_content() -> None:
    names = [NoiseSpec(level=level, seed=seed).fingerprint() for level in (0, 0.05, 0.1) for seed in (0, 1)]
    assert len(set(names)) == len(names)
    assert all(len(name) == 16 and int(name, 16) >= 0 for name in names)
    assert NoiseSpec(seed=1, level=0).fingerprint() == NoiseSpec.model_validate({"level": 0.0, "seed": 1}).fingerprint()


def test_equal_content_of_another_class_has_another_fingerprint() -> None:
    class Imposter(Spec):
        level: float = 0.0
        seed: int = 0

    assert Imposter().model_dump() == NoiseSpec().model_dump()
    assert Imposter().fingerprint() != NoiseSpec().fingerprint()


def test_stored_results_keep_their_names() -> None:
    assert NoiseSpec(level=0.05, seed=3).fingerprint() == "e2138d24a71a4780"


@pytest.mark.parametrize(
    ("spec", "given", "field", "default", "other"),
    [
        (config.TrainSpec, {}, "noise", 0.0, 0.1),
        (Recipe, {"bits": BITS}, "cell_range", None, 2.5),
    ],
)
def test_a_setting_that_came_later_leaves_older_names_as_they_were(
    spec: type[Spec], given: dict[str, Any], field: str, default: float | None, other: float
) -> None:
    plain = spec.model_validate(given)
    assert field not in plain.model_dump(mode="json")
    assert plain.model_copy(update={field: default}).fingerprint() == plain.fingerprint()
    assert plain.model_copy(update={field: other}).fingerprint() != plain.fingerprint()
    assert spec.model_validate({**given, field: other}).model_dump()[field] == other


@pytest.mark.parametrize("bits", config.BIT_WIDTHS)
def test_uniform_puts_every_site_at_its_bits(bits: int) -> None:
    assert set(Recipe.preset("uniform", bits).bits.model_dump().values()) == {bits}


@pytest.mark.parametrize("bits", config.BIT_WIDTHS)
def test_paper_code_leaves_lstm_activations_at_8(bits: int) -> None:
    sites = Recipe.preset("paper-code", bits).bits.model_dump()
    assert {site for site in SITES if site in ACTIVATIONS} == set(config.LSTM_ACTIVATIONS)
    assert sites == {site: 8 if site in ACTIVATIONS else bits for site in SITES}


def test_a_preset_takes_changes() -> None:
    recipe = Recipe.preset("uniform", 3, ranges="minmax", head="round")
    assert (recipe.ranges, recipe.head) == ("minmax", "round")
    with pytest.raises(ValidationError, match="bogus"):
        Recipe.preset("uniform", 3, bogus=1)


@pytest.mark.parametrize("bits", [2, 9, 32])
def test_a_preset_refuses_other_bits(bits: int) -> None:
    with pytest.raises(ValueError, match=rf"^bits={bits} is out of range; choose 3 to 8, or 32 for float$"):
        Recipe.preset("uniform", bits)


def test_a_preset_refuses_another_name() -> None:
    with pytest.raises(ValueError, match=r"^preset 'best' is not known; choose one of: uniform, paper-code$"):
        Recipe.preset("best", 4)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scheme": "classes"}, "scheme 'classes' needs class names"),
        ({"scheme": "conditional", "classes": ["a"]}, "only it takes them: classes:a,b"),
        ({"scheme": "mix"}, "scheme 'mix' needs"),
        ({"scheme": "unconditional", "mix": [["a", 1]]}, "and only it takes them"),
        ({"scheme": "mix", "mix": [["a", -0.5], ["b", 1]]}, "shares of a mix must be 0 or more and not all 0"),
        ({"scheme": "mix", "mix": [["a", 0], ["b", 0]]}, "shares of a mix must be 0 or more and not all 0"),
    ],
)
def test_a_calibration_scheme_has_what_it_needs(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CalibrationSpec.model_validate(changes)


@pytest.mark.parametrize("text", ["conditional", "unconditional", "classes:earn,acq", "mix:earn=0.25,acq=0.75"])
def test_a_scheme_reads_back_as_it_is_written(text: str) -> None:
    calibration = CalibrationSpec.parse(text, count=7, seed=2)
    assert calibration.label == text
    assert (calibration.count, calibration.seed) == (7, 2)


SCHEME_NAMES = st.text(st.characters(categories=("L", "N"), include_characters="-_ ./"), min_size=1)


@given(names=st.lists(SCHEME_NAMES, min_size=1, unique=True), share=st.integers(1, 1000))
def test_any_scheme_survives_its_label(names: list[str], share: int) -> None:
    subset = CalibrationSpec(scheme="classes", classes=tuple(names))
    mix = CalibrationSpec(scheme="mix", mix=tuple((name, share / 1000) for name in names))
    assert CalibrationSpec.parse(subset.label) == subset
    assert CalibrationSpec.parse(mix.label) == mix


@pytest.mark.parametrize("text", ["", "nonsense", "classes", "classes:", "conditional:a", "mix", "mix:a", "mix:a=b"])
def test_a_text_that_is_no_scheme_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match=r"scheme|mix"):
        CalibrationSpec.parse(text)


@pytest.mark.parametrize("missing", ["recipe", "calibration"])
def test_recipe_and_calibration_go_together(missing: str) -> None:
    with pytest.raises(ValidationError, match="needs a recipe and a calibration; a float one has neither"):
        config.VariantSpec.model_validate({name: value for name, value in VARIANT.items() if name != missing})


def test_a_float_variant_has_neither() -> None:
    assert config.VariantSpec.model_validate({"run": RUN}).recipe is None
