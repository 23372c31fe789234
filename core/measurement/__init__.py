"""What a variant makes of documents, and the statistics of it."""
