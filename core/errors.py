"""The one error type for bad input: its message says what was given, what is allowed and what to do."""

from pydantic import ValidationError
from pydantic_core import ErrorDetails

PYDANTIC_PREFIX = "Value error, "


class InputError(ValueError):
    """Something a user gave cannot be used; the message is written for that user."""


def describe_faults(error: ValidationError) -> str:
    """Say in one line all that is wrong with settings: our own words as they are, pydantic's after what was given."""
    return "; ".join(map(_words, error.errors()))


def message_of(fault: ErrorDetails) -> str:
    """Return what is wrong, without pydantic's own prefix."""
    return fault["msg"].removeprefix(PYDANTIC_PREFIX)


def _words(fault: ErrorDetails) -> str:
    given = "" if fault["type"] == "value_error" else f"{'.'.join(map(str, fault['loc']))}={fault['input']!r}: "
    return given + message_of(fault)
