"""Faults that pydantic finds, in words for the person who gave the settings."""

import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator

from core.errors import InputError, describe_faults, message_of


class Setting(BaseModel):
    name: str = "a"
    levels: tuple[int, ...] = ()
    share: float = Field(0.5, gt=0)

    @field_validator("name")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name != "a":
            raise InputError(f"name {name!r} is not known; choose a")
        return name


def faults(**given: object) -> ValidationError:
    with pytest.raises(ValidationError) as refusal:
        Setting.model_validate(given)
    return refusal.value


def test_our_own_words_stand_alone() -> None:
    error = faults(name="b")
    assert describe_faults(error) == "name 'b' is not known; choose a"
    assert message_of(error.errors()[0]) == "name 'b' is not known; choose a"


def test_the_words_of_pydantic_follow_the_place_and_what_was_given() -> None:
    assert describe_faults(faults(share=-1)) == "share=-1: Input should be greater than 0"
    assert describe_faults(faults(levels=[1, "x"])).startswith("levels.1='x': Input should be a valid integer")


def test_every_fault_is_named_in_one_line() -> None:
    words = describe_faults(faults(name="b", share=-1))
    assert words == "name 'b' is not known; choose a; share=-1: Input should be greater than 0"
