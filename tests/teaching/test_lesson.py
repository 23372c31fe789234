"""The lesson's words: every step asks, every question has one right answer, every term is in the glossary."""

import pytest

from core.teaching import guide
from core.teaching.lesson import STEPS, Step

STEP = pytest.mark.parametrize("step", STEPS, ids=[step.name for step in STEPS])


def test_steps_have_names_of_their_own() -> None:
    assert len({step.name for step in STEPS}) == len(STEPS) == 9


@STEP
def test_a_step_asks_explains_and_gives_a_task(step: Step) -> None:
    assert step.asks.endswith("?")
    assert len(step.words.split()) >= 30
    assert len(step.task.split()) >= 5
    assert (step.words + step.task).count("**") % 2 == 0


@STEP
def test_a_question_has_different_answers_and_a_reason(step: Step) -> None:
    question = step.question
    assert question.text.endswith("?")
    assert len(set(question.options)) == len(question.options) >= 3
    assert 0 <= question.right < len(question.options)
    assert len(question.reason.split()) >= 8


@STEP
def test_terms_are_entries_of_the_glossary(step: Step) -> None:
    names = {entry.anchor: entry.name for entry in guide.ENTRIES}
    assert step.entries == [(names[anchor], anchor) for anchor in step.terms] != []
