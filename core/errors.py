"""The one error type for bad input: its message says what was given, what is allowed and what to do."""


class InputError(ValueError):
    """Something a user gave cannot be used; the message is written for that user."""
