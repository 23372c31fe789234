"""The lesson, the guide, and what the About page says."""
