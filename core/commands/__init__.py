"""What `python -m core` prints and ships beyond one call of the main path."""
