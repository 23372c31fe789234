"""From a corpus's name to ids: sources, splits, tokens, vocabulary, noise, and a user's own files."""
