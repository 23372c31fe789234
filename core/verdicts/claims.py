"""Claims about the study's numbers and the verdict that stored rows give on them, by one rule for all.

A claim is a list of tests, each on a difference between two means over draws and its 95 % interval, which bears the
test out, contradicts it, or is too wide to tell. It is judged under each of its conditions (presets, range rules,
corpora), the first being the method that the claim is about. The verdict follows from what the conditions say, never
from a person.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Literal

from core.verdicts.draws import Contrast, paired_contrast, separate_contrast, single_contrast, widened
from core.verdicts.study_rows import QUANTITIES, Setting, StudyRows, Unit, Value, mean_value

Relation = Literal["above", "below", "within"]
Outcome = Literal["holds", "fails", "undecided", "missing"]
Verdict = Literal["reproduced", "not reproduced", "depends", "undecided", "not measured yet"]
Condition = Mapping[str, str]

UNDECIDED = "interval too wide to tell"
FIELD_WORDS = {"preset": "the preset", "ranges": "the range rule", "corpus": "the corpus"}


@dataclass(frozen=True)
class Side:
    """The rows that one side of a test is about, in words and as a setting; the condition fills in the rest."""

    words: str
    setting: Setting


@dataclass(frozen=True)
class Test:
    """A quantity of side `a` minus that of `b` (a side or a constant) is above, below or within `size`.

    Above holds if the difference is `size` or more and its interval lies above 0, and fails if the whole interval lies
    under `size`; below is the mirror image. Within holds if the whole interval lies inside -size..size, and fails if
    it lies outside. Anything else is undecided: the interval is too wide to tell.
    """

    __test__ = False  # no test of pytest

    quantity: str
    a: Side
    b: Side | float
    relation: Relation
    size: float = 0.0

    @property
    def two_models(self) -> bool:
        return isinstance(self.b, Side) and self.a.setting.get("model") != self.b.setting.get("model")

    @property
    def words(self) -> str:
        size = f"{self.size:g} {change_unit(self.quantity)}".strip()
        than = self.b.words if isinstance(self.b, Side) else f"{self.b:g}"
        if self.relation == "within":
            return f"{self.quantity}: {self.a.words} within {size} of {than}"
        by = f" by {size} or more" if self.size else ""
        return f"{self.quantity}: {self.a.words} {self.relation} {than}{by}"


@dataclass(frozen=True)
class Claim:
    """One sentence of a study (`figure` is the key of the figure it is about), and the tests it stands or falls with.

    `rule` says in words what `tests` say; `needed` of them must hold (None: all).
    """

    key: str
    figure: str
    section: str
    sentence: str
    rule: str
    tests: tuple[Test, ...]
    conditions: tuple[Condition, ...] = ({},)
    needed: int | None = None


@dataclass(frozen=True)
class Measured:
    """What the rows say on one test: no contrast where a side has none."""

    test: Test
    contrast: Contrast | None
    outcome: Outcome
    reason: str


@dataclass(frozen=True)
class Finding:
    """What the rows say on a claim under one condition; `draws` is the fewest behind any test, 0 for none."""

    condition: Condition
    own: bool
    tests: tuple[Measured, ...]
    outcome: Outcome

    @property
    def draws(self) -> int:
        return min((m.contrast.draws for m in self.tests if m.contrast), default=0)


@dataclass(frozen=True)
class Judgement:
    """The verdict on a claim, what it depends on ("" unless the verdict is depends), and the findings behind it."""

    claim: Claim
    verdict: Verdict
    depends_on: str
    findings: tuple[Finding, ...]

    @property
    def words(self) -> str:
        """The verdict as shown: with its cause, and "one draw" where the claim's own method has no more."""
        text = f"depends on {self.depends_on}" if self.verdict == "depends" else self.verdict
        single = any(finding.own and finding.draws == 1 for finding in self.findings)
        return f"{text} (one draw)" if single and self.verdict != "not measured yet" else text

    @property
    def explanation(self) -> str:
        """Say where the claim holds, where it fails and why, and what cannot be told; from the findings alone."""
        return " ".join(filter(None, (_where(self.findings), _why(self.findings), _open(self.findings))))


def judge(claim: Claim, rows: StudyRows, corpora: Sequence[str]) -> Judgement:
    """Return the verdict on a claim from the rows of these corpora.

    Not measured yet: the claim's own method (its first condition) lacks rows in every corpus. Undecided: what is
    measured of it is too wide to tell. Else, over the conditions that can tell: reproduced if all hold, not reproduced
    if none does, else depends.
    """
    findings = tuple(
        _find(claim, {"corpus": corpus, **condition}, place == 0, rows)
        for corpus in corpora
        for place, condition in enumerate(claim.conditions)
    )
    own = {finding.outcome for finding in findings if finding.own}
    if not own & {"holds", "fails"}:
        return Judgement(claim, "undecided" if "undecided" in own else "not measured yet", "", findings)
    told = _told(findings)
    outcomes = {finding.outcome for finding in told}
    if len(outcomes) == 2:
        return Judgement(claim, "depends", _separating(told), findings)
    return Judgement(claim, "reproduced" if outcomes == {"holds"} else "not reproduced", "", findings)


def contrast(a: Mapping[Unit, Value], b: Mapping[Unit, Value], two_models: bool = False) -> Contrast:
    """Return a minus b: over draws of the same seeds where there are two or more, else over separate draws.

    All draws are asked the same test documents. Between two models the interval covers the sampling of these too, as
    if drawn apart for each; between two settings of one model it does not. With a single draw it is all there is.
    """
    pairs = [(one, other) for unit, one in a.items() if (other := _partner(unit, b)) is not None]
    if len(pairs) >= 2:
        found = paired_contrast(*([value.value for value in side] for side in zip(*pairs, strict=True)))
    elif min(len(a), len(b)) >= 2:
        found = separate_contrast(*([value.value for value in side.values()] for side in (a, b)))
    else:
        first, second = pairs[0] if pairs else (next(iter(a.values())), next(iter(b.values())))
        return single_contrast(first.value - second.value, first.variance + second.variance)
    return widened(found, sum(mean_value(side.values()).variance for side in (a, b))) if two_models else found


def condition_words(condition: Condition) -> str:
    """Write a condition: "paper-code, percentile ranges"; "" for one that says nothing."""
    ranges = f"{condition['ranges']} ranges" if "ranges" in condition else ""
    return ", ".join(filter(None, (condition.get("preset"), ranges)))


def difference_words(measured: Measured) -> str:
    """Write what a test measured with its interval: "-0.4 points (-1.5 to +0.7, 5 paired draws)".

    That is the difference of two sides; against a constant it is the side itself.
    """
    found, test = measured.contrast, measured.test
    if found is None:
        return "not measured"
    start = 0.0 if isinstance(test.b, Side) else test.b
    sign = "+" if isinstance(test.b, Side) or "change" in test.quantity else ""
    digits, own_unit = QUANTITIES[test.quantity].digits, QUANTITIES[test.quantity].unit
    number, low, high = (
        "" if end is None else f"{round(start + end, digits) + 0.0:{sign}.{digits}f}"
        for end in (found.difference, found.low, found.high)
    )
    made = found.method if found.draws == 1 else f"{found.draws} {found.method}"
    interval = f"{low} to {high}, {made}" if low else made
    unit = change_unit(test.quantity) if isinstance(test.b, Side) else own_unit
    return " ".join(filter(None, (number, unit, f"({interval})")))


def change_unit(quantity: str) -> str:
    """Return the unit of a difference of two values of a quantity."""
    unit = QUANTITIES[quantity].unit
    return "points" if unit == "%" else unit


def _find(claim: Claim, condition: Condition, own: bool, rows: StudyRows) -> Finding:
    tests = tuple(_measure(test, condition, rows) for test in claim.tests)
    count = Counter(measured.outcome for measured in tests)
    needed = claim.needed or len(tests)
    outcome: Outcome = "missing"
    if count["holds"] >= needed:
        outcome = "holds"
    elif len(tests) - count["fails"] < needed:
        outcome = "fails"
    elif count["holds"] + count["undecided"] >= needed:
        outcome = "undecided"
    return Finding(condition, own, tests, outcome)


def _measure(test: Test, condition: Condition, rows: StudyRows) -> Measured:
    sides = [rows.values(test.quantity, {**condition, **side.setting}) for side in _sides(test)]
    if not all(sides):
        return Measured(test, None, "missing", "not measured")
    constant: dict[Unit, Value] = {} if isinstance(test.b, Side) else {(None, None, None): Value(test.b)}
    found = contrast(sides[0], constant or sides[1], test.two_models)
    if QUANTITIES[test.quantity].of_all_draws:
        found = replace(found, low=None, high=None)
    if found.low is None and not constant:
        return Measured(test, found, "missing", "needs two draws or more")
    return Measured(test, found, *_decide(test, found))


def _decide(test: Test, found: Contrast) -> tuple[Outcome, str]:
    """Say whether a difference bears a test out, and why not."""
    low, high = (found.difference if end is None else end for end in (found.low, found.high))
    if test.relation == "within":
        if -test.size < low and high < test.size:
            return "holds", "holds"
        return ("fails", "too large") if high <= -test.size or low >= test.size else ("undecided", UNDECIDED)
    sign = 1 if test.relation == "above" else -1
    far, (near, most) = sign * found.difference, sorted((sign * low, sign * high))
    if far >= test.size and near > 0:
        return "holds", "holds"
    if most > 0 and most >= test.size:
        return "undecided", UNDECIDED
    if far < 0 and isinstance(test.b, Side):
        return "fails", "the other way"
    return "fails", "too small" if test.size else "not reached"


def _sides(test: Test) -> Iterator[Side]:
    yield test.a
    if isinstance(test.b, Side):
        yield test.b


def _partner(unit: Unit, values: Mapping[Unit, Value]) -> Value | None:
    """Return the value of the same seeds; a seed that one side does not have goes with every seed of the other."""
    if unit in values:
        return values[unit]
    agreeing = (v for other, v in values.items() if _agree(unit, other))
    return next(agreeing, None)


def _agree(unit: Unit, other: Unit) -> bool:
    return all(a is None or b is None or a == b for a, b in zip(unit, other, strict=True))


def _separating(told: Sequence[Finding]) -> str:
    """Name the fewest fields of the conditions that decide the outcome."""
    fields = [name for name in FIELD_WORDS if len({f.condition.get(name) for f in told}) > 1]
    for count in range(1, len(fields) + 1):
        for chosen in combinations(fields, count):
            outcomes: dict[Any, set[Outcome]] = {}
            for finding in told:
                outcomes.setdefault(tuple(finding.condition.get(n) for n in chosen), set()).add(finding.outcome)
            if all(len(found) == 1 for found in outcomes.values()):
                return " and ".join(FIELD_WORDS[name] for name in chosen)
    return "what is not in the conditions"


def _told(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.outcome in ("holds", "fails")]


def _where(findings: Sequence[Finding]) -> str:
    told = _told(findings)
    if len(told) > 1 and len({finding.outcome for finding in told}) == 1:
        return f"{told[0].outcome.capitalize()} under each of the {len(told)} conditions measured."
    parts = []
    for outcome in ("holds", "fails"):
        if chosen := [finding for finding in findings if finding.outcome == outcome]:
            names = "; ".join(filter(None, (_name(finding, findings) for finding in chosen)))
            parts.append(f"{outcome.capitalize()} with {names}." if names else f"{outcome.capitalize()}.")
    return " ".join(parts)


def _why(findings: Sequence[Finding]) -> str:
    """Quote the first test that fails, else that is undecided, under the claim's own method, else under any other."""
    for outcome, words in (("fails", "fails"), ("undecided", "cannot be told")):
        for finding in sorted((finding for finding in findings if finding.outcome == outcome), key=lambda f: not f.own):
            fault = next(measured for measured in finding.tests if measured.outcome == outcome)
            where = "" if len(findings) == 1 else f" with {_name(finding, findings)}"
            return (
                f"The first test that {words}{where} - {fault.test.words}: {difference_words(fault)}, {fault.reason}."
            )
    return ""


def _open(findings: Sequence[Finding]) -> str:
    """Name the conditions that cannot tell, and those that are not measured."""
    parts = []
    for outcome, start in (("undecided", "Undecided"), ("missing", "Not measured")):
        if names := [_name(finding, findings) for finding in findings if finding.outcome == outcome]:
            parts.append(f"{start}: {'; '.join(filter(None, names)) or 'all of it'}.")
    return " ".join(parts)


def _name(finding: Finding, findings: Sequence[Finding]) -> str:
    corpora = {other.condition["corpus"] for other in findings}
    corpus = finding.condition["corpus"] if len(corpora) > 1 else ""
    return ", ".join(filter(None, (corpus, condition_words(finding.condition))))
