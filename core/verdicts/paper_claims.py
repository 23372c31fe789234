"""What the published study claims of its tables and figures, each sentence as tests of stored rows.

EFFECT_POINTS and EFFECT_NATS say from where on a difference matters, unless the sentence itself names a size or only
an order.
"""

from collections.abc import Iterable

from core.config import BIT_WIDTHS, FLOAT_BITS, ModelKind
from core.verdicts.claims import Claim, Relation, Side, Test
from core.verdicts.paper_figures import CONDITIONAL, METHODS, UNCONDITIONAL
from core.verdicts.study_rows import Setting

EFFECT_POINTS = 2.0
EFFECT_NATS = 0.1
LOW_WIDTHS = (5, 4, 3)
STABLE_WIDTHS = (8, 7, 6, 5, 4)
INTERVAL = "with the 95 % interval on the same side"


def side(model: ModelKind, bits: int, calibration: Setting = CONDITIONAL, words: str = "", **setting: object) -> Side:
    """Return the rows of a model at a width, in words; more `words` say what more of the setting says."""
    scheme = calibration.get("calibration") or f"{calibration['coverage']} calibrating"
    made = "float" if bits == FLOAT_BITS else f"{bits} bits, {scheme}"
    return Side(", ".join(filter(None, (model, made, words))), {"model": model, "bits": bits, **calibration, **setting})


def checks(
    quantity: str, pairs: Iterable[tuple[Side, Side | float]], relation: Relation, size: float = EFFECT_POINTS
) -> tuple[Test, ...]:
    """Return the same test for several pairs of sides, a constant being a side too."""
    return tuple(Test(quantity, a, b, relation, size) for a, b in pairs)


def noisy(model: ModelKind, bits: int, noise: float) -> Side:
    """Return the rows of a model at a width with noise."""
    return side(model, bits, words=f"noise {noise:g}", noise=noise)


ONE_CLASS = {"coverage": "one class"}
DISTANCE = {"measure": "distance", "bits": FLOAT_BITS, "model": "generative"}

PAPER_CLAIMS = (
    Claim(
        "float",
        "table-1",
        "section 5.2",
        "The discriminative classifier slightly outperforms the generative classifier on both datasets.",
        f"Float accuracy of the discriminative model is above the generative model's, {INTERVAL}.",
        checks("accuracy", [(side("discriminative", 32), side("generative", 32))], "above", 0.0),
    ),
    Claim(
        "generative-unconditional",
        "figure-6",
        "section 5.3",
        "The generative classifier's performance begins to decline noticeably below 6-bit and deteriorates rapidly at "
        "5-bit and lower (class-unconditional calibration).",
        f"At 5, 4 and 3 bits the generative model loses {EFFECT_POINTS:g} points or more against float, {INTERVAL}.",
        checks("change from float", [(side("generative", bits, UNCONDITIONAL), 0.0) for bits in LOW_WIDTHS], "below"),
        METHODS,
    ),
    Claim(
        "discriminative-unconditional",
        "figure-6",
        "section 5.3",
        "The discriminative classifier's accuracy remains largely stable across higher bit-widths and only begins to "
        "show moderate degradation at 3-bit (class-unconditional calibration).",
        f"From 8 to 4 bits the whole interval of its change from float lies within {EFFECT_POINTS:g} points.",
        checks(
            "change from float",
            [(side("discriminative", bits, UNCONDITIONAL), 0.0) for bits in STABLE_WIDTHS],
            "within",
        ),
        METHODS,
    ),
    Claim(
        "more-sensitive",
        "figure-6",
        "abstract and section 5.3",
        "While discriminative classifiers remain robust, generative ones are more sensitive to bitwidth "
        "(class-unconditional calibration).",
        f"At 4 and 3 bits the generative model loses {EFFECT_POINTS:g} points more against float than the "
        f"discriminative one, {INTERVAL}.",
        checks(
            "change from float",
            [(side("generative", b, UNCONDITIONAL), side("discriminative", b, UNCONDITIONAL)) for b in (4, 3)],
            "below",
        ),
        METHODS,
    ),
    Claim(
        "generative-conditional",
        "figure-7",
        "section 5.4",
        "With class-conditional calibration the generative classifier's performance remains stable down to 4-bit.",
        f"From 8 to 4 bits the whole interval of its change from float lies within {EFFECT_POINTS:g} points.",
        checks("change from float", [(side("generative", bits), 0.0) for bits in STABLE_WIDTHS], "within"),
        METHODS,
    ),
    Claim(
        "generative-wins",
        "figure-7",
        "section 5.4",
        "With class-conditional calibration the generative classifier outperforms the discriminative classifier at "
        "several bit-widths.",
        f"At two or more of the six widths the generative model's accuracy is above, {INTERVAL}.",
        checks("accuracy", [(side("generative", b), side("discriminative", b)) for b in BIT_WIDTHS], "above", 0.0),
        METHODS,
        needed=2,
    ),
    Claim(
        "imbalance-hurts",
        "figure-7",
        "abstract and section 5.4",
        "Class imbalanced data during calibration leads to degraded performance of generative classifiers at lower "
        "bitwidths.",
        f"At 4 and 3 bits the generative model calibrated unconditionally is {EFFECT_POINTS:g} points or more below "
        f"the same model calibrated conditionally, {INTERVAL}.",
        checks("accuracy", [(side("generative", b, UNCONDITIONAL), side("generative", b)) for b in (4, 3)], "below"),
        METHODS,
    ),
    Claim(
        "drop-at-3-bits",
        "figure-8",
        "section 5.4",
        "The maximum observed accuracy drop for the generative classifier at 3-bit is under 4%, compared to over 7-8% "
        "with class-unconditional calibration.",
        "At 3 bits the generative model's change from float is above -4 points with conditional and below -7 points "
        "with unconditional calibration, the interval on the same side of that bound.",
        (
            Test("change from float", side("generative", 3), -4.0, "above"),
            Test("change from float", side("generative", 3, UNCONDITIONAL), -7.0, "below"),
        ),
        METHODS,
    ),
    Claim(
        "float-noise",
        "figure-9",
        "section 5.5",
        "The generative classifier exhibits a slower decline in accuracy compared to its discriminative counterpart, "
        "particularly beyond a noise threshold of 0.02.",
        f"At noise 0.05 and 0.1 the generative float model loses {EFFECT_POINTS:g} points less against clean text, "
        f"{INTERVAL}.",
        checks(
            "change from clean text",
            [(noisy("generative", 32, level), noisy("discriminative", 32, level)) for level in (0.05, 0.1)],
            "above",
        ),
    ),
    Claim(
        "quantized-noise",
        "figure-10",
        "section 5.5",
        "The generative classifier exhibits significantly higher sensitivity to noise after quantization, especially "
        "in the 4-bit and 3-bit settings.",
        f"At 4 and 3 bits, noise 0.05 and 0.1 cost the generative model {EFFECT_POINTS:g} points more than they cost "
        f"its float model, {INTERVAL}.",
        checks(
            "change from clean text",
            [
                (noisy("generative", bits, level), noisy("generative", 32, level))
                for bits in (4, 3)
                for level in (0.05, 0.1)
            ],
            "below",
        ),
        METHODS,
    ),
    Claim(
        "noise-reverses",
        "figure-10",
        "section 5.5",
        "As the bit-width decreases, the generative model's advantage diminishes, and discriminative models begin to "
        "outperform generative ones under noisy input conditions.",
        f"At 3 bits and noise 0.1 the generative model's accuracy is {EFFECT_POINTS:g} points or more below the "
        f"discriminative model's, {INTERVAL}.",
        checks("accuracy", [(noisy("generative", 3, 0.1), noisy("discriminative", 3, 0.1))], "below"),
        METHODS,
    ),
    Claim(
        "discriminative-noise",
        "figure-10",
        "section 5.5",
        "The discriminative classifier displays notable resilience across all bit-widths: largely stable up to "
        "moderate noise levels.",
        f"At every width, noise 0.05 costs the discriminative model less than {EFFECT_POINTS:g} points, the whole "
        "interval included.",
        checks("change from clean text", [(noisy("discriminative", b, 0.05), 0.0) for b in BIT_WIDTHS], "within"),
        METHODS,
    ),
    Claim(
        "one-class",
        "figure-11",
        "section 6.1",
        "The generative classifier is highly sensitive to class imbalance in the calibration set, with sharp accuracy "
        "drops at 5-bit and below, most severe in the one-class setting.",
        f"At 5, 4 and 3 bits calibrating with one class costs the generative model {EFFECT_POINTS:g} points or more "
        f"against all classes, {INTERVAL}.",
        checks("accuracy", [(side("generative", b, ONE_CLASS), side("generative", b)) for b in LOW_WIDTHS], "below"),
        METHODS,
    ),
    Claim(
        "one-class-discriminative",
        "figure-11",
        "section 6.1",
        "The discriminative classifier shows greater resilience: the degradation is more gradual, and acceptable "
        "accuracy is retained even at 3-bit precision.",
        f"At 3 bits, calibrating with one class, the discriminative model loses {EFFECT_POINTS:g} points less against "
        f"float than the generative one, {INTERVAL}.",
        checks(
            "change from float",
            [(side("discriminative", 3, ONE_CLASS), side("generative", 3, ONE_CLASS))],
            "above",
        ),
        METHODS,
    ),
    Claim(
        "weight-shift",
        "figure-12",
        "section 6.1.1",
        "The KS values for the class-unconditionally calibrated generative classifier are consistently higher than "
        "those of the class-conditional model.",
        f"At every width D of the head weights is higher with unconditional calibration, {INTERVAL}.",
        checks(
            "KS D of head weights",
            [(side("generative", b, UNCONDITIONAL), side("generative", b)) for b in BIT_WIDTHS],
            "above",
            0.0,
        ),
        METHODS,
    ),
    Claim(
        "activation-distance",
        "figure-13",
        "section 6.1.2",
        "A persistent and significant difference between the two calibration data types: KS about 0.19 in the "
        "embedding layer, around 0.03 in the LSTM layer.",
        "Between conditional and unconditional calibration documents, D is above 0.1 in the embedding and above 0.01 "
        "in the LSTM's output of the generative float model, the interval too.",
        (
            Test("KS D of embedding", Side("embedding", DISTANCE), 0.1, "above"),
            Test("KS D of LSTM output", Side("LSTM output", DISTANCE), 0.01, "above"),
        ),
    ),
    Claim(
        "output-shift",
        "figure-14",
        "section 6.1.2",
        "The class-conditional model exhibits higher KS values at 3-bit to 5-bit in the linear layer.",
        f"At 5, 4 and 3 bits D of the head output is higher with conditional calibration, {INTERVAL}.",
        checks(
            "KS D of head output",
            [(side("generative", b), side("generative", b, UNCONDITIONAL)) for b in LOW_WIDTHS],
            "above",
            0.0,
        ),
        METHODS,
    ),
    Claim(
        "loss-unconditional",
        "figure-15",
        "section 6.1.3",
        "The 3-bit model calibrated with class-unconditional data shows a distinct rightward shift of token losses.",
        f"At 3 bits its median token loss is {EFFECT_NATS:g} nats or more above the conditional model's, {INTERVAL}.",
        checks(
            "median token loss",
            [(side("generative", 3, UNCONDITIONAL), side("generative", 3))],
            "above",
            EFFECT_NATS,
        ),
        METHODS,
    ),
    Claim(
        "loss-noise",
        "figure-15",
        "section 6.1.3",
        "When noise is injected during inference into the class-conditionally calibrated model, its loss distribution "
        "also shifts to the right.",
        f"At 3 bits the median token loss at noise 0.1 is {EFFECT_NATS:g} nats or more above that of clean text, "
        f"{INTERVAL}.",
        checks("median token loss", [(noisy("generative", 3, 0.1), side("generative", 3))], "above", EFFECT_NATS),
        METHODS,
    ),
    Claim(
        "noisy-training",
        "figure-16",
        "section 7",
        "Training with noise improves robustness of quantized models at lower bit-widths.",
        f"At 5, 4 and 3 bits and noise 0.1 the generative model trained on noisy text is {EFFECT_POINTS:g} points or "
        f"more above the one trained on clean text, {INTERVAL}.",
        checks(
            "accuracy",
            [
                (
                    side("generative", bits, words="trained on noise", noise=0.1, train_noise=0.1),
                    side("generative", bits, words="trained on clean text", noise=0.1),
                )
                for bits in LOW_WIDTHS
            ],
            "above",
        ),
        METHODS,
    ),
)
