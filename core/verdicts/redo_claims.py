"""What a redo of the study found, and what this project adds, as claims beside the paper's; CLAIMS is all of them."""

from core.config import BIT_WIDTHS, MODEL_KINDS
from core.verdicts.claims import Claim, Relation, Test
from core.verdicts.paper_claims import EFFECT_POINTS, INTERVAL, PAPER_CLAIMS, checks, side
from core.verdicts.paper_figures import METHODS, PRESETS_ONLY, UNCONDITIONAL
from core.verdicts.study_rows import ANY

COLLAPSE_POINTS = 10.0
STEPS: tuple[tuple[str, str, float, Relation], ...] = (
    ("frozen", "cell range 8 or wider", 0.99, "above"),
    ("moving", "cell range 2 or narrower", 0.01, "below"),
)

REDO_CLAIMS = (
    Claim(
        "imbalance-hardly-matters",
        "figure-7",
        "redo of the study",
        "Calibration imbalance hardly moves the generative model.",
        f"At every width the whole interval of unconditional minus conditional lies within {EFFECT_POINTS:g} points.",
        checks(
            "accuracy",
            [(side("generative", b, UNCONDITIONAL), side("generative", b)) for b in BIT_WIDTHS],
            "within",
        ),
        METHODS,
    ),
    Claim(
        "dead-lstm",
        "collapse",
        "redo of the study",
        "At 3 bits with percentile ranges the generative LSTM's output is the same for every input, and its accuracy "
        "comes from the label embedding alone.",
        "At 3 bits with percentile ranges and everything at 3 bits, the LSTM of every draw is dead (variance of its "
        f"output 0) and accuracy is within {COLLAPSE_POINTS:g} points of float.",
        (
            Test("share of dead LSTMs", side("generative", 3, ranges="percentile"), 0.99, "above"),
            Test("change from float", side("generative", 3, ranges="percentile"), 0.0, "within", COLLAPSE_POINTS),
        ),
        PRESETS_ONLY[:1],
    ),
    Claim(
        "ranges-not-bits",
        "collapse",
        "ours",
        "The collapse at few bits is a mistake in choosing ranges, not a law of few bits.",
        f"At 4 and 3 bits the discriminative model loses {COLLAPSE_POINTS:g} points or more against float with "
        "percentile ranges and less than that with fitted ones, the interval on the same side of that bound.",
        (
            *checks(
                "change from float",
                [
                    (side("discriminative", b, words="percentile", ranges="percentile"), -COLLAPSE_POINTS)
                    for b in (4, 3)
                ],
                "below",
                0.0,
            ),
            *checks(
                "change from float",
                [(side("discriminative", b, words="fitted", ranges="fitted"), -COLLAPSE_POINTS) for b in (4, 3)],
                "above",
                0.0,
            ),
        ),
        PRESETS_ONLY,
    ),
    Claim(
        "cell-step",
        "cell-range",
        "ours",
        "A cell state dies where half a step of its range exceeds 1, the most that one word can add.",
        "At 3 bits every LSTM is dead whose cell range is 8 or wider, and none whose range is 2 or narrower.",
        tuple(
            Test(
                "share of dead LSTMs",
                side(model, 3, words=words, cell_step=step, cell_range=ANY, ranges=ANY),
                bound,
                relation,
            )
            for model in MODEL_KINDS
            for step, words, bound, relation in STEPS
        ),
        PRESETS_ONLY[:1],
    ),
    Claim(
        "gpfq-hurts",
        "gpfq",
        "redo of the study",
        "GPFQ hurts the discriminative model at 3 bits.",
        f"At 3 bits the discriminative model is {EFFECT_POINTS:g} points or more below its rounded head's accuracy "
        f"with GPFQ, {INTERVAL}.",
        checks(
            "accuracy",
            [(side("discriminative", 3, words="GPFQ"), side("discriminative", 3, words="round", head="round"))],
            "below",
        ),
        (METHODS[2], METHODS[3], *METHODS[:2]),
    ),
    Claim(
        "gpfq-truly-float",
        "gpfq",
        "ours",
        "GPFQ whose float side is truly float beats Brevitas's own, whose LSTM stays quantized in the float pass.",
        f"At 3 bits the generative model is {EFFECT_POINTS:g} points or more above, {INTERVAL}.",
        checks(
            "accuracy",
            [(side("generative", 3, words="truly float"), side("generative", 3, words="stock", head="gpfq-stock"))],
            "above",
        ),
        METHODS[::-1],
    ),
)
CLAIMS = (*PAPER_CLAIMS, *REDO_CLAIMS)
