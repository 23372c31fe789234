"""The published study's tables and figures, and ours beside them, as what to draw from stored rows.

A figure draws each quantity at its places (the x axis), a line for each setting, under one of its conditions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from core.config import BIT_WIDTHS, FLOAT_BITS, MODEL_KINDS
from core.display.charts import DISCRIMINATIVE, FLOAT, GENERATIVE, GREEN, MODEL_COLOURS, PURPLE
from core.errors import InputError
from core.verdicts.claims import Condition
from core.verdicts.study_rows import ANY, Setting

METHODS: tuple[Condition, ...] = (
    {"preset": "paper-code", "ranges": "percentile"},
    {"preset": "paper-code", "ranges": "fitted"},
    {"preset": "uniform", "ranges": "percentile"},
    {"preset": "uniform", "ranges": "fitted"},
)
PRESETS_ONLY: tuple[Condition, ...] = ({"preset": "uniform"}, {"preset": "paper-code"})
FITTED = tuple(condition for condition in METHODS if condition["ranges"] == "fitted")
FLOAT_ONLY: tuple[Condition, ...] = ({},)
BIT_STUDIES = {"figures-6-7-8": METHODS[:1], "fitted": FITTED}
CELL_RANGES = (0.5, 1.0, 1.5, 2.5, 4.0, 8.0, 14.0)


@dataclass(frozen=True)
class Line:
    """One line of a figure; lines of one panel share a chart."""

    name: str
    setting: Setting
    colour: str
    dash: str = "solid"
    panel: str = ""


@dataclass(frozen=True)
class Place:
    """One place on the x axis, and what the setting is there; `quantity` replaces the figure's."""

    x: str | float
    setting: Setting
    quantity: str = ""


@dataclass(frozen=True)
class Figure:
    """What a figure asks and draws.

    `studies` names the experiments that fill it (`python -m core study --only`) and the conditions that each fills;
    `weights` says which trainings it is about, as what is trained once is no draw of the same.
    """

    key: str
    source: str
    section: str
    question: str
    studies: Mapping[str, tuple[Condition, ...]]
    quantities: tuple[str, ...]
    axis: str
    places: tuple[Place, ...]
    lines: tuple[Line, ...]
    conditions: tuple[Condition, ...] = METHODS
    kind: Literal["curves", "densities"] = "curves"
    weights: Setting = field(default_factory=lambda: {"seed": 0})

    @property
    def panels(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(line.panel for line in self.lines))


def figure_of(name: str) -> Figure:
    """Return the figure with this key ("figure-6") or source ("Figure 6"). Raises InputError if there is none."""
    for figure in FIGURES:
        if name in (figure.key, figure.source):
            return figure
    raise InputError(f"{name!r} is no figure; choose one of: {', '.join(figure.source for figure in FIGURES)}")


def _models(setting: Setting | None = None, dash: str = "solid") -> tuple[Line, ...]:
    return tuple(Line(kind, {"model": kind, **(setting or {})}, MODEL_COLOURS[kind], dash) for kind in MODEL_KINDS)


def _bits(*widths: int) -> tuple[Place, ...]:
    return tuple(Place("float" if bits == FLOAT_BITS else f"{bits} bits", {"bits": bits}) for bits in widths)


def _noise(*levels: float) -> tuple[Place, ...]:
    return tuple(Place(100 * level, {"noise": level}) for level in levels)


CONDITIONAL, UNCONDITIONAL = {"calibration": "conditional"}, {"calibration": "unconditional"}
WIDTHS, QUANTIZED = _bits(FLOAT_BITS, *BIT_WIDTHS), _bits(*BIT_WIDTHS)
SCHEMES = (("conditional", CONDITIONAL, "solid"), ("unconditional", UNCONDITIONAL, "dash"))
_BY_SCHEME = tuple(
    Line(f"{kind}, {name}", {"model": kind, **setting}, MODEL_COLOURS[kind], dash)
    for kind in MODEL_KINDS
    for name, setting, dash in SCHEMES
)
_COVERAGE = (
    ("all classes", CONDITIONAL, "", "solid"),
    ("three quarters", {"coverage": "three quarters"}, GREEN, "solid"),
    ("half", {"coverage": "half"}, PURPLE, "solid"),
    ("one class", {"coverage": "one class"}, PURPLE, "dot"),
    ("at random", UNCONDITIONAL, FLOAT, "dash"),
)
_NOISY = ((FLOAT_BITS, FLOAT, "dash"), (8, GREEN, "solid"), (4, PURPLE, "solid"), (3, "", "solid"))

FIGURES = (
    Figure(
        "table-1",
        "Table 1",
        "section 5.2",
        "Which model is more accurate before quantization?",
        {"table-1": FLOAT_ONLY},
        ("accuracy",),
        "",
        _bits(FLOAT_BITS),
        _models(),
        FLOAT_ONLY,
        weights={},
    ),
    Figure(
        "figure-6",
        "Figure 6",
        "section 5.3",
        "What do fewer bits cost when calibration documents are drawn at random?",
        BIT_STUDIES,
        ("accuracy",),
        "bit-width",
        WIDTHS,
        _models(UNCONDITIONAL),
    ),
    Figure(
        "figure-7",
        "Figure 7",
        "section 5.4",
        "What do fewer bits cost when every class calibrates equally?",
        BIT_STUDIES,
        ("accuracy",),
        "bit-width",
        WIDTHS,
        _models(CONDITIONAL),
    ),
    Figure(
        "figure-8",
        "Figure 8",
        "section 5.4",
        "How far does accuracy fall below float?",
        BIT_STUDIES,
        ("change from float",),
        "bit-width",
        QUANTIZED,
        _BY_SCHEME,
    ),
    Figure(
        "figure-9",
        "Figure 9",
        "section 5.5",
        "Which float model stands noise better?",
        {"figure-9": FLOAT_ONLY},
        ("accuracy",),
        "characters replaced (%)",
        _noise(*(level / 100 for level in range(11))),
        _models({"bits": FLOAT_BITS}),
        FLOAT_ONLY,
    ),
    Figure(
        "figure-10",
        "Figure 10",
        "section 5.5",
        "Which model stands noise better once it is quantized?",
        {"figure-10": METHODS[:1]},
        ("accuracy",),
        "characters replaced (%)",
        _noise(0.0, 0.02, 0.05, 0.1),
        tuple(
            Line(
                "float" if bits == FLOAT_BITS else f"{bits} bits",
                {"model": kind, "bits": bits, **CONDITIONAL},
                colour or MODEL_COLOURS[kind],
                dash,
                kind,
            )
            for kind in MODEL_KINDS
            for bits, colour, dash in _NOISY
        ),
    ),
    Figure(
        "figure-11",
        "Figure 11",
        "section 6.1",
        "What if only some classes calibrate?",
        {"figure-11": METHODS[:1]},
        ("accuracy",),
        "bit-width",
        QUANTIZED,
        tuple(
            Line(name, {"model": kind, **setting}, colour or MODEL_COLOURS[kind], dash, kind)
            for kind in MODEL_KINDS
            for name, setting, colour, dash in _COVERAGE
        ),
    ),
    Figure(
        "figure-12",
        "Figure 12",
        "section 6.1.1",
        "How far do the output layer's weights move?",
        BIT_STUDIES,
        ("KS D of head weights",),
        "bit-width",
        QUANTIZED,
        _BY_SCHEME,
    ),
    Figure(
        "figure-13",
        "Figure 13",
        "section 6.1.2",
        "Do the two kinds of calibration documents excite the float model differently?",
        {"figure-13": FLOAT_ONLY},
        ("KS D of embedding",),
        "",
        tuple(
            Place(site, {"measure": "distance"}, f"KS D of {quantity}")
            for site, quantity in (("embedding", "embedding"), ("LSTM", "LSTM output"))
        ),
        _models(),
        FLOAT_ONLY,
    ),
    Figure(
        "figure-14",
        "Figure 14",
        "section 6.1.2",
        "How far does the output layer's answer move?",
        BIT_STUDIES,
        ("KS D of head output",),
        "bit-width",
        QUANTIZED,
        tuple(line for line in _BY_SCHEME if line.setting["model"] == "generative"),
    ),
    Figure(
        "figure-15",
        "Figure 15",
        "section 6.1.3",
        "What does each token cost the generative model?",
        {"figure-15": METHODS[:1]},
        ("median token loss",),
        "",
        (Place("", {"model": "generative"}),),
        (
            Line("float", {"bits": FLOAT_BITS}, FLOAT, "dash"),
            Line("3 bits, conditional", {"bits": 3, **CONDITIONAL}, GENERATIVE),
            Line("3 bits, unconditional", {"bits": 3, **UNCONDITIONAL}, PURPLE),
            Line("3 bits, conditional, noise 0.1", {"bits": 3, "noise": 0.1, **CONDITIONAL}, GREEN, "dot"),
        ),
        kind="densities",
    ),
    Figure(
        "figure-16",
        "Figure 16",
        "section 7",
        "Does training on noisy text protect the quantized model from noise?",
        {"figure-16": METHODS[:1]},
        ("accuracy",),
        "bit-width",
        WIDTHS,
        (
            Line("trained on clean text", {"model": "generative", "noise": 0.1, **CONDITIONAL}, GENERATIVE),
            Line(
                "trained on noisy text",
                {"model": "generative", "noise": 0.1, "train_noise": 0.1, **CONDITIONAL},
                GREEN,
            ),
        ),
    ),
    Figure(
        "collapse",
        "Ours: collapse",
        "redo of the study",
        "Do few bits break these models, or the ranges they are given?",
        {"collapse": PRESETS_ONLY[:1]},
        ("accuracy", "variance of the LSTM's output"),
        "bit-width",
        WIDTHS,
        tuple(
            Line(f"{kind}, {ranges}", {"model": kind, "ranges": ranges, **CONDITIONAL}, MODEL_COLOURS[kind], dash)
            for kind in MODEL_KINDS
            for ranges, dash in (("fitted", "solid"), ("percentile", "dot"))
        ),
        PRESETS_ONLY,
    ),
    Figure(
        "cell-range",
        "Ours: cell range",
        "redo of the study",
        "How wide may the cell state's range be?",
        {"cell-range": PRESETS_ONLY[:1]},
        ("accuracy", "variance of the LSTM's output"),
        "range of the cell state",
        tuple(Place(largest, {"cell_range": largest}) for largest in CELL_RANGES),
        tuple(
            Line(f"{kind}, {bits} bits", {"model": kind, "bits": bits, "ranges": ANY, **CONDITIONAL}, colour, dash)
            for kind, colour in (("generative", GENERATIVE), ("discriminative", DISCRIMINATIVE))
            for bits, dash in ((4, "solid"), (3, "dot"))
        ),
        PRESETS_ONLY[:1],
    ),
    Figure(
        "gpfq",
        "Ours: GPFQ",
        "redo of the study",
        "What does GPFQ do to the output layer?",
        {"gpfq": METHODS},
        ("accuracy",),
        "output layer",
        tuple(
            Place(words, {"head": head})
            for words, head in (("round", "round"), ("stock", "gpfq-stock"), ("truly float", "gpfq"))
        ),
        tuple(
            Line(f"{kind}, {bits} bits", {"model": kind, "bits": bits, **CONDITIONAL}, MODEL_COLOURS[kind], dash)
            for kind in MODEL_KINDS
            for bits, dash in ((4, "solid"), (3, "dot"))
        ),
        METHODS[::-1],
    ),
)
