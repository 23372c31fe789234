"""A grid of experiments as cells that run anywhere, resumable at any point."""
