"""The two float classifiers and their training."""
