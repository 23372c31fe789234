"""Work that a page starts and that goes on without it."""
